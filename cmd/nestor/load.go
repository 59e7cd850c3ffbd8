package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"

	"github.com/nestor-gateway/nestor/extproc/provider"
	"github.com/nestor-gateway/nestor/routing"
	"github.com/nestor-gateway/nestor/routing/config"
	"github.com/nestor-gateway/nestor/routing/reading"
)

// mostErrors is how many errors of one config are printed: a file that was generated wrong has thousands.
const mostErrors = 100

// compile reads a config file and makes it a snapshot. The notes are the warnings of both steps.
// The error is a *config.Error, or one that names the file.
func compile(path string, providers *provider.Table) (*config.Config, *routing.Snapshot, []config.Diagnostic, error) {
	cfg, err := config.Load(path, os.LookupEnv)
	if err != nil {
		return nil, nil, nil, err
	}
	snapshot, notes, err := routing.Compile(cfg, providers)
	if err != nil {
		return nil, nil, nil, err
	}
	credentials, err := inspect(snapshot, providers)
	if err != nil {
		return nil, nil, nil, err
	}
	return cfg, snapshot, reading.InOrder(cfg.Files, slices.Concat(cfg.Warnings, notes, credentials)), nil
}

// inspect asks the provider table about each deployment: what can't be sent is an error, a
// credential that is missing a warning, given once for all deployments that lack it.
func inspect(s *routing.Snapshot, providers *provider.Table) ([]config.Diagnostic, error) {
	var unsendable, credentials []config.Diagnostic
	said := map[string]bool{}
	for _, d := range s.Deployments() {
		if d.Provider == "" {
			continue
		}
		if err := providers.Check(d); err != nil {
			unsendable = append(unsendable, config.Diagnostic{At: d.At, Message: "model " + d.Written + ": " + err.Error()})
		}
		missing := providers.Missing(d)
		if missing == "" || d.Problem != "" || said[missing] {
			continue
		}
		said[missing] = true
		credentials = append(credentials, config.Diagnostic{At: d.At, Message: "model " + d.Written + ": " + missing})
	}
	if len(unsendable) > 0 {
		return nil, &config.Error{Problems: unsendable}
	}
	return credentials, nil
}

// logNotes logs what printAll prints.
func logNotes(log *slog.Logger, notes []config.Diagnostic) {
	for _, n := range notes {
		log.Warn("config: "+n.Message, "at", n.At.String(), "hint", n.Hint)
	}
}

// load is compile for a command that goes on: warnings and errors are printed to stderr.
func load(path string, stderr io.Writer) (*config.Config, *routing.Snapshot, error) {
	cfg, snapshot, notes, err := compile(path, provider.New(os.LookupEnv))
	if err != nil {
		return nil, nil, report(stderr, err)
	}
	printAll(stderr, "warning", notes)
	return cfg, snapshot, nil
}

// report prints what is wrong with a config and returns errReported; another error it returns as it is.
func report(stderr io.Writer, err error) error {
	var bad *config.Error
	if !errors.As(err, &bad) {
		return err
	}
	shown := bad.Problems[:min(len(bad.Problems), mostErrors)]
	printAll(stderr, "error", shown)
	if more := len(bad.Problems) - len(shown); more > 0 {
		fmt.Fprintf(stderr, "error: and %d more\n", more)
	}
	return errReported
}

// printAll prints "error: file:line:column: message" and "hint: ..." lines.
func printAll(w io.Writer, kind string, diagnostics []config.Diagnostic) {
	for _, d := range diagnostics {
		fmt.Fprintf(w, "%s: %s\n", kind, d)
		if d.Hint != "" {
			fmt.Fprintf(w, "hint: %s\n", d.Hint)
		}
	}
}
