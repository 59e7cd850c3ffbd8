package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/nestor-gateway/nestor/extproc/provider"
	"github.com/nestor-gateway/nestor/routing"
)

func checkCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "check FILE",
		Short: "Say whether a config can be used, and what is in it",
		Args:  exactly("FILE"),
		RunE: func(c *cobra.Command, args []string) error {
			return check(args[0], c.OutOrStdout(), c.ErrOrStderr())
		},
	}
}

func check(path string, stdout, stderr io.Writer) error {
	cfg, snapshot, notes, err := compile(path, provider.New(os.LookupEnv))
	if err == nil {
		_, err = redisOf(settings{}, cfg)
	}
	if err == nil {
		err = checkDatabase(cfg)
	}
	if err != nil {
		return report(stderr, err)
	}
	out := bufio.NewWriter(stdout)
	summarize(out, path, snapshot.Summary(), len(notes))
	printAll(out, "warning", notes)
	return out.Flush()
}

func summarize(w io.Writer, path string, s routing.Summary, warnings int) {
	fmt.Fprintf(w, "%s can be used\n", path)
	for _, row := range []struct {
		name  string
		count int
	}{
		{"groups", s.Groups}, {"deployments", s.Deployments}, {"aliases", s.Aliases},
		{"depth", s.Depth}, {"upstreams", s.Upstreams}, {"warnings", warnings},
	} {
		fmt.Fprintf(w, "  %-11s %6d\n", row.name, row.count)
	}
}

// exactly checks that a command got these arguments and no others.
func exactly(names ...string) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if len(args) < len(names) {
			return fmt.Errorf("%s is missing: %s", names[len(args)], usage(c))
		}
		if len(args) > len(names) {
			return fmt.Errorf("%q is one argument too many: %s", args[len(names)], usage(c))
		}
		return nil
	}
}

// usage is how a command is called, without its flags.
func usage(c *cobra.Command) string { return strings.TrimSuffix(c.UseLine(), " [flags]") }
