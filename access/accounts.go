package access

import (
	"github.com/nestor-gateway/nestor/access/budget"
	"github.com/nestor-gateway/nestor/access/record"
)

// Accounts keeps what is spent: budget.Ledger. It is safe for concurrent use.
type Accounts interface {
	// Account returns the account of a name, made when there is none.
	Account(name string) *budget.Account
	// Set says what may be spent, and what has been in the current period.
	Set(a *budget.Account, t budget.Terms, spend record.Nano)
	// Drop forgets an account; requests that began before still use it.
	Drop(name string)
}

// account returns nil where nothing is kept.
func (x *Index) account(name string, t record.Terms, spend record.Nano) *budget.Account {
	if x.o.Accounts == nil {
		return nil
	}
	a := x.o.Accounts.Account(name)
	x.o.Accounts.Set(a, budget.Terms{Max: t.MaxBudget, Soft: t.SoftBudget, Duration: t.BudgetDuration, ResetAt: t.BudgetResetAt}, spend)
	return a
}

// Accounts appends those that a request's cost counts on, and that it must have room on: the key's, and that of who pays
// beside it (record.Payer), if it is known. It allocates nothing when the slice has room.
func (p Principal) Accounts(to []*budget.Account) []*budget.Account {
	if p.Key == nil {
		return to
	}
	to = appendAccount(to, p.Key.Account)
	switch payer, _ := record.Payer(p.Key.TeamID, p.Key.UserID); payer {
	case record.OfTeam:
		if t := p.Key.Team(); t != nil {
			to = appendAccount(to, t.Account)
		}
	case record.OfUser:
		if u := p.Key.User(); u != nil {
			to = appendAccount(to, u.Account)
		}
	}
	return to
}

func appendAccount(to []*budget.Account, a *budget.Account) []*budget.Account {
	if a == nil {
		return to
	}
	return append(to, a)
}
