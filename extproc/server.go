// Package extproc is Envoy's external processor: it decides every attempt at a request,
// and what happens after one that failed.
//
// An ext_proc RPC is one exchange. The decision exchange begins with request headers and ends,
// by this side, with the decision; the failure exchange begins with the response headers of
// an attempt that failed. With Options.Inband the decision exchange goes on to the end of the answer. See https://www.envoyproxy.io/docs, "External Processing".
package extproc

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"sync/atomic"
	"time"

	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/nestor-gateway/nestor/access"
	"github.com/nestor-gateway/nestor/extproc/bodies"
	"github.com/nestor-gateway/nestor/extproc/budget"
	"github.com/nestor-gateway/nestor/extproc/estimate"
	"github.com/nestor-gateway/nestor/extproc/openai"
	"github.com/nestor-gateway/nestor/extproc/provider"
	"github.com/nestor-gateway/nestor/extproc/retry"
	"github.com/nestor-gateway/nestor/extproc/slots"
	"github.com/nestor-gateway/nestor/extproc/views"
	nestorv1 "github.com/nestor-gateway/nestor/proto/nestor/v1"
	"github.com/nestor-gateway/nestor/routing"
)

// Authenticator says who sends a request.
type Authenticator interface {
	// Authenticate reads the credential from the headers, given by lower-case name.
	Authenticate(header func(name string) string) (access.Principal, *access.Denial)
}

// Requester says how a request to a deployment must look.
type Requester interface {
	Request(d *routing.Deployment, e openai.Endpoint, model string) (provider.Request, error)
	// Conceal takes the deployment's credential out of what its upstream said.
	Conceal(d *routing.Deployment, text []byte) []byte
}

// Options are what a Server needs; none may be nil or zero but Now and what says so.
type Options struct {
	Router    *routing.Router
	Providers Requester
	// Auth returns the authenticator in force; it changes with the config.
	Auth    func() Authenticator
	Metrics *Metrics
	// ProbeSecret is what a probe of /health carries in its header.
	ProbeSecret string
	// LargeBodies is how many bytes of large bodies are held at once.
	LargeBodies int64
	// Replica is this process's name among the replicas that share limits; empty where there are none.
	// Elsewhere settles what others hold; nil where there are none.
	Replica   string
	Elsewhere Elsewhere
	// Budgets and Till keep what callers may spend and have spent; nil where there is no store of keys.
	Budgets Budgets
	Till    Till
	// Inband keeps an exchange up from its decision to the end of the answer, for an Envoy that has one filter
	// and no access log: usage is read from the bytes of the answer.
	Inband bool
	// Signs is how often Envoy says of an attempt that it is in flight; nestorv1.SignInterval unless given.
	Signs time.Duration
	Log   *slog.Logger
	// Now is time.Now unless given.
	Now func() time.Time
}

// Server answers Envoy's external-processing and access log streams.
type Server struct {
	Options
	extprocv3.UnimplementedExternalProcessorServer
	views   *views.Views
	pending *retry.Pending
	book    *estimate.Book
	budget  *budget.Budget
	bodies  *bodies.Memory
	waiters slots.Waiters
	broken  brokenOff
	// exchanges are those in flight.
	exchanges atomic.Int64
}

// New returns a server; Register makes Envoy able to reach it.
func New(o Options) *Server {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Signs == 0 {
		o.Signs = nestorv1.SignInterval
	}
	return &Server{
		Options: o,
		views:   views.New(o.Router, o.Now),
		pending: retry.NewPending(o.Now),
		book:    estimate.New(),
		budget:  budget.New(o.Now),
		bodies:  bodies.New(o.LargeBodies),
	}
}

// Register adds the services to a gRPC server.
func (s *Server) Register(g *grpc.Server) {
	extprocv3.RegisterExternalProcessorServer(g, s)
	registerAccessLog(g, s)
}

// WaitIdle returns when no exchange is in flight, or ctx has ended.
func (s *Server) WaitIdle(ctx context.Context) {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for s.exchanges.Load() > 0 {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// Process runs one exchange.
func (s *Server) Process(stream extprocv3.ExternalProcessor_ProcessServer) error {
	s.exchanges.Add(1)
	defer s.exchanges.Add(-1)
	first, err := stream.Recv()
	if err != nil {
		return ended(err)
	}
	switch m := first.Request.(type) {
	case *extprocv3.ProcessingRequest_RequestHeaders:
		d, err := s.decide(stream, m.RequestHeaders)
		if err != nil || d == nil || !s.Inband {
			return ended(err)
		}
		return ended(s.follow(stream, s.answerTo(d)))
	case *extprocv3.ProcessingRequest_ResponseHeaders:
		return ended(s.afterFailure(stream, first))
	default:
		return status.Errorf(codes.InvalidArgument, "an exchange begins with headers, this one with %T: "+
			"the filter's processing_mode must be that of `nestor bootstrap`", first.Request)
	}
}

// ended drops the errors that mean no more than that Envoy is done with the exchange:
// the client left, or the attempt is being retried.
func ended(err error) error {
	if errors.Is(err, io.EOF) || status.Code(err) == codes.Canceled {
		return nil
	}
	return err
}
