package store

import (
	"context"
	"fmt"

	"github.com/nestor-gateway/nestor/access/record"
)

// The generic halves of the methods in keys.go, teams.go, users.go and budgets.go.

func get[T any](ctx context.Context, s *Store, t table[T], id string) (T, error) {
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	return t.one(ctx, s.db, id, "")
}

func find[T any](ctx context.Context, s *Store, t table[T], p page, f filter) ([]T, int, error) {
	ctx, cancel := context.WithTimeout(ctx, callTime)
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
	ctx, cancel := context.WithTimeout(ctx, loadTime)
	defer cancel()
	return t.each(ctx, s.db, f, " ORDER BY r."+t.id())
}

func insert[T any](ctx context.Context, s *Store, t table[T], r T, a record.Audit) error {
	stamp := t.stamp(&r)
	if stamp.CreatedAt.IsZero() {
		stamp.CreatedAt = s.now()
	}
	if stamp.UpdatedAt.IsZero() {
		stamp.UpdatedAt = stamp.CreatedAt
	}
	return s.write(ctx, func(ctx context.Context, tx *transaction) error {
		if err := t.insert(ctx, s, tx, &r); err != nil {
			return err
		}
		return s.audit(ctx, tx, a, t.kind, *t.idOf(&r))
	})
}

func update[T any](ctx context.Context, s *Store, t table[T], id string, a record.Audit, change func(*T) error) (T, error) {
	var changed T
	err := s.write(ctx, func(ctx context.Context, tx *transaction) (err error) {
		if changed, err = t.update(ctx, s, tx, id, change); err != nil {
			return err
		}
		return s.audit(ctx, tx, a, t.kind, id)
	})
	return changed, err
}

// erase deletes records, first what hangs on them, and returns how many there were.
func erase[T any](ctx context.Context, s *Store, t table[T], ids []string, a record.Audit, first func(context.Context, *transaction) error) (int, error) {
	var count int
	err := s.write(ctx, func(ctx context.Context, tx *transaction) error {
		if err := first(ctx, tx); err != nil {
			return err
		}
		gone, err := t.remove(ctx, s, tx, t.id()+s.in("$1"), list(ids))
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

// in is a condition on a list given as one argument: see list.
func (s *Store) in(mark string) string {
	return " IN (SELECT value FROM " + s.dialect.text + "(" + mark + "))"
}

func nothing(context.Context, *transaction) error { return nil }
