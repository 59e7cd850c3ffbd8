// Package ads serves Envoy's configuration over delta ADS and follows what the Envoys that are connected make of it.
package ads

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	cachev3 "github.com/envoyproxy/go-control-plane/pkg/cache/v3"
	resourcev3 "github.com/envoyproxy/go-control-plane/pkg/resource/v3"
	"github.com/envoyproxy/go-control-plane/pkg/server/delta/v3"
	"google.golang.org/grpc"
)

// ackTimeout is how long an update waits for the Envoys that are connected.
const ackTimeout = 5 * time.Second

// Server serves Envoy's configuration over delta ADS. Every Envoy gets the same.
type Server struct {
	discoveryv3.UnimplementedAggregatedDiscoveryServiceServer
	cache cachev3.SnapshotCache
	delta delta.Server
	acks  *acks
	stop  context.CancelFunc

	mu      sync.Mutex // one update at a time
	current *cachev3.Snapshot
}

// NewServer returns a server that has nothing to serve before the first Update.
func NewServer() *Server {
	ctx, stop := context.WithCancel(context.Background())
	s := &Server{
		cache: cachev3.NewSnapshotCache(true, everyNode{}, nil),
		acks:  newAcks(),
		stop:  stop,
	}
	s.delta = delta.NewServer(ctx, s.cache, s.acks)
	return s
}

// Register adds the ADS service to a gRPC server.
func (s *Server) Register(g *grpc.Server) {
	discoveryv3.RegisterAggregatedDiscoveryServiceServer(g, s)
}

// Close ends the streams of all Envoys, which keep the configuration they have.
func (s *Server) Close() { s.stop() }

// DeltaAggregatedResources serves one Envoy.
func (s *Server) DeltaAggregatedResources(stream discoveryv3.AggregatedDiscoveryService_DeltaAggregatedResourcesServer) error {
	return s.delta.DeltaStreamHandler(stream, resourcev3.AnyType)
}

// Update serves a configuration and returns when every connected Envoy has acknowledged it, after 5 s, or at
// once when none is connected. When an Envoy refuses it the previous configuration is served again, and the
// error has Envoy's reasons.
func (s *Server) Update(ctx context.Context, r Resources) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	next, err := r.snapshot()
	if err != nil {
		return err
	}
	if err := s.serve(ctx, next); err != nil {
		return err
	}
	if err := s.acknowledged(ctx); err != nil {
		return s.revert(ctx, err)
	}
	s.current = next
	return nil
}

func (s *Server) serve(ctx context.Context, snapshot *cachev3.Snapshot) error {
	target := map[resourcev3.Type]string{}
	for _, typ := range servedTypes() {
		target[typ] = snapshot.GetVersion(typ)
	}
	s.acks.expect(target)
	if err := s.cache.SetSnapshot(ctx, everyNode{}.ID(nil), snapshot); err != nil {
		return fmt.Errorf("serve Envoy's configuration: %w", err)
	}
	return nil
}

// acknowledged waits for the Envoys that are connected. One that is too slow is no error.
func (s *Server) acknowledged(ctx context.Context) error {
	limited, cancel := context.WithTimeout(ctx, ackTimeout)
	defer cancel()
	err := s.acks.wait(limited, every, func(streams, upToDate int) bool { return upToDate == streams })
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
		return nil
	}
	return err
}

// revert goes back to the previous configuration, if there was one, because of an error.
func (s *Server) revert(ctx context.Context, cause error) error {
	if s.current == nil {
		return cause
	}
	if err := s.serve(context.WithoutCancel(ctx), s.current); err != nil {
		return fmt.Errorf("%w; and then: %w", cause, err)
	}
	return cause
}

// Ready waits until the Envoy with that node id has acknowledged everything. An error has its reasons for a
// refusal, for example a listening port that is taken, or is the context's.
func (s *Server) Ready(ctx context.Context, node string) error {
	return s.acks.wait(ctx, func(s *stream) bool { return s.node == node }, func(_, upToDate int) bool { return upToDate > 0 })
}

// everyNode gives all Envoys the same configuration.
type everyNode struct{}

// ID is the same for every node.
func (everyNode) ID(*corev3.Node) string { return "" }
