package budget

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nestor-gateway/nestor/access/record"
)

// patienceOfCalls is how long a call to the bank may take: longer than any that is worth something.
const patienceOfCalls = 5 * time.Second

// A round is a call to the bank that is under way or will be.
type round struct {
	done chan struct{}
	err  error
}

func newRound() *round { return &round{done: make(chan struct{})} }

// wait returns how the call went, or why it isn't waited for.
func (r *round) wait(ctx context.Context) error {
	select {
	case <-r.done:
		return r.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (r *round) end(err error) {
	r.err = err
	close(r.done)
}

// ask has the next call claim for the accounts.
func (l *Ledger) ask(accounts ...*Account) *round {
	l.mu.Lock()
	for _, a := range accounts {
		if !a.asked {
			a.asked = true
			l.asking = append(l.asking, a)
		}
	}
	r := l.next
	l.mu.Unlock()
	select {
	case l.wake <- struct{}{}:
	default:
	}
	return r
}

// asked takes what is to be claimed for from the next call.
func (l *Ledger) asked() ([]*Account, *round) {
	l.mu.Lock()
	defer l.mu.Unlock()
	accounts, r := l.asking, l.next
	l.asking, l.next = nil, newRound()
	for _, a := range accounts {
		a.asked = false
	}
	return accounts, r
}

// WriteSpend has the bank write rows, whose cost was settled or charged before. On an error they may have been
// written, and must be sent again.
func (l *Ledger) WriteSpend(ctx context.Context, rows []record.Spend) error {
	return l.exchange(ctx, rows)
}

// exchange makes a call, after those before it.
func (l *Ledger) exchange(ctx context.Context, rows []record.Spend) error {
	c := l.calls
	select {
	case c.sem <- struct{}{}:
		defer func() { <-c.sem }()
	case <-ctx.Done():
		return fmt.Errorf("wait for the bank's answer to another call: %w", ctx.Err())
	}
	ctx, stop := context.WithTimeout(ctx, patienceOfCalls)
	defer stop()
	c.sent = l.now()
	l.lapse(c.sent)
	accounts, r := l.asked()
	parties := l.parties(append(accounts, c.idle(c.sent)...), rows)
	life := time.Duration(c.life.Load())
	for i := range parties {
		c.leased[parties[i].Account] = struct{}{}
	}
	leases, err := l.call(ctx, Margin+life, rows, parties)
	if err == nil {
		l.apply(parties, leases)
		c.told.Store(int64(life))
		c.until.Store(int64(c.sent + Margin))
	}
	l.note(err)
	r.end(err)
	return err
}

// lapse gives all leases up when the bank has not been heard of for too long, and claims for what is used.
func (l *Ledger) lapse(now time.Duration) {
	c := l.calls
	if int64(now) < c.until.Load() {
		return
	}
	c.epoch.Add(1)
	l.ask(l.inUse()...)
}

func (l *Ledger) inUse() []*Account {
	l.mu.Lock()
	var all []*Account
	for _, a := range l.accounts {
		all = append(all, a)
	}
	l.mu.Unlock()
	return slices.DeleteFunc(all, func(a *Account) bool {
		a.mu.Lock()
		defer a.mu.Unlock()
		return !a.limited.Load() || a.used() == 0
	})
}

// idle are the accounts that the bank has leased more of than is needed, or may have.
func (c *calls) idle(now time.Duration) (accounts []*Account) {
	for a := range c.leased {
		a.mu.Lock()
		idle := a.doubt || c.closing.Load() || a.excess(now) > 0
		a.mu.Unlock()
		if idle {
			accounts = append(accounts, a)
		}
	}
	return accounts
}

// A party is an account of a call, with what of its cost is written.
type party struct {
	*Account
	writing record.Nano
}

// parties are the accounts that a call claims for, by name.
func (l *Ledger) parties(asked []*Account, rows []record.Spend) []party {
	writing := map[*Account]record.Nano{}
	for _, a := range asked {
		writing[a] = 0
	}
	l.mu.Lock()
	for i := range rows {
		for j, name := range rows[i].Accounts {
			if a := l.accounts[name]; a != nil && first(rows[i].Accounts, j) {
				writing[a] += bounded(rows[i].Cost)
			}
		}
	}
	l.mu.Unlock()
	parties := make([]party, 0, len(writing))
	for a, amount := range writing {
		parties = append(parties, party{a, amount})
	}
	slices.SortFunc(parties, func(a, b party) int { return strings.Compare(a.name, b.name) })
	return parties
}

// call sends a call with claims for the parties.
func (l *Ledger) call(ctx context.Context, life time.Duration, rows []record.Spend, parties []party) ([]Lease, error) {
	c := l.calls
	c.seq++
	claims := make([]Claim, len(parties))
	for i := range parties {
		claims[i] = parties[i].claim(c)
	}
	leases, err := l.o.Bank.Exchange(ctx, Call{Replica: c.replica, Seq: c.seq, Life: life, Rows: rows, Claims: claims})
	if err == nil && len(leases) != len(claims) {
		err = fmt.Errorf("%d leases for %d claims", len(leases), len(claims))
	}
	if err != nil {
		return nil, fmt.Errorf("write %d rows of spend and claim parts of %d budgets: %w", len(rows), len(claims), err)
	}
	return leases, nil
}

// claim says what is used once the party's rows are written. It gives up what of the lease isn't needed, unless there may
// be none to be had again soon: from here on no more is used than is claimed to be kept.
func (p *party) claim(c *calls) Claim {
	p.mu.Lock()
	defer p.mu.Unlock()
	if epoch := c.epoch.Load(); p.epoch != epoch {
		p.lease, p.epoch, p.whole = p.used(), epoch, false
	}
	spare := p.spare(c.sent)
	switch {
	case c.closing.Load():
		spare = 0
		p.lower(0)
	case !c.lost.Load() && p.excess(c.sent) > 0:
		p.lower(p.lease - p.excess(c.sent))
	}
	p.doubt = true
	p.writing = min(p.writing, p.unwritten)
	used := p.used() - p.writing
	need := used + p.need
	return Claim{Account: p.name, Used: used, Keep: max(used, p.lease-p.writing), Need: need, Want: need + spare}
}

func (l *Ledger) apply(parties []party, leases []Lease) {
	wall := l.o.Now()
	now := wall.Sub(l.start)
	for i := range parties {
		notice, passed := parties[i].apply(&leases[i], now, wall)
		if leases[i].Amount == 0 {
			delete(l.calls.leased, parties[i].Account)
		}
		if leases[i].Gone {
			l.forget(parties[i].Account)
		}
		if passed {
			l.warn(notice)
		}
	}
}

// apply takes over what the bank says.
func (p *party) apply(lease *Lease, now time.Duration, wall time.Time) (notice Notice, passed bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.unwritten -= p.writing
	p.lease, p.whole, p.gone, p.heard, p.doubt = lease.Amount, false, lease.Gone, now, false
	if lease.Gone {
		p.barren, p.scarce = now+barren, 0
		return Notice{}, false
	}
	p.spend, p.others = lease.Spend, lease.Others
	p.terms.Max, p.terms.ResetAt = lease.Max, lease.ResetAt
	p.limited.Store(lease.Max != nil)
	if lease.Max != nil {
		p.judge(lease.Rest(), now)
	}
	return p.soft(wall)
}

// judge takes note of what the bank has left.
func (a *Account) judge(rest record.Nano, now time.Duration) {
	a.left = rest + a.lease - a.used()
	a.whole = a.others == 0 && rest <= 0
	if rest <= 0 {
		a.quiet = now + barren
	}
	a.lower(a.lease + min(rest, 0))
}

// note tells when the bank is lost, and when it is back.
func (l *Ledger) note(err error) {
	switch was := l.calls.lost.Swap(err != nil); {
	case err != nil && !was:
		l.warn(Notice{Event: Lost, Err: err})
	case err == nil && was:
		l.warn(Notice{Event: Found})
	}
}
