package store

import (
	"context"

	"github.com/nestor-gateway/nestor/access/record"
	"github.com/nestor-gateway/nestor/access/store/database"
)

// KeyQuery says which keys, and which part of them. What is empty does not matter.
type KeyQuery struct {
	// Tokens: one of these. Nil is any, empty none.
	Tokens []string
	Alias  string
	// Aliases: one of these. Nil is any, empty none.
	Aliases        []string
	TeamID, UserID string
	// BudgetID is that of a budget the key refers to.
	BudgetID string
	// Search is a token, or part of an alias in any case.
	Search string
	// Named leaves out keys without an alias.
	Named bool
	// Within leaves out what is in no reach; nil does not.
	Within *Reach
	// Limit 0 is all.
	Offset, Limit int
	// SortBy is created_at by default; updated_at, alias, token, name, team_id, user_id, expires, spend or max_budget.
	SortBy     string
	Descending bool
}

// Reach is keys of a user, and of teams.
type Reach struct {
	UserID  string
	TeamIDs []string
}

func (q KeyQuery) filter(s *Store) (f filter) {
	f.add("r.token"+s.db.In("?"), database.List(q.Tokens), q.Tokens != nil)
	f.equal("r.alias", q.Alias)
	f.add("r.alias <> '' AND r.alias"+s.db.In("?"), database.List(q.Aliases), q.Aliases != nil)
	f.equal("r.team_id", q.TeamID)
	f.equal("r.user_id", q.UserID)
	f.equal("r.budget_id", q.BudgetID)
	f.search(q.Search, "r.token", "r.alias")
	if q.Named {
		f.conditions = append(f.conditions, "r.alias <> ''")
	}
	if q.Within != nil {
		f.either("r.user_id <> '' AND r.user_id = ?", q.Within.UserID, "r.team_id <> '' AND r.team_id"+s.db.In("?"), database.List(append([]string{}, q.Within.TeamIDs...)))
	}
	return f
}

// Key returns ErrNotFound when no key has the token.
func (s *Store) Key(ctx context.Context, token string) (record.Key, error) {
	return get(ctx, s, keys(), token)
}

// KeyFrom returns ErrNotFound when no key has the origin.
func (s *Store) KeyFrom(ctx context.Context, origin string) (record.Key, error) {
	t := keys()
	return getBy(ctx, s, t, t.origin.name, origin)
}

// Keys returns a part of the keys, and how many there are in all. The order is total.
func (s *Store) Keys(ctx context.Context, q KeyQuery) ([]record.Key, int, error) {
	return find(ctx, s, keys(), page{q.Offset, q.Limit, q.SortBy, q.Descending}, q.filter(s))
}

// EachKey calls f with all keys, by token, until it returns an error.
func (s *Store) EachKey(ctx context.Context, f func(record.Key) error) error {
	return every(ctx, s, keys(), f)
}

// InsertKey returns ErrTaken when another key has the token or the alias.
func (s *Store) InsertKey(ctx context.Context, k record.Key, a record.Audit) error {
	return insert(ctx, s, keys(), k, a)
}

// UpdateKey reads a key, lets change change it, and writes it, with nobody else writing it meanwhile. change may
// run several times, each time on the key as it is. Where it sets Spend or BudgetResetAt, that becomes the
// account's; where it sets Token, the account and the history follow.
func (s *Store) UpdateKey(ctx context.Context, token string, a record.Audit, change func(*record.Key) error) (record.Key, error) {
	return update(ctx, s, keys(), token, a, change)
}

// DeleteKeys returns how many of the keys there were. What they spent stays in the log.
func (s *Store) DeleteKeys(ctx context.Context, tokens []string, a record.Audit) (int, error) {
	return erase(ctx, s, keys(), tokens, a, nothing)
}
