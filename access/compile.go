package access

import (
	"cmp"

	"github.com/nestor-gateway/nestor/access/record"
)

// compileKey makes a key of its record. Limits of the key before go on: the one of the same origin, whatever its token.
func (x *Index) compileKey(r *record.Key) *Key {
	k := &Key{
		Token: r.Token, Origin: originOf(r), Alias: r.Alias, TeamID: r.TeamID, UserID: r.UserID, BudgetID: r.BudgetID, Tags: r.Tags, Expires: r.Expires,
		blocked: r.Blocked, profile: x.profiles.of(r, x.routes),
		team: at(x.teams, r.TeamID), user: at(x.users, r.UserID), catalog: x.catalog,
	}
	if r.MaxRequestBytes != nil {
		k.MaxRequestBytes = *r.MaxRequestBytes
	}
	var had limits
	if before := x.keyFrom(k.Origin); before != nil {
		had = before.limits
	}
	budget, known := x.budgets[r.BudgetID]
	k.lacksBudget = r.BudgetID != "" && !known
	terms := merge(r.Terms, budget)
	name := record.AccountOf(record.OfKey, k.Origin)
	k.limits = limitsOf(x.o.Entities, name, terms, r.ModelRPM, r.ModelTPM, had)
	k.Account = x.account(name, terms, r.Spend)
	return k
}

// originOf is the token that a key had first.
func originOf(r *record.Key) string {
	if r.Origin == r.Token {
		return r.Token // one text, not two
	}
	return cmp.Or(r.Origin, r.Token)
}

// keyFrom is the key with an origin, nil when there is none.
func (x *Index) keyFrom(origin string) *Key {
	h, ok := x.regenerated[origin]
	if !ok {
		h, ok = hashOf(origin)
	}
	if !ok {
		return nil
	}
	if k := x.keys.find(&h); k != nil && k.Origin == origin {
		return k
	}
	return nil
}

// putTeam puts a team in force; nil is one that is gone.
func (x *Index) putTeam(id string, r *record.Team) {
	in := at(x.teams, id)
	var had limits
	if before := in.get(); before != nil {
		had = before.limits
	}
	if r == nil {
		in.now.Store(nil)
		x.giveUp(record.OfTeam, id, had)
		return
	}
	name := record.AccountOf(record.OfTeam, id)
	in.now.Store(&Team{
		ID: r.ID, Alias: r.Alias, Blocked: r.Blocked, models: ownGrants(r.Models), aliases: r.Aliases,
		limits: limitsOf(x.o.Entities, name, r.Terms, r.ModelRPM, r.ModelTPM, had), Account: x.account(name, r.Terms, r.Spend),
	})
}

// putUser puts a user in force; nil is one that is gone.
func (x *Index) putUser(id string, r *record.User) {
	in := at(x.users, id)
	var had limits
	if before := in.get(); before != nil {
		had = before.limits
	}
	if r == nil {
		in.now.Store(nil)
		x.giveUp(record.OfUser, id, had)
		return
	}
	name := record.AccountOf(record.OfUser, id)
	models, denies := userGrants(r.Models)
	in.now.Store(&User{
		ID: r.ID, Role: r.Role, models: models, denies: denies,
		limits: limitsOf(x.o.Entities, name, r.Terms, r.ModelRPM, r.ModelTPM, had), Account: x.account(name, r.Terms, r.Spend),
	})
}

// giveUpKey ends what was kept of a key that is gone, unless it goes on under another token.
func (x *Index) giveUpKey(k *Key) {
	if x.keyFrom(k.Origin) == nil {
		delete(x.regenerated, k.Origin)
		x.giveUp(record.OfKey, k.Origin, k.limits)
	}
}

// giveUp ends what was kept of a key, a team or a user that is gone.
func (x *Index) giveUp(kind record.Kind, id string, had limits) {
	had.dropUnless(limits{})
	if x.o.Accounts != nil {
		x.o.Accounts.Drop(record.AccountOf(kind, id))
	}
}

// at is the slot of an id, made when there is none; nil for no id. Slots stay, for the keys that have them.
func at[T any](slots map[string]*slot[T], id string) *slot[T] {
	if id == "" {
		return nil
	}
	s := slots[id]
	if s == nil {
		s = &slot[T]{}
		slots[id] = s
	}
	return s
}

// merge is the terms of a key that has a budget: its own go before. The period is the key's.
func merge(own, budget record.Terms) record.Terms {
	return record.Terms{
		RPM: cmp.Or(own.RPM, budget.RPM), TPM: cmp.Or(own.TPM, budget.TPM), MaxParallel: cmp.Or(own.MaxParallel, budget.MaxParallel),
		MaxBudget: cmp.Or(own.MaxBudget, budget.MaxBudget), SoftBudget: cmp.Or(own.SoftBudget, budget.SoftBudget),
		BudgetDuration: cmp.Or(own.BudgetDuration, budget.BudgetDuration), BudgetResetAt: own.BudgetResetAt,
	}
}
