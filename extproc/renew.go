package extproc

import (
	"math"
	"time"

	"github.com/nestor-gateway/nestor/access/record"
	nestorv1 "github.com/nestor-gateway/nestor/proto/nestor/v1"
)

// missed is after how many intervals without a sign of life an attempt is taken to have ended unheard of: its last
// entry was lost, or its Envoy is gone. Until then an Envoy that must find another processor has time to.
const missed = 4

// Life is how long what an attempt has reserved is held without a sign of life, if they come at an interval. It settles
// then at the estimate. Attempts themselves may take as long as they like.
func Life(interval time.Duration) time.Duration { return missed * interval }

// renew has what an attempt in flight has reserved held on. It reports whether it is held; what another replica
// holds counts as held.
func (s *Server) renew(d *nestorv1.Decision) bool {
	id := record.AttemptID(d.RequestId, d.Attempt)
	if s.isElsewhere(d.Holder) {
		s.Elsewhere.Renew(d.Holder, id, Life(s.Signs))
		return true
	}
	if s.Till != nil {
		s.Till.Renew(id, Life(s.Signs))
	}
	return s.Router.Renew(id, Life(s.Signs))
}

// renewing has an attempt renewed, for as long as it holds anything, until stop is called: where an exchange lasts as long
// as its attempt, it is the sign of life.
func (s *Server) renewing(d *nestorv1.Decision) (stop func() bool) {
	var timer *time.Timer
	timer = time.AfterFunc(math.MaxInt64, func() {
		if s.renew(d) {
			timer.Reset(s.Signs)
		}
	})
	timer.Reset(s.Signs)
	return timer.Stop
}
