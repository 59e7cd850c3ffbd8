package ending

import (
	"strings"

	"github.com/nestor-gateway/nestor/extproc/estimate"
	nestorv1 "github.com/nestor-gateway/nestor/proto/nestor/v1"
)

// Reach is how far an attempt got.
type Reach uint8

const (
	// Nowhere: nothing can have reached an upstream.
	Nowhere Reach = iota
	// Answered: the provider answered; an error of its costs no tokens.
	Answered
	// Unknown: the provider may have done all of the work, or some of it.
	Unknown
)

// resetBeforeHeaders begins Envoy's details of connections that were not made, or broke off before the answer began.
const resetBeforeHeaders = "upstream_reset_before_response_started{"

// reachOf tells by Envoy's response code details how far an attempt went that ended without a good answer.
// Details that nobody foresaw count as if the provider had worked.
func reachOf(details string) Reach {
	if details == "via_upstream" || details == "" { // an Envoy that tells no details
		return Answered
	}
	if cause, ok := strings.CutPrefix(details, resetBeforeHeaders); ok {
		return reachOfReset(cause)
	}
	for _, word := range [...]string{"no_healthy_upstream", "cluster_not_found", "route_not_found", "direct_response",
		"maintenance_mode", "request_payload_too_large", "overload", "drop_overload"} {
		if strings.HasPrefix(details, word) {
			return Nowhere
		}
	}
	return Unknown
}

// reachOfReset tells connections that were not made, and streams that were refused, from those that broke off.
func reachOfReset(cause string) Reach {
	for _, word := range [...]string{"remote_connection_failure", "local_connection_failure", "connection_failure", "connection_timeout",
		"overflow", "remote_refused_stream_reset", "local_refused_stream_reset"} {
		if strings.HasPrefix(cause, word) {
			return Nowhere
		}
	}
	return Unknown
}

// SpentByFailure is the same for the failure exchange and the access log entry, whichever comes first.
func SpentByFailure(d *nestorv1.Decision, details string) (Reach, int64) {
	far := reachOf(details)
	if far == Unknown {
		return far, d.ReservedTokens
	}
	return far, 0
}

// Spent is how far an attempt got and the tokens it used: those that the provider reported, else what
// can be told from the bytes of the answer, else what was reserved; where the bytes are compressed, the larger of
// these two. streamed says how many tokens the first bytes of a stream are.
func (e Entry) Spent(streamed func(bytes int64) int64) (Reach, int64) {
	d := e.Decision
	switch outcome := e.Outcome(); {
	case e.Status >= 300: // whether the client left or the next attempt began before its end
		return SpentByFailure(d, e.Details)
	case outcome == Abort && e.Unsent:
		return Nowhere, 0
	case e.Usage.Known():
		return Answered, e.Usage.Sum()
	case e.Packed:
		return Answered, max(e.guess(streamed), d.ReservedTokens)
	default:
		return Answered, e.guess(streamed)
	}
}

// guess tells from the bytes of the answer, as far as they say anything, how many tokens were used.
func (e Entry) guess(streamed func(bytes int64) int64) int64 {
	d := e.Decision
	switch {
	case d.Stream && e.Sent > 0 && d.Completions > 0:
		return d.InputTokens + allowed(d, streamed(e.Sent))
	case e.Outcome() == Success && !d.Stream && d.Completions > 0:
		return d.InputTokens + allowed(d, estimate.Plain(e.Sent))
	default:
		return d.ReservedTokens
	}
}

// allowed is how many of the tokens that an answer seems to have it can have: the request may have said.
func allowed(d *nestorv1.Decision, output int64) int64 {
	if d.MostOutput > 0 {
		return min(output, d.MostOutput)
	}
	return output
}
