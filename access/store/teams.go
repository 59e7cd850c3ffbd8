package store

import (
	"context"

	"github.com/nestor-gateway/nestor/access/record"
	"github.com/nestor-gateway/nestor/access/store/database"
)

// TeamQuery says which teams, and which part of them. What is empty does not matter.
type TeamQuery struct {
	// IDs: one of these. Nil is any, empty none.
	IDs []string
	// Alias is exact.
	Alias string
	// UserID is that of a member.
	UserID string
	// Search is an id, or part of an alias in any case.
	Search string
	// Limit 0 is all.
	Offset, Limit int
	// SortBy is created_at by default; updated_at, alias, id, spend or max_budget.
	SortBy     string
	Descending bool
}

func (q TeamQuery) filter(s *Store) (f filter) {
	f.add("r.id"+s.db.In("?"), database.List(q.IDs), q.IDs != nil)
	f.equal("r.alias", q.Alias)
	f.add(hasMember, memberPart(q.UserID), q.UserID != "")
	f.search(q.Search, "r.id", "r.alias")
	return f
}

// Team returns ErrNotFound when there is none with the id.
func (s *Store) Team(ctx context.Context, id string) (record.Team, error) {
	return get(ctx, s, teams(), id)
}

// Teams returns a part of the teams, and how many there are in all. The order is total.
func (s *Store) Teams(ctx context.Context, q TeamQuery) ([]record.Team, int, error) {
	return find(ctx, s, teams(), page{q.Offset, q.Limit, q.SortBy, q.Descending}, q.filter(s))
}

// EachTeam calls f with all teams, by id, until it returns an error.
func (s *Store) EachTeam(ctx context.Context, f func(record.Team) error) error {
	return every(ctx, s, teams(), f)
}

// InsertTeam returns ErrTaken when another one has the id.
func (s *Store) InsertTeam(ctx context.Context, r record.Team, a record.Audit) error {
	return insert(ctx, s, teams(), r, a)
}

// UpdateTeam does for a team what UpdateKey does for a key. The id stays.
func (s *Store) UpdateTeam(ctx context.Context, id string, a record.Audit, change func(*record.Team) error) (record.Team, error) {
	return update(ctx, s, teams(), id, a, change)
}

// DeleteTeams deletes teams and their keys, and returns how many of the teams there were.
func (s *Store) DeleteTeams(ctx context.Context, ids []string, a record.Audit) (int, error) {
	return erase(ctx, s, teams(), ids, a, func(ctx context.Context, tx *database.Tx) error {
		_, err := keys().remove(ctx, s, tx, "team_id <> '' AND team_id"+s.db.In("$1"), database.List(ids))
		return err
	})
}
