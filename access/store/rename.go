package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/nestor-gateway/nestor/access/record"
	"github.com/nestor-gateway/nestor/access/store/database"
)

// errRenamed is about what has no account to follow it.
var errRenamed = errors.New("only keys may get another id")

// rename lets account and history of a key follow it: the spend log keeps the tokens of then, and reads join them.
func (t table[T]) rename(ctx context.Context, tx *database.Tx, id, now string) error {
	if t.kind != record.OfKey {
		return fmt.Errorf("%s %q: %w", t.kind, id, errRenamed)
	}
	for _, step := range []struct {
		query string
		args  []any
	}{
		{"DELETE FROM nestor_former_tokens WHERE former = $1", []any{now}},
		{"UPDATE nestor_accounts SET name = $2 WHERE name = $1", []any{record.AccountOf(t.kind, id), record.AccountOf(t.kind, now)}},
		{"DELETE FROM nestor_leases WHERE account = $1", []any{record.AccountOf(t.kind, id)}},
		{"UPDATE nestor_former_tokens SET token = $2 WHERE token = $1", []any{id, now}},
		{"INSERT INTO nestor_former_tokens (former, token) VALUES ($1, $2)", []any{id, now}},
	} {
		if _, err := tx.ExecContext(ctx, step.query, step.args...); err != nil {
			return fmt.Errorf("give key %s the token %s: %w", id, now, err)
		}
	}
	return nil
}

// own makes a token that a regenerated key had before one of its own again.
func own(ctx context.Context, tx *database.Tx, token string) error {
	_, err := tx.ExecContext(ctx, "DELETE FROM nestor_former_tokens WHERE former = $1", token)
	if err != nil {
		return fmt.Errorf("take token %s: %w", token, err)
	}
	return nil
}
