package budget

import (
	"context"
	"time"

	"github.com/nestor-gateway/nestor/access/record"
)

const (
	// patience is how long a request waits for what others may give back, and for a bank that is lost.
	patience = 100 * time.Millisecond
	// trust is how long it waits for the first answer of a bank that isn't: a slow one, which may have plenty left.
	trust = time.Second
	// pace is between two questions of one request: others may give back meanwhile.
	pace = 20 * time.Millisecond
	// barren is for how long the bank isn't asked again that had nothing left.
	barren = 250 * time.Millisecond
	// retrySoon is the guess for when a bank is back, or a request in flight has ended.
	retrySoon = time.Second
)

// insist asks the bank until the request has what it needs, or has waited long enough. An account was short of it.
func (l *Ledger) insist(ctx context.Context, q *Reservation, short *Account) *Denial {
	if l.o.Exclusive && l.calls.lost.Load() {
		l.ask(short)
		return l.decide(q, short, true)
	}
	if l.barren(q, short) {
		return l.denial(q, short, false)
	}
	want(q, q.Amount)
	d := l.persist(ctx, q)
	want(q, -q.Amount)
	if d != nil {
		l.ask(q.Accounts...) // to give back what it got and can't use
	}
	return d
}

// persist asks until the request has what it needs, nothing is to be had, or its patience is at an end.
func (l *Ledger) persist(ctx context.Context, q *Reservation) *Denial {
	first, stop := context.WithTimeout(ctx, l.trust())
	defer stop()
	err := l.ask(q.Accounts...).wait(first)
	ctx, stop = context.WithTimeout(first, patience)
	defer stop()
	for lost := true; ; {
		lost = lost && err != nil
		short, denied := l.try(q, false)
		if !denied {
			return nil
		}
		if ctx.Err() != nil || err != nil && l.o.Exclusive {
			return l.decide(q, short, lost)
		}
		if l.barren(q, short) {
			return l.denial(q, short, false)
		}
		sleep(ctx, pace)
		err = l.ask(q.Accounts...).wait(ctx)
	}
}

// trust is how long the bank's first answer may take. Who needs none doesn't wait for a slow one.
func (l *Ledger) trust() time.Duration {
	if l.o.Exclusive || l.calls.lost.Load() {
		return patience
	}
	return trust
}

// decide denies, unless the bank is lost and this process alone knows what is spent.
func (l *Ledger) decide(q *Reservation, short *Account, lost bool) *Denial {
	if !lost {
		l.despair(q, short)
	}
	if !lost || !l.o.Exclusive {
		return l.denial(q, short, lost)
	}
	if again, denied := l.try(q, true); denied {
		return l.denial(q, again, false)
	}
	return nil
}

// barren reports whether it is of no use to ask the bank: it has just said that this lease is all there is, or a request
// for no more has waited in vain. That says nothing of a new period.
func (l *Ledger) barren(q *Reservation, a *Account) bool {
	wall := l.o.Now()
	now := wall.Sub(l.start)
	if !l.calls.trusted(now, q.Life) {
		return false
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.over(wall) {
		return false
	}
	return a.whole && now < a.heard+barren || now < a.barren && q.Amount >= a.scarce
}

// despair has requests for as much or more denied at once for a while: one has waited in vain.
func (l *Ledger) despair(q *Reservation, a *Account) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.barren, a.scarce = l.now()+barren, q.Amount
}

func (l *Ledger) denial(q *Reservation, a *Account, unsure bool) *Denial {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := l.o.Now()
	d := &Denial{Account: a.name, Spend: a.spent(now), Unsure: unsure}
	if a.terms.Max != nil {
		d.Max = *a.terms.Max
	}
	d.InFlight = !unsure && a.held+a.others > 0 && d.Spend+q.Least <= d.Max
	switch {
	case unsure, d.InFlight:
		d.RetryAfter = retrySoon
	case !a.terms.ResetAt.IsZero():
		d.RetryAfter = max(a.terms.ResetAt.Sub(now), pace) // the bank's clock may be behind
	}
	return d
}

// want changes what requests wait for.
func want(q *Reservation, amount record.Nano) {
	for _, a := range q.Accounts {
		a.mu.Lock()
		a.need += amount
		a.mu.Unlock()
	}
}

func sleep(ctx context.Context, d time.Duration) {
	ctx, stop := context.WithTimeout(ctx, d)
	defer stop()
	<-ctx.Done()
}
