// Package budgettest has a bank that is easy to see through, and the suite that every bank must pass.
package budgettest

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/nestor-gateway/nestor/access/budget"
	"github.com/nestor-gateway/nestor/access/record"
)

// Bank keeps everything in memory and sums it anew at each call.
type Bank struct {
	now func() time.Time

	mu       sync.Mutex
	accounts map[string]*account
	replicas map[string]*replica
	rows     map[string]record.Spend
}

type account struct {
	budget.Terms
	spend record.Nano
}

type replica struct {
	seq    int64
	until  time.Time // when it is forgotten
	leases map[string]record.Nano
}

// NewBank returns a bank without accounts.
func NewBank(now func() time.Time) *Bank {
	return &Bank{now: now, accounts: map[string]*account{}, replicas: map[string]*replica{}, rows: map[string]record.Spend{}}
}

// Put makes an account, or changes its terms.
func (b *Bank) Put(name string, t budget.Terms) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.accounts[name] == nil {
		b.accounts[name] = &account{}
	}
	b.accounts[name].Terms = t
}

// Delete removes an account.
func (b *Bank) Delete(name string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.accounts, name)
}

// Spend is what the log has of an account's current period.
func (b *Bank) Spend(name string) record.Nano {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.accounts[name].spend
}

// Written reports whether the log has a row of the ID.
func (b *Bank) Written(id string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	_, written := b.rows[id]
	return written
}

// Leased is the sum of all leases on an account.
func (b *Bank) Leased(name string) (sum record.Nano) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.forget(b.now())
	for _, r := range b.replicas {
		sum += r.leases[name]
	}
	return sum
}

// Exchange is budget.Bank's.
func (b *Bank) Exchange(_ context.Context, c budget.Call) ([]budget.Lease, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.now()
	b.forget(now)
	r, known := b.replicas[c.Replica]
	switch {
	case !known:
		r = &replica{leases: map[string]record.Nano{}}
		b.replicas[c.Replica] = r
	case c.Seq <= r.seq:
		return nil, budget.ErrStale
	}
	r.seq, r.until = c.Seq, now.Add(c.Life)
	b.turn(c, now)
	b.write(c.Rows)
	leases := make([]budget.Lease, len(c.Claims))
	for i, claim := range c.Claims {
		leases[i] = b.lease(c.Replica, claim, known)
	}
	return leases, nil
}

func (b *Bank) forget(now time.Time) {
	for name, r := range b.replicas {
		if !now.Before(r.until) {
			delete(b.replicas, name)
		}
	}
}

// turn starts the new period of every account of the call for which it is time.
func (b *Bank) turn(c budget.Call, now time.Time) {
	for _, claim := range c.Claims {
		b.accounts[claim.Account].turn(now)
	}
	for _, row := range c.Rows {
		for _, name := range row.Accounts {
			b.accounts[name].turn(now)
		}
	}
}

func (a *account) turn(now time.Time) {
	if a == nil || a.Duration == "" || now.Before(a.ResetAt) {
		return
	}
	if !a.ResetAt.IsZero() {
		a.spend = 0
	}
	a.ResetAt, _ = budget.NextReset(a.Duration, now)
}

func (b *Bank) write(rows []record.Spend) {
	for _, row := range rows {
		if _, written := b.rows[row.ID]; written {
			continue
		}
		b.rows[row.ID] = row
		for i, name := range row.Accounts {
			if a := b.accounts[name]; a != nil && !slices.Contains(row.Accounts[:i], name) {
				a.spend += row.Cost
			}
		}
	}
}

func (b *Bank) lease(of string, c budget.Claim, known bool) budget.Lease {
	a := b.accounts[c.Account]
	if a == nil {
		delete(b.replicas[of].leases, c.Account)
		return budget.Lease{Account: c.Account, Gone: true}
	}
	l := budget.Lease{Account: c.Account, Spend: a.spend, Max: a.Max, ResetAt: a.ResetAt}
	for name, r := range b.replicas {
		if name != of {
			l.Others += r.leases[c.Account]
		}
	}
	l.Grant(c, known, len(b.replicas))
	b.replicas[of].leases[c.Account] = l.Amount
	return l
}
