package access

import (
	"context"
	"errors"
	"fmt"

	"github.com/nestor-gateway/nestor/access/record"
)

// Store is where the records are: package access/store.
type Store interface {
	KeyRecords
	TeamRecords
	UserRecords
	BudgetRecords
	Watcher
}

// KeyRecords finds one key by its token, or by its record.Key.Origin, and visits all until f returns an error.
type KeyRecords interface {
	Key(ctx context.Context, token string) (record.Key, error)
	KeyFrom(ctx context.Context, origin string) (record.Key, error)
	EachKey(ctx context.Context, f func(record.Key) error) error
}

// TeamRecords finds and visits teams as KeyRecords does keys, by id.
type TeamRecords interface {
	Team(ctx context.Context, id string) (record.Team, error)
	EachTeam(ctx context.Context, f func(record.Team) error) error
}

// UserRecords does so with users.
type UserRecords interface {
	User(ctx context.Context, id string) (record.User, error)
	EachUser(ctx context.Context, f func(record.User) error) error
}

// BudgetRecords does so with budgets.
type BudgetRecords interface {
	Budget(ctx context.Context, id string) (record.Budget, error)
	EachBudget(ctx context.Context, f func(record.Budget) error) error
}

// Watcher calls f for every change that any replica makes, until ctx ends; with record.All some may have been missed.
type Watcher interface {
	Watch(ctx context.Context, f func(record.Change)) error
}

