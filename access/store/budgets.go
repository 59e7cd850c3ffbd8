package store

import (
	"context"

	"github.com/nestor-gateway/nestor/access/record"
	"github.com/nestor-gateway/nestor/access/store/database"
)

// BudgetQuery says which budgets, and which part of them. What is empty does not matter.
type BudgetQuery struct {
	// IDs: one of these. Nil is any, empty none.
	IDs []string
	// Limit 0 is all.
	Offset, Limit int
	// SortBy is created_at by default; updated_at, id or max_budget.
	SortBy     string
	Descending bool
}

func (q BudgetQuery) filter(s *Store) (f filter) {
	f.add("r.id"+s.db.In("?"), database.List(q.IDs), q.IDs != nil)
	return f
}

// Budget returns ErrNotFound when there is none with the id.
func (s *Store) Budget(ctx context.Context, id string) (record.Budget, error) {
	return get(ctx, s, budgets(), id)
}

// Budgets returns a part of the budgets, and how many there are in all. The order is total.
func (s *Store) Budgets(ctx context.Context, q BudgetQuery) ([]record.Budget, int, error) {
	return find(ctx, s, budgets(), page{q.Offset, q.Limit, q.SortBy, q.Descending}, q.filter(s))
}

// EachBudget calls f with all budgets, by id, until it returns an error.
func (s *Store) EachBudget(ctx context.Context, f func(record.Budget) error) error {
	return every(ctx, s, budgets(), f)
}

// InsertBudget returns ErrTaken when another one has the id.
func (s *Store) InsertBudget(ctx context.Context, r record.Budget, a record.Audit) error {
	return insert(ctx, s, budgets(), r, a)
}

// UpdateBudget does for a budget what UpdateKey does for a key. The id stays.
func (s *Store) UpdateBudget(ctx context.Context, id string, a record.Audit, change func(*record.Budget) error) (record.Budget, error) {
	return update(ctx, s, budgets(), id, a, change)
}

// DeleteBudgets returns how many of the budgets there were. Keys that refer to one have no terms of it any more.
func (s *Store) DeleteBudgets(ctx context.Context, ids []string, a record.Audit) (int, error) {
	return erase(ctx, s, budgets(), ids, a, nothing)
}
