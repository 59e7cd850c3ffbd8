package envoy

import (
	"context"

	"github.com/nestor-gateway/nestor/envoy/ads"
	"github.com/nestor-gateway/nestor/routing"
)

// Server serves every Envoy the configuration for some upstreams.
type Server struct {
	*ads.Server
	options Options
}

// NewServer returns a server that has nothing to serve before the first Update.
func NewServer(o Options) *Server {
	return &Server{Server: ads.NewServer(), options: o}
}

// Update serves the configuration for these upstreams: see ads.Server.
func (s *Server) Update(ctx context.Context, upstreams []routing.Upstream) error {
	o, err := s.options.withDefaults()
	if err != nil {
		return err
	}
	return s.Server.Update(ctx, translate(o, upstreams))
}

// Ready waits until the Envoy with the options' node id has everything: see ads.Server.
func (s *Server) Ready(ctx context.Context) error {
	o, err := s.options.withDefaults()
	if err != nil {
		return err
	}
	return s.Server.Ready(ctx, o.NodeID)
}
