package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/nestor-gateway/nestor/envoy"
	"github.com/nestor-gateway/nestor/envoy/process"
)

// readyTimeout is how long Envoy may take to serve its first request.
const readyTimeout = 20 * time.Second

func runCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "run --config FILE",
		Short: "Run the gateway: the processor and an Envoy",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			s, err := readSettings(c)
			if err != nil {
				return err
			}
			return run(c, s)
		},
	}
	settingsFlags(c.Flags())
	envoyFlags(c.Flags())
	return c
}

func run(c *cobra.Command, s settings) error {
	log, err := newLogger(s, c.ErrOrStderr())
	if err != nil {
		return err
	}
	warnUnknown(log, os.Environ())
	binary, version, err := process.FindBinary(context.WithoutCancel(c.Context()), cmp.Or(s.envoy, os.Getenv("ENVOY")))
	if err != nil {
		return err
	}
	s.nodeID = nodeID(s.listen)
	g, err := newGateway(s, c.ErrOrStderr(), log)
	if err != nil {
		return err
	}
	bootstrap, err := envoy.Bootstrap(g.envoy)
	if err != nil {
		return err
	}
	if err := g.listen(c.Context()); err != nil {
		return err
	}
	defer g.shutdown()
	child, err := process.Start(c.Context(), process.Options{
		Binary: binary, Version: version, Dir: s.dataDir, Address: g.client, Bootstrap: bootstrap,
		NodeID: s.nodeID, Concurrency: s.concurrency, Grace: s.grace, Log: log,
	})
	if err != nil {
		return unlessEnded(c.Context(), err, log)
	}
	return g.superviseEnvoy(c.Context(), child)
}

// unlessEnded drops the error of a start that a signal has ended.
func unlessEnded(ctx context.Context, err error, log *slog.Logger) error {
	if ctx.Err() == nil {
		return err
	}
	log.Info("ended before it was ready", "at", err)
	return nil
}

// superviseEnvoy says when requests are served, and keeps Envoy running until ctx ends.
func (g *gateway) superviseEnvoy(ctx context.Context, child *process.Child) error {
	supervised := make(chan error, 1)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() { supervised <- child.Run(ctx) }()
	go passSignals(ctx, child, g.log)
	defer context.AfterFunc(ctx, g.drain)()
	if err := g.waitReady(ctx, child); err != nil {
		ended := ctx.Err() != nil // by a signal
		cancel()
		if stopped := <-supervised; ended {
			return stopped
		}
		return fmt.Errorf("%w; Envoy's log is %s", err, child.LogFile())
	}
	g.log.Info("ready", "listen", g.client, "grpc", g.settings.grpcListen, "http", g.settings.httpListen,
		"admin", child.Admin(), "envoy_pid", child.PID(), "adopted", child.Adopted())
	watched := make(chan error, 1)
	go func() { watched <- g.watch(ctx) }()
	select {
	case err := <-supervised:
		cancel()
		<-watched
		return err
	case err := <-watched:
		cancel()
		if stopped := <-supervised; err == nil {
			err = stopped
		}
		return err
	}
}

// waitReady waits until Envoy has the configuration, unless it has one of an earlier run, and then asks for readiness the way
// a client's request goes.
func (g *gateway) waitReady(ctx context.Context, child *process.Child) error {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	if !child.Adopted() {
		if err := g.xds.Ready(ctx); errors.Is(err, context.DeadlineExceeded) {
			return fmt.Errorf("envoy has not taken its configuration in %v", readyTimeout)
		} else if err != nil {
			return err
		}
	}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	client := &http.Client{Timeout: time.Second}
	for {
		if g.answers(ctx, client) {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("no answer on %s in %v", g.client, readyTimeout)
		}
	}
}

func (g *gateway) answers(ctx context.Context, client *http.Client) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+reachable(g.client)+"/health/readiness", nil)
	if err != nil {
		return false
	}
	resp, err := client.Do(req)
	if err != nil {
		return false
	}
	_ = resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

// passSignals hands Envoy what is meant for it: at SIGUSR1 it opens its log anew.
func passSignals(ctx context.Context, child *process.Child, log *slog.Logger) {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGUSR1)
	defer signal.Stop(signals)
	for {
		select {
		case <-signals:
			if err := child.ReopenLog(); err != nil {
				log.Warn("Envoy's log is not opened anew", "error", err)
			}
		case <-ctx.Done():
			return
		}
	}
}

// nodeID tells apart the Envoys of one machine.
func nodeID(listen string) string {
	host, err := os.Hostname()
	if err != nil {
		host = "localhost"
	}
	return "nestor@" + host + "/" + listen
}
