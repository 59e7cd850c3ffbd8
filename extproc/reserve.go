package extproc

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"strconv"

	"github.com/nestor-gateway/nestor/extproc/announced"
	"github.com/nestor-gateway/nestor/extproc/estimate"
	"github.com/nestor-gateway/nestor/extproc/message"
	"github.com/nestor-gateway/nestor/extproc/openai"
	nestorv1 "github.com/nestor-gateway/nestor/proto/nestor/v1"
	"github.com/nestor-gateway/nestor/ratelimit"
	"github.com/nestor-gateway/nestor/routing"
)

// reservationID is the reservation's of an attempt. Every replica computes the same one.
func reservationID(request string, attempt uint32) ratelimit.ID {
	var room [64]byte
	text := binary.BigEndian.AppendUint32(append(room[:0], request...), attempt)
	sum := sha256.Sum256(text)
	return ratelimit.ID(sum[:16])
}

// ownID joins the attempts of a request for which Envoy sent no id.
func ownID(id string) string {
	if id == "" {
		return rand.Text()
	}
	return id
}

// hold is what the attempt reserves of everything that limits it.
func (s *Server) hold(d *decided) ratelimit.Reservation {
	d.estimate = s.book.Guess(d.target.Group, estimate.Request{
		Bytes: d.fields.TextBytes, Blobs: d.fields.Blobs, Completions: d.completions(), Most: d.fields.MostOutput(),
	})
	return ratelimit.Reservation{
		ID:      reservationID(d.request.id, d.request.attempt),
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

// obstacle is the limit that kept anything from being picked; nil when it was something else.
func obstacle(err error) *routing.Obstacle {
	var none *routing.NoneError
	if errors.As(err, &none) {
		return none.Limit
	}
	return nil
}

// limitHeaders names the headers of a dimension that has limits of its own for clients.
type limitHeaders struct{ key, header [3]string }

func headersOf(d ratelimit.Dimension) (limitHeaders, bool) {
	switch d {
	case ratelimit.Requests:
		return limitHeaders{
			key:    [3]string{nestorv1.KeyLimitRequests, nestorv1.KeyRemainingRequests, nestorv1.KeyResetRequests},
			header: [3]string{nestorv1.HeaderLimitRequests, nestorv1.HeaderRemainingRequests, nestorv1.HeaderResetRequests},
		}, true
	case ratelimit.Tokens:
		return limitHeaders{
			key:    [3]string{nestorv1.KeyLimitTokens, nestorv1.KeyRemainingTokens, nestorv1.KeyResetTokens},
			header: [3]string{nestorv1.HeaderLimitTokens, nestorv1.HeaderRemainingTokens, nestorv1.HeaderResetTokens},
		}, true
	}
	return limitHeaders{}, false
}

// roomTexts are the values of a dimension's headers: the limit, what remains, and when all is back.
func roomTexts(r ratelimit.Room) [3]string {
	return [3]string{strconv.FormatInt(r.Limit, 10), strconv.FormatInt(max(r.Remaining, 0), 10), announced.Format(r.Reset)}
}

// addStanding writes how the limits stand, for the routes to tell the client.
func addStanding(m *message.Metadata, standing ratelimit.Standing) {
	for _, dimension := range [...]ratelimit.Dimension{ratelimit.Requests, ratelimit.Tokens} {
		room := standing[dimension]
		if room.Limit == ratelimit.None {
			continue
		}
		names, _ := headersOf(dimension)
		for i, text := range roomTexts(room) {
			m.Add(names.key[i], text)
		}
	}
}
