package budget

import (
	"time"

	"github.com/nestor-gateway/nestor/access/record"
	"github.com/nestor-gateway/nestor/ratelimit"
)

// Settle replaces what a reservation holds by what the request did cost; more than was held is a debt. It reports whether
// the reservation was held here: of several calls for one ID the first alone counts. Then one row with the cost and
// the same accounts must come to WriteSpend; where it was not held, tell Charge first.
func (l *Ledger) Settle(id ratelimit.ID, cost record.Nano) (held bool) {
	s := l.shard(&id)
	r := s.remove(id)
	if r == nil {
		return false
	}
	l.settle(r, bounded(cost))
	s.keep(r)
	return true
}

// Refund gives a reservation back whole: nothing was spent, and no row has a cost.
func (l *Ledger) Refund(id ratelimit.ID) (held bool) { return l.Settle(id, 0) }

// Renew has a reservation held for a time from now on at least, and reports whether it was held.
func (l *Ledger) Renew(id ratelimit.ID, life time.Duration) (held bool) {
	life = min(life, Longest)
	l.calls.live(life)
	s := l.shard(&id)
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.held[id]
	if r == nil {
		return false
	}
	r.ends = max(r.ends, l.now()+life)
	return true
}

// Charge counts a cost that was not held here, before its row comes to WriteSpend: an entry for a reservation that has
// ended or another replica made, or a row that an earlier process left.
func (l *Ledger) Charge(accounts []string, cost record.Nano) {
	now := l.o.Now()
	for i, name := range accounts {
		if first(accounts, i) {
			l.charge(l.charged(name), 0, bounded(cost), now)
		}
	}
}

// first reports whether the name at i is not among those before it.
func first(names []string, i int) bool {
	for _, name := range names[:i] {
		if name == names[i] {
			return false
		}
	}
	return true
}

func (l *Ledger) settle(r *reservation, cost record.Nano) {
	now := l.o.Now()
	for i := range r.holds {
		l.charge(r.holds[i].account, r.holds[i].amount, cost, now)
	}
}

// charge counts a cost until it is written, and what was held for it no longer.
func (l *Ledger) charge(a *Account, held, cost record.Nano, now time.Time) {
	a.mu.Lock()
	a.held -= held
	a.unwritten += cost
	notice, passed := a.soft(now)
	tell := a.limited.Load() && a.tell(now.Sub(l.start))
	a.mu.Unlock()
	if passed {
		l.warn(notice)
	}
	if tell {
		l.ask(a)
	}
}

// expire settles what has outlived its Life.
func (l *Ledger) expire() {
	for i := range l.shards {
		s := &l.shards[i]
		for id, r := range s.ended(l.now()) {
			l.settle(r, r.amount)
			if l.o.Expired != nil {
				l.o.Expired(Expired{ID: id, Cost: r.amount, Accounts: r.names()})
			}
			s.keep(r)
		}
	}
}
