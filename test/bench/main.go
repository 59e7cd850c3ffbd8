// Command bench measures what Nestor costs beside its alternatives, on one machine and in one go:
//
//	plain    an Envoy that only forwards
//	floor    Nestor's Envoy configuration with a processor that does nothing (see noop)
//	native   the same with Envoy's own filter for the usage of streams, instead of Nestor's script
//	asking   the floor with a processor that asks for the usage of streams
//	nestor   `nestor run` with a group made of groups
//	limits   the same with limits everywhere, in memory
//	keys     the same with a virtual key, its team, budgets and the spend log
//	redis    what one limit costs that is kept in Redis
//	litellm  LiteLLM from PyPI with the same deployments and as many workers as cores
//
// All of them stand before the same mock provider and get the same load from wrk. It prints what
// it measures and writes docs/benchmarks.md. Linux only: it reads /proc.
//
//	go run ./test/bench [-quick] [-skip litellm,redis] [-loads stream]
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"strings"
	"syscall"

	"github.com/nestor-gateway/nestor/test/bench/crew"
)

// options are the flags.
type options struct {
	quick   bool
	out     string
	nestor  string
	envoy   string
	skip    string
	loads   string
	workers int // threads of each Envoy, and processes of LiteLLM
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	o := options{workers: runtime.NumCPU()}
	flag.BoolVar(&o.quick, "quick", false, "shorter and fewer runs: seven minutes instead of an hour, and coarser figures")
	flag.StringVar(&o.out, "out", "docs/benchmarks.md", "the report to write")
	flag.StringVar(&o.nestor, "nestor", "bin/nestor", "the nestor to measure")
	flag.StringVar(&o.envoy, "envoy", os.Getenv("ENVOY"), "the Envoy for all that have one (default: $ENVOY, else envoy on the PATH)")
	flag.StringVar(&o.skip, "skip", "", "subjects to leave out, and redis, separated by commas")
	flag.StringVar(&o.loads, "loads", "", "measure only the loads whose names hold this text")
	flag.Parse()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

// run measures everything and writes the report. Whatever it started has ended when it returns.
func run(ctx context.Context, o options) error {
	dir, err := os.MkdirTemp("", "nestor-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	tools, err := findTools(ctx, o, dir)
	if err != nil {
		return err
	}
	b := &bench{options: o, tools: tools, crew: crew.New(dir), dir: dir, pace: paceOf(o.quick), results: results{}}
	defer b.crew.Stop(0)
	if err := b.measureAll(ctx); err != nil {
		return errors.Join(err, b.crew.Ended())
	}
	if err := b.save(); err != nil {
		return err
	}
	if err := os.Rename(o.part(), o.out); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	fmt.Println("wrote", o.out)
	return nil
}

// part is the report of what was measured so far: all that is left of a run that is cut short.
func (o options) part() string { return o.out + ".part" }

func (o options) skips(name string) bool {
	for s := range strings.SplitSeq(o.skip, ",") {
		if strings.TrimSpace(s) == name {
			return true
		}
	}
	return false
}

// chosen are the loads to measure.
func (o options) chosen() []load {
	return slices.DeleteFunc(loads(), func(l load) bool { return !strings.Contains(l.name, o.loads) })
}
