// Command nestor makes Envoy an LLM gateway whose model groups can be made of other groups.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

func main() {
	tuneBuffers()
	os.Exit(realMain())
}

// realMain returns the exit status.
func realMain() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := rootCommand().ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	if !errors.Is(err, errReported) {
		fmt.Fprintf(os.Stderr, "error: %v\n", err)
	}
	return 1
}

// errReported ends a command whose errors are on stderr already.
var errReported = errors.New("already reported")

func rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:           "nestor",
		Short:         "An LLM gateway on Envoy, with model groups made of groups",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.CompletionOptions.HiddenDefaultCmd = true
	root.AddCommand(runCommand(), serveCommand(), checkCommand(), explainCommand(),
		bootstrapCommand(), mockCommand(), healthcheckCommand(), keysCommand())
	return root
}
