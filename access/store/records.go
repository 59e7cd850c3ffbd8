package store

import (
	"context"
	"fmt"

	"github.com/nestor-gateway/nestor/access/record"
	"github.com/nestor-gateway/nestor/access/store/database"
)

// The generic halves of the methods in keys.go, teams.go, users.go and budgets.go.

func get[T any](ctx context.Context, s *Store, t table[T], id string) (T, error) {
	return getBy(ctx, s, t, t.id(), id)
}

func getBy[T any](ctx context.Context, s *Store, t table[T], column, value string) (T, error) {
	ctx, cancel := context.WithTimeout(ctx, database.CallTime)
	defer cancel()
	return t.one(ctx, s.db, column, value, "")
}

func find[T any](ctx context.Context, s *Store, t table[T], p page, f filter) ([]T, int, error) {
	ctx, cancel := context.WithTimeout(ctx, database.CallTime)
	defer cancel()
	order, err := t.order(p)
	if err != nil {
		return nil, 0, err
	}
	var total int
	if err := s.db.QueryRowContext(ctx, "SELECT COUNT(*)"+t.from()+f.where(), f.args...).Scan(&total); err != nil {
		return nil, 0, fmt.Errorf("count %ss: %w", t.kind, err)
	}
	found, err := t.collect(ctx, s.db, f.where()+order+p.window(), f.args...)
	return found, total, err
}

func every[T any](ctx context.Context, s *Store, t table[T], f func(T) error) error {
	ctx, cancel := context.WithTimeout(ctx, database.LoadTime)
	defer cancel()
	return t.each(ctx, s.db, f, " ORDER BY r."+t.id())
}

func insert[T any](ctx context.Context, s *Store, t table[T], r T, a record.Audit) error {
	stamp := t.stamp(&r)
	if stamp.CreatedAt.IsZero() {
		stamp.CreatedAt = s.db.Now()
	}
	if stamp.UpdatedAt.IsZero() {
		stamp.UpdatedAt = stamp.CreatedAt
	}
	return s.db.Write(ctx, func(ctx context.Context, tx *database.Tx) error {
		if err := t.insert(ctx, s, tx, &r); err != nil {
			return err
		}
		return s.audit(ctx, tx, a, t.kind, *t.idOf(&r))
	})
}

func update[T any](ctx context.Context, s *Store, t table[T], id string, a record.Audit, change func(*T) error) (T, error) {
	var changed T
	err := s.db.Write(ctx, func(ctx context.Context, tx *database.Tx) (err error) {
		if changed, err = t.update(ctx, s, tx, id, change); err != nil {
			return err
		}
		return s.audit(ctx, tx, a, t.kind, id)
	})
	return changed, err
}

// erase deletes records, first what hangs on them, and returns how many there were.
func erase[T any](ctx context.Context, s *Store, t table[T], ids []string, a record.Audit, first func(context.Context, *database.Tx) error) (int, error) {
	var count int
	err := s.db.Write(ctx, func(ctx context.Context, tx *database.Tx) error {
		if err := first(ctx, tx); err != nil {
			return err
		}
		gone, err := t.remove(ctx, s, tx, t.id()+s.db.In("$1"), database.List(ids))
		if err != nil {
			return err
		}
		if count = len(gone); count == 0 {
			return nil
		}
		return s.audit(ctx, tx, a, t.kind, gone...)
	})
	return count, err
}

func nothing(context.Context, *database.Tx) error { return nil }
