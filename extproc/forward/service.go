package forward

import (
	"context"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	nestorv1 "github.com/nestor-gateway/nestor/proto/nestor/v1"
	"github.com/nestor-gateway/nestor/ratelimit"
)

// maxLife is the longest that a sign of life can have something held.
const maxLife = 24 * time.Hour

// service takes what other replicas have to settle here.
type service struct {
	nestorv1.UnimplementedLedgerServer
	forwarder *Forwarder
}

// Register lets other replicas reach this one. Who can connect can settle: the port is for Envoy and replicas.
func (f *Forwarder) Register(g grpc.ServiceRegistrar) {
	nestorv1.RegisterLedgerServer(g, &service{forwarder: f})
}

// Settle settles each reservation once, however often it is named.
func (s *service) Settle(_ context.Context, r *nestorv1.SettleRequest) (*nestorv1.SettleReply, error) {
	if r.Holder != s.forwarder.Self {
		return nil, status.Errorf(codes.NotFound, "this is replica %q, not %q", s.forwarder.Self, r.Holder)
	}
	for _, one := range r.Settlements {
		if len(one.Id) != len(ratelimit.ID{}) || one.Requests < 0 || one.Tokens < 0 || one.LifeMs < 0 || one.LifeMs > maxLife.Milliseconds() || one.Cost < 0 {
			return nil, status.Errorf(codes.InvalidArgument, "no settlement: %v", one)
		}
	}
	reply := &nestorv1.SettleReply{}
	for _, one := range r.Settlements {
		if s.settle(one) {
			reply.Settled++
		}
	}
	return reply, nil
}

func (s *service) settle(one *nestorv1.Settlement) bool {
	id, f := ratelimit.ID(one.Id), s.forwarder
	if one.LifeMs > 0 {
		return f.renew(id, time.Duration(one.LifeMs)*time.Millisecond)
	}
	f.charge(id, one.Cost, one.Row)
	if one.Refund {
		return f.Ledger.Refund(one.Deployment, id)
	}
	return f.Ledger.Settle(one.Deployment, id, ratelimit.Amounts{
		ratelimit.Requests: one.Requests, ratelimit.Tokens: one.Tokens,
	})
}
