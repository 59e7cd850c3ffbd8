package extproc

import (
	"time"

	"github.com/nestor-gateway/nestor/access/record"
	"github.com/nestor-gateway/nestor/extproc/ending"
	"github.com/nestor-gateway/nestor/extproc/estimate"
	"github.com/nestor-gateway/nestor/extproc/forward"
	nestorv1 "github.com/nestor-gateway/nestor/proto/nestor/v1"
	"github.com/nestor-gateway/nestor/ratelimit"
)

// Elsewhere settles what another replica holds. It must not block.
type Elsewhere interface {
	Settle(holder, deployment string, id ratelimit.ID, used ratelimit.Amounts, b forward.Bill)
	// Refund gives a reservation back; holder is empty where nobody knows which replica it is.
	Refund(holder, deployment string, id ratelimit.ID)
	// Renew has a reservation held for a time from now on at least.
	Renew(holder string, id ratelimit.ID, life time.Duration)
}

// settle replaces what an attempt has reserved by what it used, or gives it back where it was nothing, and has it pay.
// False when it was no longer held here; what another replica holds counts as held.
func (s *Server) settle(d *nestorv1.Decision, far ending.Reach, tokens, cost int64, row *record.Spend) bool {
	id := record.AttemptID(d.RequestId, d.Attempt)
	if far == ending.Nowhere && row == nil {
		s.refund(d.Holder, d.Deployment, id)
		return true
	}
	used := ratelimit.Amounts{ratelimit.Requests: 1, ratelimit.Tokens: tokens}
	if far == ending.Nowhere {
		used = ratelimit.Amounts{}
	}
	if s.isElsewhere(d.Holder) {
		s.Elsewhere.Settle(d.Holder, d.Deployment, id, used, sent(cost, row))
		return true
	}
	s.charge(id, cost, row)
	held := s.Router.Settle(d.Deployment, id, used)
	if held {
		s.Metrics.settled(d, tokens)
	}
	return held
}

// isElsewhere reports whether a holder is another replica, as far as its reservations can be reached.
func (s *Server) isElsewhere(holder string) bool {
	return holder != s.Replica && holder != "" && s.Elsewhere != nil
}

func (s *Server) refund(holder, deployment string, id ratelimit.ID) {
	if s.isElsewhere(holder) {
		s.Elsewhere.Refund(holder, deployment, id)
		return
	}
	s.charge(id, 0, nil)
	if !s.Router.Refund(deployment, id) && holder == "" && s.Replica != "" && s.Elsewhere != nil {
		s.Elsewhere.Refund("", deployment, id)
	}
}

// settleFailure settles an attempt whose answer is no success: its access log entry comes after the next pick.
func (s *Server) settleFailure(f *failed) {
	if f.decision == nil {
		return
	}
	s.settle(f.decision, f.reach, f.tokens, ending.CostOfFailure(f.decision, f.details, f.tokens), nil)
}

// awaitBody remembers a failure of the provider's until over is called: its body may not come to an end.
func (s *Server) awaitBody(f *failed) (over func()) {
	if f.decision == nil || f.reach != ending.Answered {
		return func() {}
	}
	id := record.AttemptID(f.decision.RequestId, f.decision.Attempt)
	s.broken.add(id, s.Now())
	return func() { s.broken.take(id) }
}

// settleEntry settles an attempt by its access log entry.
func (s *Server) settleEntry(e ending.Entry) {
	far, tokens := e.Spent(func(bytes int64) int64 { return s.book.Streamed(e.Model, bytes) })
	if s.broken.some.Load() && s.broken.take(record.AttemptID(e.Decision.RequestId, e.Decision.Attempt)) {
		tokens = 0
	}
	cost, row := s.bill(e, tokens)
	held := s.settle(e.Decision, far, tokens, cost, row)
	if !held && e.Outcome() == ending.Success && e.Decision.ReservedTokens > 0 {
		s.Metrics.expired.Inc()
	}
}

// learn takes what a whole answer used into account for the next estimates.
func (s *Server) learn(e ending.Entry) {
	d := e.Decision
	if d.Probe || e.Outcome() != ending.Success || !e.Usage.Known() || e.Group == "" || e.Model == "" {
		return
	}
	truth := estimate.Truth{Caller: originOf(d), Most: d.MostOutput, Prompt: e.Usage.Prompt, Completion: e.Usage.Completion, Bytes: d.InputBytes, Completions: d.Completions}
	if d.Stream {
		truth.Sent = e.Sent
	}
	s.book.Learn(e.Group, e.Model, truth)
}
