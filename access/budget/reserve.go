package budget

import (
	"context"
	"time"

	"github.com/nestor-gateway/nestor/access/record"
)

// Denial says which account stands in the way.
type Denial struct {
	Account string
	// Spend is what the period has cost, Max what it may.
	Spend, Max record.Nano
	// RetryAfter is when the budget resets; 0: never. When Unsure or InFlight it is a guess.
	RetryAfter time.Duration
	// InFlight says that what other requests hold is in the way, and not what was spent: some of it comes free.
	InFlight bool
	// Unsure says that the bank can't be reached: there may be something left.
	Unsure bool
}

// Reserve holds the amount on all accounts that have a Max, or on none: then the denial says why. A request larger than
// what is left of an account, on which nothing is held, gets all of that if it is more than Least. An amount of
// 0 is never denied. The same ID again, while the first is held, holds nothing more and is no denial.
//
// Where the leases don't suffice it waits for the bank: a second at most for an answer, and a tenth of one for what others
// may give back.
func (l *Ledger) Reserve(ctx context.Context, q Reservation) *Denial {
	q.Amount = bounded(q.Amount)
	q.Least = min(bounded(q.Least), q.Amount)
	q.Life = min(max(q.Life, time.Second), Longest)
	l.calls.live(q.Life)
	short, denied := l.try(&q, false)
	if !denied {
		return nil
	}
	return l.insist(ctx, &q, short)
}

func bounded(n record.Nano) record.Nano { return min(max(n, 0), largest) }

// try holds what a request needs of its accounts, all or nothing; it returns the account that is short. Alone it goes by
// what is known here rather than by leases.
func (l *Ledger) try(q *Reservation, alone bool) (short *Account, denied bool) {
	s := l.shard(&q.ID)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.held[q.ID] != nil {
		return nil, false
	}
	r := s.take()
	r.prepare(q.Accounts)
	if short := l.hold(r, q, alone); short != nil {
		s.spare = append(s.spare, r)
		return short, true
	}
	s.held[q.ID] = r
	return nil, false
}

// hold returns the account that is short, or nil.
func (l *Ledger) hold(r *reservation, q *Reservation, alone bool) *Account {
	r.lock()
	defer r.unlock()
	wall := l.o.Now()
	now := wall.Sub(l.start)
	r.amount, r.ends = q.Amount, now+q.Life
	if q.Amount == 0 {
		return nil
	}
	trusted := l.calls.trusted(now, q.Life)
	for i := range r.holds {
		h := &r.holds[i]
		if !h.limited {
			continue
		}
		rest, whole := l.rest(h.account, trusted, alone, wall)
		if h.amount = h.account.offer(q, rest, whole); h.amount == 0 {
			return h.account
		}
		r.amount = min(r.amount, h.amount)
	}
	l.commit(r, now)
	return nil
}

// rest is what may still be held on an account, and whether that is all there is.
func (l *Ledger) rest(a *Account, trusted, alone bool, wall time.Time) (rest record.Nano, whole bool) {
	switch {
	case a.terms.Max == nil: // it had one when its lock was chosen
		return largest, false
	case a.gone:
		return 0, false
	case alone:
		return a.alone(wall), true
	case !trusted:
		return 0, false
	}
	return a.free(l.calls.epoch.Load()), a.whole
}

// offer is what the account holds for a request: its amount, or all that is left, or 0.
func (a *Account) offer(q *Reservation, rest record.Nano, whole bool) record.Nano {
	switch {
	case q.Amount <= rest:
		return q.Amount
	case whole && a.held == 0 && q.Least < rest:
		return rest
	}
	return 0
}

// commit counts what is held, and has the bank asked where little is left of the lease.
func (l *Ledger) commit(r *reservation, now time.Duration) {
	for i := range r.holds {
		a := r.holds[i].account
		if !r.holds[i].limited {
			continue
		}
		a.held += r.holds[i].amount
		a.flow.add(r.holds[i].amount, now)
		if a.low(now) {
			l.ask(a)
		}
	}
}
