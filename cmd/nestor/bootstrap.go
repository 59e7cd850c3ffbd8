package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/nestor-gateway/nestor/envoy"
	nestorv1 "github.com/nestor-gateway/nestor/proto/nestor/v1"
)

// bootstrapSettings are what a printed Envoy configuration depends on.
type bootstrapSettings struct {
	options        envoy.Options
	static         bool
	config         string
	allowAnonymous bool
}

func bootstrapCommand() *cobra.Command {
	var s bootstrapSettings
	c := &cobra.Command{
		Use:   "bootstrap",
		Short: "Print a configuration for an Envoy of your own, as JSON",
		Long: "Print the small bootstrap of an Envoy that gets all else from `nestor serve` (ADS),\n" +
			"or with --static a whole configuration for the upstreams of a config.",
		Args: exactly(),
		RunE: func(c *cobra.Command, _ []string) (err error) {
			metering, err := c.Flags().GetString("metering")
			if err != nil {
				return err
			}
			if s.options.Inband, err = isInband(metering); err != nil {
				return err
			}
			return bootstrap(s, c.OutOrStdout(), c.ErrOrStderr())
		},
	}
	f, o := c.Flags(), &s.options
	f.BoolVar(&s.static, "static", false, "print a whole configuration; needs --config, and is to be printed again when the config changes")
	f.StringVar(&s.config, "config", "", "LiteLLM's config.yaml, for --static")
	f.BoolVar(&s.allowAnonymous, "allow-anonymous", false, "with --static: let everybody in at every address without a master key")
	f.StringVar(&o.Listen, "listen", ":4000", "where clients connect")
	f.StringArrayVar(&o.Processors, "grpc-listen", []string{"127.0.0.1:4001"}, "where Envoy reaches a nestor's gRPC port; repeatable")
	f.StringVar(&o.API, "http-listen", "127.0.0.1:4002", "where Envoy reaches nestor's HTTP port")
	f.StringVar(&o.Admin, "admin-listen", "127.0.0.1:9901", "where Envoy's admin interface listens")
	f.StringVar(&o.NodeID, "node-id", "nestor", "Envoy's node id")
	f.Uint32Var(&o.BodyLimit, "body-limit", 32<<20, "largest request body, in bytes")
	f.DurationVar(&o.RequestTimeout, "request-timeout", 300*time.Second, "how long a client may take to send a request")
	f.DurationVar(&o.Signs, "signs-of-life", nestorv1.SignInterval, "with --static: how often Envoy says of a request that it is in flight; the same as of its nestor")
	meteringFlag(f)
	f.StringVar(&o.CAFile, "ca-file", os.Getenv("SSL_CERT_FILE"), "the certificates that Envoy trusts in providers (default: the system's)")
	return c
}

func bootstrap(s bootstrapSettings, stdout, stderr io.Writer) error {
	if s.static == (s.config == "") {
		return errors.New("--static and --config go together: the one prints a configuration for the upstreams of the other")
	}
	translate := s.small
	if s.static {
		translate = func() ([]byte, error) { return s.whole(stderr) }
	}
	text, err := translate()
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(stdout, strings.TrimSpace(string(text)))
	return err
}

func (s bootstrapSettings) small() ([]byte, error) {
	listen, err := clientAddress(s.options.Listen, false, true)
	if err != nil {
		return nil, err
	}
	s.options.Listen = listen
	return envoy.Bootstrap(s.options)
}

func (s bootstrapSettings) whole(stderr io.Writer) ([]byte, error) {
	cfg, snapshot, err := load(s.config, stderr)
	if err != nil {
		return nil, err
	}
	listen, err := clientAddress(s.options.Listen, cfg.MasterKey == "", s.allowAnonymous)
	if err != nil {
		return nil, err
	}
	s.options.Listen = listen
	return envoy.Static(s.options, snapshot.Upstreams())
}
