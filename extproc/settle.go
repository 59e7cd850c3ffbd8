package extproc

import (
	"strings"

	"github.com/nestor-gateway/nestor/extproc/estimate"
	nestorv1 "github.com/nestor-gateway/nestor/proto/nestor/v1"
	"github.com/nestor-gateway/nestor/ratelimit"
)

// Elsewhere settles what another replica holds. It must not block.
type Elsewhere interface {
	Settle(holder, deployment string, id ratelimit.ID, used ratelimit.Amounts)
	// Refund gives a reservation back; holder is empty where nobody knows which replica it is.
	Refund(holder, deployment string, id ratelimit.ID)
}

// reach is how far an attempt got.
type reach uint8

const (
	// nowhere: nothing can have reached an upstream.
	nowhere reach = iota
	// answered: the provider answered; an error of its costs no tokens.
	answered
	// unknown: the provider may have done all of the work, or some of it.
	unknown
)

// reachOf tells by Envoy's response code details how far an attempt went that ended without a good answer.
// Details that nobody foresaw count as if the provider had worked.
func reachOf(details string) reach {
	const reset = "upstream_reset_before_response_started{"
	if details == "via_upstream" || details == "" { // an Envoy that tells no details
		return answered
	}
	if cause, ok := strings.CutPrefix(details, reset); ok {
		return reachOfReset(cause)
	}
	for _, word := range [...]string{"no_healthy_upstream", "cluster_not_found", "route_not_found", "direct_response",
		"maintenance_mode", "request_payload_too_large", "overload", "drop_overload"} {
		if strings.HasPrefix(details, word) {
			return nowhere
		}
	}
	return unknown
}

// reachOfReset tells connections that were not made, and streams that were refused, from those that broke off.
func reachOfReset(cause string) reach {
	for _, word := range [...]string{"remote_connection_failure", "local_connection_failure", "connection_failure", "connection_timeout",
		"overflow", "remote_refused_stream_reset", "local_refused_stream_reset"} {
		if strings.HasPrefix(cause, word) {
			return nowhere
		}
	}
	return unknown
}

// settle replaces what an attempt has reserved by what it used, or gives it back where it was nothing. False when
// it was no longer held here; what another replica holds counts as held.
func (s *Server) settle(d *nestorv1.Decision, far reach, tokens int64) bool {
	id := reservationID(d.RequestId, d.Attempt)
	if far == nowhere {
		s.refund(d.Holder, d.Deployment, id)
		return true
	}
	used := ratelimit.Amounts{ratelimit.Requests: 1, ratelimit.Tokens: tokens}
	if d.Holder != s.Replica && d.Holder != "" && s.Elsewhere != nil {
		s.Elsewhere.Settle(d.Holder, d.Deployment, id, used)
		return true
	}
	held := s.Router.Settle(d.Deployment, id, used)
	if held {
		s.Metrics.settled(d, tokens)
	}
	return held
}

func (s *Server) refund(holder, deployment string, id ratelimit.ID) {
	if holder != s.Replica && holder != "" && s.Elsewhere != nil {
		s.Elsewhere.Refund(holder, deployment, id)
		return
	}
	if !s.Router.Refund(deployment, id) && holder == "" && s.Replica != "" && s.Elsewhere != nil {
		s.Elsewhere.Refund("", deployment, id)
	}
}

// settleFailure settles an attempt whose answer is no success: its access log entry comes after the next pick.
func (s *Server) settleFailure(f *failed) {
	if f.decision == nil {
		return
	}
	far, tokens := spentByFailure(f.decision, f.details)
	s.settle(f.decision, far, tokens)
}

// spentByFailure is the same for the failure exchange and the access log entry, whichever comes first.
func spentByFailure(d *nestorv1.Decision, details string) (reach, int64) {
	far := reachOf(details)
	if far == unknown {
		return far, d.ReservedTokens
	}
	return far, 0
}

// settleEntry settles an attempt by its access log entry.
func (s *Server) settleEntry(e entry) {
	far, tokens := s.spent(e)
	held := s.settle(e.decision, far, tokens)
	if !held && e.outcome() == outcomeSuccess && e.decision.ReservedTokens > 0 {
		s.Metrics.expired.Inc()
	}
}

// spent is how far an attempt got and the tokens it used: those that the provider reported, else what
// can be told from the bytes of the answer, else what was reserved.
func (s *Server) spent(e entry) (reach, int64) {
	d := e.decision
	switch outcome := e.outcome(); {
	case e.status >= 300: // whether the client left or the next attempt began before its end
		return spentByFailure(d, e.details)
	case outcome == outcomeAbort && e.unsent:
		return nowhere, 0
	case e.usage.known():
		return answered, e.usage.sum()
	case d.Stream && e.sent > 0 && d.Completions > 0:
		return answered, d.InputTokens + s.book.Streamed(e.model, e.sent)
	case outcome == outcomeSuccess && !d.Stream && d.Completions > 0:
		return answered, d.InputTokens + estimate.Plain(e.sent)
	default:
		return answered, d.ReservedTokens
	}
}

// learn takes what a whole answer used into account for the next estimates.
func (s *Server) learn(e entry) {
	d := e.decision
	if e.outcome() != outcomeSuccess || !e.usage.known() || e.group == "" || e.model == "" {
		return
	}
	truth := estimate.Truth{Prompt: e.usage.prompt, Completion: e.usage.completion, Bytes: d.InputBytes, Completions: d.Completions}
	if d.Stream {
		truth.Sent = e.sent
	}
	s.book.Learn(e.group, e.model, truth)
}
