package extproc

import (
	"errors"

	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"

	"github.com/nestor-gateway/nestor/extproc/message"
	"github.com/nestor-gateway/nestor/extproc/openai"
	"github.com/nestor-gateway/nestor/extproc/standing"
	"github.com/nestor-gateway/nestor/ratelimit"
	"github.com/nestor-gateway/nestor/routing"
)

// refusalDetails is how Envoy's access log tells an answer of the processor itself.
const refusalDetails = "nestor_refusal"

// refuse answers the client without any upstream, and ends the exchange.
func (s *Server) refuse(stream extprocv3.ExternalProcessor_ProcessServer, req request, e *openai.Error) error {
	s.Metrics.refused(e.Status)
	return stream.Send(message.Refusal(req.id, e, refusalDetails))
}

// giveBack returns what was reserved for an attempt that is not made.
func (s *Server) giveBack(d *decided) {
	s.Router.Refund(d.pick.Deployment.ID, d.request.hold)
	s.charge(d.request.hold, 0, nil)
}

// noneLeft says why nothing can be picked, and when there will be a deployment again.
func (s *Server) noneLeft(d *decided, err error) *openai.Error {
	var none *routing.NoneError
	if !errors.As(err, &none) {
		return refusalOf(err)
	}
	if none.Unserved {
		return openai.NoEndpoint(d.model, d.request.route.Endpoint)
	}
	if none.Limit == nil {
		return openai.NoDeployment(d.model, none.RetryAfter)
	}
	e := openai.NoQuota(d.model, d.quota(none))
	if none.Caller {
		e = d.callerFull(none, s.Now())
	}
	room := none.Limit.Room
	if none.Limit.Closed {
		room.Limit = ratelimit.None // nobody knows what remains
	}
	return standing.Refuse(e, none.Limit.Dimension, room)
}

// quota is the limit that stands in the way.
func (d *decided) quota(none *routing.NoneError) openai.Quota {
	limit, requested := none.Limit, int64(1)
	if limit.Dimension == ratelimit.Tokens {
		requested = d.reserved
	}
	return openai.Quota{
		Of: limit.Dimension, Limit: limit.Room.Limit, Remaining: limit.Room.Remaining,
		Requested: requested, TooLarge: limit.Never, Closed: limit.Closed, RetryAfter: none.RetryAfter,
	}
}
