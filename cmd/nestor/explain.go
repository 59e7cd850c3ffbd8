package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/nestor-gateway/nestor/cmd/nestor/draw"
	"github.com/nestor-gateway/nestor/extproc/provider"
	"github.com/nestor-gateway/nestor/routing/explain"
)

func explainCommand() *cobra.Command {
	var o explainOptions
	c := &cobra.Command{
		Use:   "explain FILE MODEL",
		Short: "Draw what a model resolves to, with the exact probability of each deployment",
		Long: "Draw what a model resolves to, with the exact probability of each deployment.\n\n" +
			"With --live ADDRESS and no FILE: how each deployment stands at a running nestor, and where the next request goes.",
		Args: func(c *cobra.Command, args []string) error {
			if o.live != "" && len(args) != 1 {
				return fmt.Errorf("--live takes a MODEL and nothing else: nestor explain --live ADDRESS MODEL")
			}
			if o.live != "" {
				return nil
			}
			return exactly("FILE", "MODEL")(c, args)
		},
		RunE: func(c *cobra.Command, args []string) error {
			if o.live != "" {
				return explainLive(c, args[0], o)
			}
			e, err := explainFile(args[0], args[1], o.without, c.ErrOrStderr())
			if err != nil {
				return err
			}
			return writeOut(c.OutOrStdout(), o.asJSON, e, func(w io.Writer) { draw.Explanation(w, e) })
		},
	}
	c.Flags().BoolVar(&o.asJSON, "json", false, "print JSON: model, group, and for each deployment id, model, api_base, probability, paths; with --live that of /status")
	c.Flags().StringArrayVar(&o.without, "without", nil, "a deployment that is out, by its id or its litellm_params.model; repeatable")
	c.Flags().StringVar(&o.live, "live", "", "the --http-listen address of a running nestor to ask, instead of a file")
	c.MarkFlagsMutuallyExclusive("live", "without")
	return c
}

type explainOptions struct {
	asJSON  bool
	without []string
	live    string
}

func explainLive(c *cobra.Command, model string, o explainOptions) error {
	l, err := askLive(c.Context(), o.live, model)
	if err != nil {
		return err
	}
	return writeOut(c.OutOrStdout(), o.asJSON, l, func(w io.Writer) { draw.Live(w, l) })
}

func explainFile(path, model string, without []string, stderr io.Writer) (*explain.Result, error) {
	_, snapshot, _, err := compile(path, provider.New(os.LookupEnv))
	if err != nil {
		return nil, report(stderr, err)
	}
	e, err := snapshot.Explain(model, without)
	if err != nil {
		return nil, report(stderr, err)
	}
	return e, nil
}

// writeOut prints a value as JSON, or as it is drawn.
func writeOut(w io.Writer, asJSON bool, v any, drawn func(io.Writer)) error {
	out := bufio.NewWriter(w)
	if asJSON {
		encoder := json.NewEncoder(out)
		encoder.SetIndent("", "  ")
		encoder.SetEscapeHTML(false)
		if err := encoder.Encode(v); err != nil {
			return err
		}
	} else {
		drawn(out)
	}
	return out.Flush()
}
