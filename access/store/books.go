package store

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/nestor-gateway/nestor/access/budget"
	"github.com/nestor-gateway/nestor/access/record"
	"github.com/nestor-gateway/nestor/access/store/database"
)

// books are the accounts of one transaction, locked until it ends.
type books struct {
	now      time.Time
	accounts map[string]*account
	// turned are those that have a new period, which who shows spend is told.
	turned []*account
}

// account is one, with its terms, of the record with the id.
type account struct {
	name, id string
	spend    record.Nano
	resetAt  time.Time
	max      *record.Nano
	duration string
	dirty    bool
}

// namesOf are the accounts that rows and claims are about, each once. What no database takes is no account's name.
func namesOf(rows []record.Spend, claims []budget.Claim) []string {
	names := map[string]bool{}
	for _, r := range rows {
		for _, name := range r.Accounts {
			names[name] = true
		}
	}
	for _, c := range claims {
		names[c.Account] = true
	}
	maps.DeleteFunc(names, func(name string, _ bool) bool { return !storable(name) })
	return slices.Sorted(maps.Keys(names))
}

// lockBooks reads accounts, nobody else changing them until the transaction ends, and starts the new period of those
// for which it is time now.
func (s *Store) lockBooks(ctx context.Context, tx *database.Tx, now time.Time, names []string) (*books, error) {
	b := &books{now: now, accounts: map[string]*account{}}
	if err := s.lockAccounts(ctx, tx, b, names); err != nil {
		return nil, err
	}
	b.turn()
	return b, nil
}

// accountSelection reads accounts with their terms. A key's own go before those of its budget.
const accountSelection = `SELECT r.name, COALESCE(k.token, t.id, u.id, ''), r.spend, r.reset_at,
	COALESCE(k.max_budget, b.max_budget, t.max_budget, u.max_budget), ` + accountDuration + accountTerms

const accountDuration = `COALESCE(NULLIF(k.budget_duration, ''), NULLIF(b.budget_duration, ''), t.budget_duration, u.budget_duration, '')`

const accountTerms = `
	FROM nestor_accounts r
	LEFT JOIN nestor_keys k ON k.origin = CASE WHEN substr(r.name, 1, 4) = 'key:' THEN substr(r.name, 5) END
	LEFT JOIN nestor_budgets b ON b.id = k.budget_id
	LEFT JOIN nestor_teams t ON t.id = CASE WHEN substr(r.name, 1, 5) = 'team:' THEN substr(r.name, 6) END
	LEFT JOIN nestor_users u ON u.id = CASE WHEN substr(r.name, 1, 5) = 'user:' THEN substr(r.name, 6) END`

// lockAccounts takes them in the order of their names, so that two transactions never wait for each other.
func (s *Store) lockAccounts(ctx context.Context, tx *database.Tx, b *books, names []string) error {
	if len(names) == 0 {
		return nil
	}
	rows, err := tx.QueryContext(ctx, accountSelection+" WHERE r.name"+s.db.In("$1")+" ORDER BY r.name"+s.db.ForUpdate, database.List(names))
	if err != nil {
		return fmt.Errorf("read accounts: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		a := &account{}
		if err := rows.Scan(&a.name, &a.id, &a.spend, momentOf(&a.resetAt), &a.max, &a.duration); err != nil {
			return fmt.Errorf("read an account: %w", err)
		}
		b.accounts[a.name] = a
	}
	return rows.Err()
}

// turn starts the new period of every account for which it is time.
func (b *books) turn() {
	for _, name := range slices.Sorted(maps.Keys(b.accounts)) {
		a := b.accounts[name]
		if a.duration == "" || b.now.Before(a.resetAt) {
			continue
		}
		next, err := budget.NextReset(a.duration, b.now)
		if err != nil {
			continue // what can't be read is no period: who wrote it was told
		}
		if !a.resetAt.IsZero() {
			a.spend = 0
		}
		a.resetAt, a.dirty = next, true
		b.turned = append(b.turned, a)
	}
}

// charge adds a cost to accounts, to each once.
func (b *books) charge(names []string, cost record.Nano) {
	charged := make(map[*account]bool, len(names))
	for _, name := range names {
		if a := b.accounts[name]; a != nil && !charged[a] {
			charged[a] = true
			a.spend = min(a.spend+bounded(cost), record.MostNano)
			a.dirty = true
		}
	}
}

// bounded is a cost that can be added to any other.
func bounded(cost record.Nano) record.Nano { return min(max(cost, 0), record.MostNano) }

// writeBooks writes the accounts that have changed, in one statement.
func (s *Store) writeBooks(ctx context.Context, tx *database.Tx, b *books) error {
	for _, a := range b.turned {
		tx.Changed(record.KindOf(a.name), a.id)
	}
	var changed [][]any
	for _, name := range slices.Sorted(maps.Keys(b.accounts)) {
		if a := b.accounts[name]; a.dirty {
			changed = append(changed, []any{name, a.spend, nanos(a.resetAt)})
		}
	}
	if len(changed) == 0 {
		return nil
	}
	_, err := tx.ExecContext(ctx, `UPDATE nestor_accounts SET spend = CAST(value->>1 AS BIGINT), reset_at = CAST(value->>2 AS BIGINT)
		FROM `+s.db.Each+`($1) WHERE name = value->>0`, database.List(changed))
	if err != nil {
		return fmt.Errorf("write accounts: %w", err)
	}
	return nil
}

// clock is the time by which budgets and leases are judged: the database's own, where others share it.
func (s *Store) clock(ctx context.Context, tx *database.Tx) (now time.Time, err error) {
	if s.db.Clock == "" {
		return s.db.Now().UTC(), nil
	}
	if err := tx.QueryRowContext(ctx, s.db.Clock).Scan(momentOf(&now)); err != nil {
		return now, fmt.Errorf("ask for the time: %w", err)
	}
	return now, nil
}
