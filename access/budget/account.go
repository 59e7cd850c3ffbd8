package budget

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/nestor-gateway/nestor/access/record"
)

// Account is the handle of one budget account. The ledger that gave it changes it; a handle may be kept for ever.
type Account struct {
	name    string
	order   uint64      // in which locks are taken
	limited atomic.Bool // whether there is a Max

	mu    sync.Mutex
	terms Terms
	// held and unwritten are what this replica uses.
	held, unwritten record.Nano
	// lease bounds what is used. It is worth something in its epoch only: see calls.epoch.
	lease record.Nano
	epoch uint64
	// As of the bank's last answer: spend and others are amounts, whole says that this lease has all that was left and
	// nobody else has any. heard is when that was, 0 before the first.
	// left is the account's rest with what was free of this lease.
	spend, others, left record.Nano
	whole               bool
	heard               time.Duration
	// Until quiet the bank isn't asked for more without need, until barren not even for requests of scarce and more: one
	// has waited in vain.
	quiet, barren time.Duration
	scarce        record.Nano
	need          record.Nano // what requests wait for
	flow          flow
	gone          bool
	doubt         bool // the bank may have leased more: it wasn't told, or an answer was lost
	told          bool // Soft was, in this period

	// The ledger's lock guards these: it is among those asked for, and somebody has the handle.
	asked, given bool
}

// Name is what the account is called in rows and by the bank.
func (a *Account) Name() string { return a.name }

func (a *Account) used() record.Nano { return a.held + a.unwritten }

// spent is 0 but for what is unwritten once a new period has begun that the bank has not told of yet.
func (a *Account) spent(now time.Time) record.Nano {
	if a.over(now) {
		return a.unwritten
	}
	return a.spend + a.unwritten
}

// over reports whether the period has ended that the bank has told of.
func (a *Account) over(now time.Time) bool {
	return !a.terms.ResetAt.IsZero() && !now.Before(a.terms.ResetAt)
}

// set reports whether the bank should be asked: what it has leased may be too much or too little now.
func (a *Account) set(t Terms, spend record.Nano) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	changed := !a.terms.equal(t)
	if a.heard == 0 {
		a.spend = spend
	}
	a.terms, a.gone, a.barren, a.whole = t, false, 0, false
	a.limited.Store(t.Max != nil)
	if t.Max != nil {
		a.lower(*t.Max - a.spend)
	}
	return changed && a.heard > 0
}

func (t Terms) equal(o Terms) bool {
	return same(t.Max, o.Max) && same(t.Soft, o.Soft) && t.Duration == o.Duration && t.ResetAt.Equal(o.ResetAt)
}

func same(a, b *record.Nano) bool { return a == b || a != nil && b != nil && *a == *b }

// lower has the lease be no more than an amount, or what is used: that is always safe.
func (a *Account) lower(to record.Nano) {
	if to = max(to, a.used()); to < a.lease {
		a.lease, a.whole, a.doubt = to, false, true
	}
}

// free is what may still be held.
func (a *Account) free(epoch uint64) record.Nano {
	if a.epoch != epoch {
		return 0
	}
	return a.lease - a.used()
}

// alone is what may still be held by a process that nobody shares the account with, by what it knows itself.
func (a *Account) alone(now time.Time) record.Nano {
	return *a.terms.Max - a.spent(now) - a.others - a.held
}

// soft is the notice that the soft budget was passed, when that is new in this period.
func (a *Account) soft(now time.Time) (n Notice, passed bool) {
	if a.terms.Soft == nil || a.spent(now) <= *a.terms.Soft {
		a.told = false
		return Notice{}, false
	}
	passed = !a.told
	a.told = true
	return Notice{Event: Soft, Account: a.name, Spend: a.spent(now), Limit: *a.terms.Soft}, passed
}

// spare is the lease beyond what is used that saves calls to the bank: about what is reserved in a span. Near the limit,
// when not even four times that is left, it is none: what one replica keeps in store, another may need.
func (a *Account) spare(now time.Duration) record.Nano {
	if spare := a.flow.lately(now); spare <= a.left/4 {
		return spare
	}
	return 0
}

// low reports whether the bank should be asked for more before a request has to wait.
func (a *Account) low(now time.Duration) bool {
	return now >= a.quiet && a.lease-a.used() < a.spare(now)/2 && a.hush(now)
}

// tell reports whether the bank should hear at once of a debt, or of what isn't needed.
func (a *Account) tell(now time.Duration) bool {
	return now >= a.quiet && (a.lease < a.used() || a.excess(now) > 0) && a.hush(now)
}

func (a *Account) hush(now time.Duration) bool {
	a.quiet = now + calm
	return true
}

// excess is how much of the lease isn't needed. A little more than needed is kept.
func (a *Account) excess(now time.Duration) record.Nano {
	spare := a.spare(now)
	if a.lease <= a.used()+a.need+2*spare {
		return 0
	}
	return a.lease - a.used() - a.need - spare
}

// flow measures what was reserved in the last one or two spans of time.
type flow struct {
	current, previous record.Nano
	since             time.Duration
}

const (
	span = 10 * time.Second
	// calm is between two questions for more that nobody waits for.
	calm = 100 * time.Millisecond
)

func (f *flow) add(amount record.Nano, now time.Duration) {
	f.roll(now)
	f.current = min(f.current+amount, record.MostNano/8)
}

func (f *flow) roll(now time.Duration) {
	switch age := now - f.since; {
	case age >= 2*span:
		*f = flow{since: now}
	case age >= span:
		*f = flow{previous: f.current, since: now}
	}
}

// lately is about what was reserved in a span.
func (f *flow) lately(now time.Duration) record.Nano {
	f.roll(now)
	return max(f.current, f.previous)
}
