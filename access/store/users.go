package store

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/nestor-gateway/nestor/access/record"
	"github.com/nestor-gateway/nestor/access/store/database"
)

// UserQuery says which users, and which part of them. What is empty does not matter.
type UserQuery struct {
	// IDs: one of these. Nil is any, empty none.
	IDs []string
	// Email and Role are exact.
	Email, Role string
	// EmailPart is part of an email address in any case.
	EmailPart string
	// Search is an id, or part of an alias or an email address in any case.
	Search string
	// Limit 0 is all.
	Offset, Limit int
	// SortBy is created_at by default; updated_at, alias, email, role, id, spend or max_budget.
	SortBy     string
	Descending bool
}

func (q UserQuery) filter(s *Store) (f filter) {
	f.add("r.id"+s.db.In("?"), database.List(q.IDs), q.IDs != nil)
	f.equal("r.email", q.Email)
	f.equal("r.role", q.Role)
	f.add("lower(r.email) LIKE lower(?) ESCAPE '\\'", containing(q.EmailPart), q.EmailPart != "")
	f.search(q.Search, "r.id", "r.alias", "r.email")
	return f
}

// User returns ErrNotFound when there is none with the id.
func (s *Store) User(ctx context.Context, id string) (record.User, error) {
	return get(ctx, s, users(), id)
}

// Users returns a part of the users, and how many there are in all. The order is total.
func (s *Store) Users(ctx context.Context, q UserQuery) ([]record.User, int, error) {
	return find(ctx, s, users(), page{q.Offset, q.Limit, q.SortBy, q.Descending}, q.filter(s))
}

// EachUser calls f with all users, by id, until it returns an error.
func (s *Store) EachUser(ctx context.Context, f func(record.User) error) error {
	return every(ctx, s, users(), f)
}

// InsertUser returns ErrTaken when another one has the id.
func (s *Store) InsertUser(ctx context.Context, r record.User, a record.Audit) error {
	return insert(ctx, s, users(), r, a)
}

// UpdateUser does for a user what UpdateKey does for a key. The id stays.
func (s *Store) UpdateUser(ctx context.Context, id string, a record.Audit, change func(*record.User) error) (record.User, error) {
	return update(ctx, s, users(), id, a, change)
}

// DeleteUsers deletes users and their keys, takes them out of their teams, and returns how many of them there were.
func (s *Store) DeleteUsers(ctx context.Context, ids []string, a record.Audit) (int, error) {
	return erase(ctx, s, users(), ids, a, func(ctx context.Context, tx *database.Tx) error {
		if _, err := keys().remove(ctx, s, tx, "user_id <> '' AND user_id"+s.db.In("$1"), database.List(ids)); err != nil {
			return err
		}
		for _, id := range ids {
			if err := s.leaveTeams(ctx, tx, id); err != nil {
				return err
			}
		}
		return nil
	})
}

func (s *Store) leaveTeams(ctx context.Context, tx *database.Tx, user string) error {
	if user == "" {
		return nil
	}
	var f filter
	f.add(hasMember, memberPart(user), true)
	joined, err := strs(ctx, tx, "SELECT id FROM nestor_teams"+f.where()+" ORDER BY id", f.args...)
	if err != nil {
		return fmt.Errorf("find the teams of user %q: %w", user, err)
	}
	for _, id := range joined {
		_, err := teams().update(ctx, s, tx, id, func(t *record.Team) error {
			t.Members = slices.DeleteFunc(t.Members, func(m record.Member) bool { return m.UserID == user })
			return nil
		})
		if err != nil && !errors.Is(err, ErrNotFound) {
			return err
		}
	}
	return nil
}
