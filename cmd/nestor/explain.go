package main

import (
	"bufio"
	"encoding/json"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/nestor-gateway/nestor/cmd/nestor/draw"
	"github.com/nestor-gateway/nestor/extproc/provider"
	"github.com/nestor-gateway/nestor/routing"
)

func explainCommand() *cobra.Command {
	var without []string
	var asJSON bool
	c := &cobra.Command{
		Use:   "explain FILE MODEL",
		Short: "Draw what a model resolves to, with the exact probability of each deployment",
		Args:  exactly("FILE", "MODEL"),
		RunE: func(c *cobra.Command, args []string) error {
			e, err := explain(args[0], args[1], without, c.ErrOrStderr())
			if err != nil {
				return err
			}
			return writeExplanation(c.OutOrStdout(), e, asJSON)
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON: model, group, and for each deployment id, model, api_base, probability, paths")
	c.Flags().StringArrayVar(&without, "without", nil, "a deployment that is out, by its id or its litellm_params.model; repeatable")
	return c
}

func explain(path, model string, without []string, stderr io.Writer) (*routing.Explanation, error) {
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

func writeExplanation(w io.Writer, e *routing.Explanation, asJSON bool) error {
	out := bufio.NewWriter(w)
	if asJSON {
		encoder := json.NewEncoder(out)
		encoder.SetIndent("", "  ")
		encoder.SetEscapeHTML(false)
		if err := encoder.Encode(e); err != nil {
			return err
		}
	} else {
		draw.Explanation(out, e)
	}
	return out.Flush()
}
