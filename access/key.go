package access

import (
	"sync/atomic"
	"time"

	"github.com/nestor-gateway/nestor/access/budget"
	"github.com/nestor-gateway/nestor/access/record"
)

// Key is a virtual key as compiled for checks. It never changes: a changed key is another one. Its team and its user
// are looked up when they are asked for, so that a change of theirs holds at once for all their keys.
type Key struct {
	// What every request looks at comes first: of the many keys most are in no cache.
	team *slot[Team]
	*profile
	blocked bool
	// lacksBudget says that the budget is not known that the key refers to.
	lacksBudget bool
	// Expires is zero when it never does.
	Expires time.Time

	// Token is record.TokenOf the key, Origin the one that it had first.
	Token, Origin, Alias, TeamID, UserID, BudgetID string
	// Tags are copied into the spend log.
	Tags []string
	// Account is what the key spends; nil where no accounts are kept.
	Account *budget.Account
	// MaxRequestBytes bounds the bodies of requests; 0 does not.
	MaxRequestBytes int64

	limits  limits
	user    *slot[User]
	catalog *slot[catalog]
}

// Team is what the keys of a team share. It never changes.
type Team struct {
	ID, Alias string
	Blocked   bool
	Account   *budget.Account

	models  grants
	aliases map[string]string
	limits  limits
}

// User is what the keys of a user share. It never changes.
type User struct {
	ID, Role string
	Account  *budget.Account

	models grants
	// denies is as what the models deny: LiteLLM tells no-default-models as the key's.
	denies record.Kind
	limits limits
}

// slot holds what is in force of something that may change or go.
type slot[T any] struct{ now atomic.Pointer[T] }

func (s *slot[T]) get() *T {
	if s == nil {
		return nil
	}
	return s.now.Load()
}

// catalog is a Catalog that can be in a slot.
type catalog struct{ Catalog }

// Team is nil for a key without one.
func (k *Key) Team() *Team { return k.team.get() }

// User is nil for a key without one, and for one whose user is not known.
func (k *Key) User() *User { return k.user.get() }

func (k *Key) names() Catalog {
	if c := k.catalog.get(); c != nil {
		return c.Catalog
	}
	return noNames{}
}

// stands returns why the key is not good now, whatever it is used for.
func (k *Key) stands(now func() time.Time) *Denial {
	switch {
	case k.blocked:
		return blockedKey()
	case k.lacksBudget:
		return missingBudget(k.BudgetID)
	case !k.Expires.IsZero():
		if t := now(); t.After(k.Expires) {
			return expiredKey(k.Expires, t)
		}
	}
	switch t := k.Team(); {
	case k.team == nil:
		return nil
	case t == nil:
		return missingTeam(k.TeamID)
	case t.Blocked:
		return blockedTeam(t.ID)
	}
	return nil
}

// model is what a called name stands for. byTeam says that it does so by an alias of the team's alone: a key's alias
// of such a target leads to something else, which the team has not allowed by its alias.
func (k *Key) model(called string) (model string, byTeam bool) {
	model = called
	if t := k.Team(); t != nil {
		if target, ok := t.aliases[called]; ok {
			model, byTeam = target, true
		}
	}
	if target, ok := k.aliases[model]; ok {
		return target, false
	}
	return model, byTeam
}

// refuses says which of key, team and user does not allow a called name; "" when all do.
// A name that is an alias of the team's is allowed by the team, and by a key that lists the alias or what it stands for.
func (k *Key) refuses(called string) record.Kind {
	model, byTeam := k.model(called)
	names, team := k.names(), k.Team()
	switch {
	case !k.models.allow(model, names) && !(byTeam && k.models.has(called)):
		return record.OfKey
	case team != nil:
		if !byTeam && !team.models.allow(model, names) {
			return record.OfTeam
		}
	case k.team != nil:
		return record.OfTeam
	default:
		if u := k.User(); u != nil && !u.models.allow(model, names) {
			return u.denies
		}
	}
	return ""
}