// Load reads all records. When it fails what was known stays, or what was read in its place.
func (x *Index) Load(ctx context.Context) error {
	x.changing.Lock()
	defer x.changing.Unlock()
	if err := x.loadOwners(ctx); err != nil {
		return err
	}
	var next [len(x.keys)]shard
	regenerated := map[string]hash{}
	err := x.o.Store.EachKey(ctx, func(r record.Key) error {
		h, ok := hashOf(r.Token)
		if !ok {
			return x.strangeToken(r.Name)
		}
		if next[h[0]] == nil {
			next[h[0]] = shard{}
		}
		k := x.compileKey(&r)
		next[h[0]][h] = k
		if k.Origin != k.Token {
			regenerated[k.Origin] = h
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("load the keys: %w", err)
	}
	x.regenerated = regenerated
	var gone []*Key
	for i := range next {
		for h, k := range x.keys.replace(i, next[i]) {
			if now := next[i][h]; now == nil || now.Origin != k.Origin {
				gone = append(gone, k)
			}
		}
	}
	for _, k := range gone {
		x.giveUpKey(k)
	}
	return nil
}

// loadOwners reads what keys belong to.
func (x *Index) loadOwners(ctx context.Context) error {
	budgets := map[string]record.Terms{}
	err := x.o.Store.EachBudget(ctx, func(r record.Budget) error { budgets[r.ID] = r.Terms; return nil })
	if err != nil {
		return fmt.Errorf("load the budgets: %w", err)
	}
	x.budgets = budgets
	teams := map[string]bool{}
	err = x.o.Store.EachTeam(ctx, func(r record.Team) error { teams[r.ID] = true; x.putTeam(r.ID, &r); return nil })
	if err != nil {
		return fmt.Errorf("load the teams: %w", err)
	}
	for id := range x.teams {
		if !teams[id] {
			x.putTeam(id, nil)
		}
	}
	users := map[string]bool{}
	err = x.o.Store.EachUser(ctx, func(r record.User) error { users[r.ID] = true; x.putUser(r.ID, &r); return nil })
	if err != nil {
		return fmt.Errorf("load the users: %w", err)
	}
	for id := range x.users {
		if !users[id] {
			x.putUser(id, nil)
		}
	}
	return nil
}

// Apply reads again what has changed; what is no longer there is forgotten. Follow does so for every change; who makes
// one and must see it at once calls it, too.
func (x *Index) Apply(ctx context.Context, c record.Change) error {
	if c.Kind == record.All {
		return x.Load(ctx)
	}
	x.changing.Lock()
	defer x.changing.Unlock()
	if err := x.apply(ctx, c); err != nil {
		return fmt.Errorf("read %s %q again: %w", c.Kind, c.ID, err)
	}
	return nil
}

func (x *Index) apply(ctx context.Context, c record.Change) error {
	switch c.Kind {
	case record.OfKey:
		return x.applyKey(ctx, c.ID)
	case record.OfTeam:
		r, err := found(x, ctx, c.ID, x.o.Store.Team)
		if err != nil {
			return err
		}
		if x.putTeam(c.ID, r); r == nil {
			return x.applyKeys(ctx, func(k *Key) bool { return k.TeamID == c.ID })
		}
	case record.OfUser:
		r, err := found(x, ctx, c.ID, x.o.Store.User)
		if err != nil {
			return err
		}
		if x.putUser(c.ID, r); r == nil {
			return x.applyKeys(ctx, func(k *Key) bool { return k.UserID == c.ID })
		}
	case record.OfBudget:
		return x.applyBudget(ctx, c.ID)
	}
	return nil
}

// found returns nil for a record that is not there.
func found[R any](x *Index, ctx context.Context, id string, find func(context.Context, string) (R, error)) (*R, error) {
	r, err := find(ctx, id)
	switch {
	case err == nil:
		return &r, nil
	case x.o.NotFound != nil && errors.Is(err, x.o.NotFound):
		return nil, nil
	}
	return nil, err
}

func (x *Index) applyKey(ctx context.Context, token string) error {
	h, ok := hashOf(token)
	if !ok {
		return x.strangeToken("")
	}
	r, err := found(x, ctx, token, x.o.Store.Key)
	if err != nil {
		return err
	}
	before := x.keys.find(&h)
	gone := before != nil && (r == nil || originOf(r) != before.Origin)
	if gone {
		if err := x.passOn(ctx, before); err != nil {
			return err
		}
	}
	if r != nil {
		x.putKey(r, &h)
	} else if before != nil {
		x.keys.put(&h, nil)
	}
	if gone {
		x.giveUpKey(before)
	}
	return nil
}

// passOn puts the key in force that a key was regenerated to, if it was: what is told of the one may be heard before what
// is told of the other, and its limits and its account must not end in between.
func (x *Index) passOn(ctx context.Context, k *Key) error {
	if x.keyFrom(k.Origin) != k {
		return nil
	}
	r, err := found(x, ctx, k.Origin, x.o.Store.KeyFrom)
	if err != nil || r == nil {
		return err
	}
	if h, ok := hashOf(r.Token); ok {
		x.putKey(r, &h)
	}
	return nil
}

func (x *Index) putKey(r *record.Key, h *hash) {
	k := x.compileKey(r)
	x.keys.put(h, k)
	if delete(x.regenerated, k.Origin); k.Origin != k.Token {
		x.regenerated[k.Origin] = *h
	}
}

// strangeToken leaves out what no key can have: it would be nobody's. What stands there may be a key itself, so it is not
// told.
func (x *Index) strangeToken(name string) error {
	x.o.Log.Warn("a key is left out: its token is no SHA-256 in hex", "key", name)
	return nil
}

// applyKeys reads some keys again: they are not all told of when what they belong to goes.
func (x *Index) applyKeys(ctx context.Context, of func(*Key) bool) error {
	var tokens []string
	x.keys.each(func(k *Key) {
		if of(k) {
			tokens = append(tokens, k.Token)
		}
	})
	for _, token := range tokens {
		if err := x.applyKey(ctx, token); err != nil {
			return err
		}
	}
	return nil
}

func (x *Index) applyBudget(ctx context.Context, id string) error {
	r, err := found(x, ctx, id, x.o.Store.Budget)
	if err != nil {
		return err
	}
	if delete(x.budgets, id); r != nil {
		x.budgets[id] = r.Terms
	}
	return x.applyKeys(ctx, func(k *Key) bool { return k.BudgetID == id })
}
