package forward

import (
	"maps"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/nestor-gateway/nestor/ratelimit"
)

func (l *ledger) Renew(id ratelimit.ID, life time.Duration) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.lives == nil {
		l.lives = map[ratelimit.ID]time.Duration{}
	}
	l.lives[id] = life
	return l.held[id] != ""
}

func (l *ledger) renewed() map[ratelimit.ID]time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return maps.Clone(l.lives)
}

func TestASignOfLifeGoesToTheHolder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet()
		a, b := f.start("a", "a:1"), f.start("b", "b:1")
		defer a.stop()
		defer b.stop()
		a.ledger.hold(3)
		b.ledger.hold(3)
		a.Renew("a", id(0), 2*time.Minute)
		a.Renew("b", id(1), 2*time.Minute)
		a.Renew("b", id(2), time.Nanosecond)
		a.Renew("gone", id(1), time.Minute)
		time.Sleep(2 * patience)
		for _, c := range []struct {
			*replica
			want map[ratelimit.ID]time.Duration
		}{
			{a, map[ratelimit.ID]time.Duration{id(0): 2 * time.Minute}},
			{b, map[ratelimit.ID]time.Duration{id(1): 2 * time.Minute, id(2): time.Millisecond}},
		} {
			if diff := cmp.Diff(c.want, c.ledger.renewed()); diff != "" {
				t.Errorf("%s: renewed (-want +got):\n%s", c.Self, diff)
			}
			if held, _, calls := c.ledger.state(); held != 3 || calls != 0 {
				t.Errorf("%s: %d of 3 are held after %d settlements", c.Self, held, calls)
			}
		}
		if got := metric(t, a.forwarded) + metric(t, a.dropped); got != 0 {
			t.Errorf("%v are counted as settlements", got)
		}
	})
}
