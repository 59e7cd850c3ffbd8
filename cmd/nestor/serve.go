package main

import (
	"os"
	"time"

	"github.com/spf13/cobra"
)

func serveCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "serve --config FILE",
		Short: "Run the processor for an Envoy that something else runs",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			s, err := readSettings(c)
			if err != nil {
				return err
			}
			return serve(c, s)
		},
	}
	settingsFlags(c.Flags())
	serveFlags(c.Flags())
	return c
}

func serve(c *cobra.Command, s settings) error {
	log, err := newLogger(s, c.ErrOrStderr())
	if err != nil {
		return err
	}
	warnUnknown(log, os.Environ())
	g, err := newGateway(s, c.ErrOrStderr(), log)
	if err != nil {
		return err
	}
	if err := g.listen(c.Context()); err != nil {
		return err
	}
	defer g.shutdown()
	log.Info("ready", "grpc", s.grpcListen, "http", s.httpListen)
	defer g.leave()
	return g.watch(c.Context())
}

// noticed is in what time every Envoy has seen by its health check that a processor is about to go.
const noticed = time.Second

// leave has Envoys turn to other processors, where there are any, while this one still decides what comes.
func (g *gateway) leave() {
	g.drain()
	g.health.Shutdown()
	time.Sleep(min(noticed, g.settings.grace))
}
