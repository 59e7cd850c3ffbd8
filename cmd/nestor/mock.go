package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/nestor-gateway/nestor/cmd/nestor/mock"
)

// mockFlags are the flags of `nestor mock`. Each fault flag stands for words of a plan.
type mockFlags struct {
	listen, plan           string
	options                mock.Options
	status, cut, first     int
	delay, gap, firstEvent time.Duration
	reset                  bool
	retryAfter             string
}

func mockCommand() *cobra.Command {
	var f mockFlags
	c := &cobra.Command{
		Use:   "mock",
		Short: "Run an OpenAI-compatible provider without a model, for demos, tests and benchmarks",
		Long: `Run an OpenAI-compatible provider without a model: chat, completions, embeddings, streams, usage,
and the faults that real providers have.

A request can choose how it is answered, too: in the model's name ("gpt-4o+mock:status=500;times=2"),
in the body's user ("user": "mock:delay=300ms"), or in the header x-mock when it is sent to the mock itself.
What arrived is shown at GET ` + mock.ControlPath + ` and forgotten by DELETE.

The words of a plan, separated by ";":
  for=NAME times=N status=N body=openai|html|text|empty|context|policy retry-after=S
  delay=D first=D gap=D reset cut=BYTES stall=EVENTS fin split=BYTES pieces=BYTES
  header=NAME:VALUE charset=NAME gzip crlf spaced unended
  usage=none|every cached=N reasoning=N events=N size=BYTES rpm=N tpm=N id=ANYTHING`,
		Example: `  nestor mock --listen 127.0.0.1:4010
  nestor mock --listen 127.0.0.1:4011 --name busy --fail-status 429 --retry-after 3 --first 2`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := f.fill(); err != nil {
				return err
			}
			return serveMock(c.Context(), f.listen, f.options, func(address string) {
				fmt.Fprintf(c.OutOrStdout(), "%s listens on http://%s\n", f.options.Name, address)
			})
		},
	}
	f.register(c)
	return c
}

func (f *mockFlags) register(c *cobra.Command) {
	p := c.Flags()
	p.StringVar(&f.listen, "listen", "127.0.0.1:4010", "address to listen on; port 0 takes a free one")
	p.StringVar(&f.options.Name, "name", "mock", "what the mock calls itself")
	p.StringSliceVar(&f.options.Models, "models", nil, "models to list at /v1/models (default: the name)")
	p.StringVar(&f.options.Key, "key", "", "the only API key to accept (default: any, and none)")
	p.IntVar(&f.options.Record, "record", 100, "how many requests to keep for "+mock.ControlPath)
	p.StringVar(&f.plan, "plan", "", "how to answer, in the words above")
	p.IntVar(&f.status, "fail-status", 0, "answer with this error status")
	p.StringVar(&f.retryAfter, "retry-after", "", "send this retry-after")
	p.DurationVar(&f.delay, "delay", 0, "wait before the response headers")
	p.DurationVar(&f.firstEvent, "first-event", 0, "wait before the first event of a stream")
	p.DurationVar(&f.gap, "gap", 0, "wait between the events of a stream")
	p.BoolVar(&f.reset, "reset", false, "reset the connection instead of answering")
	p.IntVar(&f.cut, "cut-after", -1, "cut the answer off after so many bytes of its body")
	p.IntVar(&f.first, "first", 0, "do all this only to the first so many requests (0: to all)")
}

// fill makes the plan: that of --plan, and the other flags on top.
func (f *mockFlags) fill() error {
	words := []string{f.plan}
	add := func(given bool, name string, value any) {
		if given {
			words = append(words, fmt.Sprintf("%s=%v", name, value))
		}
	}
	add(f.status != 0, "status", f.status)
	add(f.retryAfter != "", "retry-after", f.retryAfter)
	add(f.delay != 0, "delay", f.delay)
	add(f.firstEvent != 0, "first", f.firstEvent)
	add(f.gap != 0, "gap", f.gap)
	add(f.reset, "reset", "")
	add(f.cut >= 0, "cut", f.cut)
	add(f.first != 0, "times", f.first)
	plan, err := mock.Parse(strings.Join(words, ";"))
	f.options.Plan = plan
	return err
}

// serveMock serves until the context ends; ready is called once it listens.
func serveMock(ctx context.Context, address string, o mock.Options, ready func(address string)) error {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	server := &http.Server{Handler: mock.New(o), ReadHeaderTimeout: 10 * time.Second}
	stop := context.AfterFunc(ctx, func() { server.Close() })
	defer stop()
	ready(listener.Addr().String())
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
