// Package standing tells clients how the limits stand, in OpenAI's headers.
package standing

import (
	"strconv"
	"time"

	"github.com/nestor-gateway/nestor/extproc/announced"
	"github.com/nestor-gateway/nestor/extproc/message"
	"github.com/nestor-gateway/nestor/extproc/openai"
	nestorv1 "github.com/nestor-gateway/nestor/proto/nestor/v1"
	"github.com/nestor-gateway/nestor/ratelimit"
)

// names are those of the headers, and of the keys of metadata, of a dimension that clients are told of.
type names struct{ key, header [3]string }

func namesOf(d ratelimit.Dimension) (names, bool) {
	switch d {
	case ratelimit.Requests:
		return names{
			key:    [3]string{nestorv1.KeyLimitRequests, nestorv1.KeyRemainingRequests, nestorv1.KeyResetRequests},
			header: [3]string{nestorv1.HeaderLimitRequests, nestorv1.HeaderRemainingRequests, nestorv1.HeaderResetRequests},
		}, true
	case ratelimit.Tokens:
		return names{
			key:    [3]string{nestorv1.KeyLimitTokens, nestorv1.KeyRemainingTokens, nestorv1.KeyResetTokens},
			header: [3]string{nestorv1.HeaderLimitTokens, nestorv1.HeaderRemainingTokens, nestorv1.HeaderResetTokens},
		}, true
	}
	return names{}, false
}

// Names are those of the headers of a dimension; none where clients are told nothing of it.
func Names(d ratelimit.Dimension) []string {
	in, ok := namesOf(d)
	if !ok {
		return nil
	}
	return in.header[:]
}

// texts are the values of a dimension's headers: the limit, what remains, and when all is back.
func texts(r ratelimit.Room) [3]string {
	return [3]string{strconv.FormatInt(r.Limit, 10), strconv.FormatInt(max(r.Remaining, 0), 10), announced.Format(r.Reset)}
}

// Add writes how the limits stand, for the routes to tell the client.
func Add(m *message.Metadata, s ratelimit.Standing) {
	for _, dimension := range [...]ratelimit.Dimension{ratelimit.Requests, ratelimit.Tokens} {
		room := s[dimension]
		if room.Limit == ratelimit.None {
			continue
		}
		in, _ := namesOf(dimension)
		for i, text := range texts(room) {
			m.Add(in.key[i], text)
		}
	}
}

// Headers are those that tell the client.
func Headers(s ratelimit.Standing) []openai.Header {
	return append(headers(ratelimit.Requests, s[ratelimit.Requests]), headers(ratelimit.Tokens, s[ratelimit.Tokens])...)
}

// headers are those of one dimension; none where it has no limit, or none that clients are told of.
func headers(d ratelimit.Dimension, room ratelimit.Room) []openai.Header {
	in, ok := namesOf(d)
	if !ok || room.Limit == ratelimit.None {
		return nil
	}
	told := make([]openai.Header, 0, 2*len(in.header))
	for i, text := range texts(room) {
		told = append(told, openai.Header{Name: in.header[i], Value: text})
	}
	return told
}

// Refuse has an error tell how the limit in the way stands, and when to come back, to the millisecond.
func Refuse(e *openai.Error, of ratelimit.Dimension, room ratelimit.Room) *openai.Error {
	hint := openai.Header{Name: "x-should-retry", Value: "false"}
	if e.RetryAfter > 0 {
		ms := int64((e.RetryAfter + time.Millisecond - 1) / time.Millisecond)
		hint = openai.Header{Name: "retry-after-ms", Value: strconv.FormatInt(ms, 10)}
	}
	e.Headers = append(append(e.Headers, hint), headers(of, room)...)
	return e
}
