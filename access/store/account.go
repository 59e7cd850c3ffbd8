package store

import (
	"context"
	"fmt"

	"github.com/nestor-gateway/nestor/access/record"
	"github.com/nestor-gateway/nestor/access/store/database"
)

// open makes the account of a new record. One that is left of a record of the same id is not taken over.
func (t table[T]) open(ctx context.Context, tx *database.Tx, r *T) error {
	if t.account == nil {
		return nil
	}
	args, err := values(t.account, r)
	if err != nil {
		return err
	}
	name := t.accountOf(r)
	_, err = tx.ExecContext(ctx, "INSERT INTO nestor_accounts (name, spend, reset_at) VALUES ($1, $2, $3)", append([]any{name}, args...)...)
	if err != nil {
		return fmt.Errorf("open account %s: %w", name, err)
	}
	return nil
}

// settle writes what a change has made of spend and period. What it has not touched goes on, as requests may have
// added to it meanwhile.
func (t table[T]) settle(ctx context.Context, tx *database.Tx, r *T, before []any) error {
	after, err := values(t.account, r)
	if err != nil {
		return err
	}
	name := t.accountOf(r)
	for i, c := range t.account {
		if after[i] == before[i] {
			continue
		}
		if _, err := tx.ExecContext(ctx, "UPDATE nestor_accounts SET "+c.name+" = $2 WHERE name = $1", name, after[i]); err != nil {
			return fmt.Errorf("write account %s: %w", name, err)
		}
	}
	return nil
}

// close deletes the accounts that are named by what is given, with what is leased of them. It takes them in the order of
// their names, as all do that take several.
func (t table[T]) close(ctx context.Context, s *Store, tx *database.Tx, payers []string) error {
	names := make([]string, len(payers))
	for i, payer := range payers {
		names[i] = record.AccountOf(t.kind, payer)
	}
	if _, err := strs(ctx, tx, "SELECT r.name FROM nestor_accounts r WHERE r.name"+s.db.In("$1")+" ORDER BY r.name"+s.db.ForUpdate, database.List(names)); err != nil {
		return fmt.Errorf("lock the accounts of %ss: %w", t.kind, err)
	}
	for _, of := range []string{"nestor_accounts WHERE name", "nestor_leases WHERE account"} {
		if _, err := tx.ExecContext(ctx, "DELETE FROM "+of+s.db.In("$1"), database.List(names)); err != nil {
			return fmt.Errorf("close the accounts of %ss: %w", t.kind, err)
		}
	}
	return nil
}
