package extproc

import (
	"context"
	"crypto/rand"
	"errors"

	"github.com/nestor-gateway/nestor/extproc/estimate"
	"github.com/nestor-gateway/nestor/extproc/openai"
	"github.com/nestor-gateway/nestor/ratelimit"
	"github.com/nestor-gateway/nestor/routing"
)

// ownID joins the attempts of a request for which Envoy sent no id.
func ownID(id string) string {
	if id == "" {
		return rand.Text()
	}
	return id
}

// hold is what the attempt reserves of everything that limits it.
func (s *Server) hold(d *decided) ratelimit.Reservation {
	caller := ""
	if k := d.request.who.Key; k != nil {
		caller = k.Origin
	}
	d.estimate = s.book.Guess(d.target.Group, estimate.Request{
		Caller: caller, Bytes: d.fields.TextBytes, BlobTokens: d.fields.BlobTokens, Completions: d.completions(), Most: d.fields.MostOutput(),
	})
	return ratelimit.Reservation{
		ID:      d.request.hold,
		Amounts: ratelimit.Amounts{ratelimit.Requests: 1, ratelimit.Tokens: d.estimate.Total(), ratelimit.Parallel: 1},
		Life:    Life(s.Signs),
	}
}

// completions is how many the answer has; embeddings have none.
func (d *decided) completions() int64 {
	if d.request.route.Endpoint == openai.Embeddings {
		return 0
	}
	return d.fields.Completions()
}

// reserve picks a deployment with what the attempt is going to use. Where only the guess of the answer is larger than
// every limit, it makes do with the whole limit.
func (s *Server) reserve(ctx context.Context, view *routing.View, d *decided, q routing.Query) (routing.Pick, error) {
	d.reserved = q.Hold.Amounts[ratelimit.Tokens]
	p, err := view.Pick(ctx, d.target, q)
	limit := obstacle(err)
	if onlyGuessTooLarge(limit, d) {
		d.reserved = limit.Room.Limit
		q.Hold.Amounts[ratelimit.Tokens] = d.reserved
		p, err = view.Pick(ctx, d.target, q)
	}
	return p, err
}

// onlyGuessTooLarge reports whether the request itself is within the largest limit there is.
func onlyGuessTooLarge(limit *routing.Obstacle, d *decided) bool {
	return limit != nil && limit.Never && limit.Dimension == ratelimit.Tokens &&
		limit.Room.Limit >= d.estimate.Input && limit.Room.Limit < d.reserved
}

// inFlightOnly reports whether a pick failed for want of a place among those in flight, which one that ends gives.
func inFlightOnly(err error) bool {
	limit := obstacle(err)
	return limit != nil && limit.Dimension == ratelimit.Parallel && !limit.Never
}

// isCaller reports whether a limit of who asks ended a pick: no other deployment helps.
func isCaller(err error) bool {
	none, ok := errors.AsType[*routing.NoneError](err)
	return ok && none.Caller
}

// obstacle is the limit that kept anything from being picked; nil when it was something else.
func obstacle(err error) *routing.Obstacle {
	if none, ok := errors.AsType[*routing.NoneError](err); ok {
		return none.Limit
	}
	return nil
}
