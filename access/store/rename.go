package store

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/nestor-gateway/nestor/access/store/database"
)

// errRenamed is about what has no history to follow it.
var errRenamed = errors.New("only keys may get another id")

// rename lets the history of a key follow it: the spend log keeps the tokens of then, and reads join them.
func (t table[T]) rename(ctx context.Context, tx *database.Tx, id, now string) error {
	if t.origin == nil {
		return fmt.Errorf("%s %q: %w", t.kind, id, errRenamed)
	}
	for _, step := range []struct {
		query string
		args  []any
	}{
		{"DELETE FROM nestor_former_tokens WHERE former = $1", []any{now}},
		{"UPDATE nestor_former_tokens SET token = $2 WHERE token = $1", []any{id, now}},
		{"INSERT INTO nestor_former_tokens (former, token) VALUES ($1, $2)", []any{id, now}},
	} {
		if _, err := tx.ExecContext(ctx, step.query, step.args...); err != nil {
			return fmt.Errorf("give key %s the token %s: %w", id, now, err)
		}
	}
	return nil
}

// originate names what a new record's account is named by: its id, unless that is another one's, which had the same token
// once and goes on under another. The token is the new one's from now on.
func (t table[T]) originate(ctx context.Context, s *Store, tx *database.Tx, r *T) error {
	if t.origin == nil {
		return nil
	}
	token, origin := *t.idOf(r), t.origin.at(r).(*string)
	taken, err := strs(ctx, tx, "SELECT token FROM nestor_keys WHERE origin = $1", token)
	if err != nil {
		return fmt.Errorf("look who had token %s: %w", token, err)
	}
	if *origin = token; len(taken) > 0 && taken[0] != token {
		*origin += "/" + strconv.FormatInt(s.db.Now().UnixNano(), 36)
	}
	if _, err := tx.ExecContext(ctx, "DELETE FROM nestor_former_tokens WHERE former = $1", token); err != nil {
		return fmt.Errorf("take token %s: %w", token, err)
	}
	return nil
}
