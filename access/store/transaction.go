package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/nestor-gateway/nestor/access/record"
)

// transaction is a write in progress. What it changed is told to watchers when, and only when, all of it counts.
type transaction struct {
	*sql.Tx
	changes []record.Change
}

func (t *transaction) changed(kind record.Kind, ids ...string) {
	for _, id := range ids {
		t.changes = append(t.changes, record.Change{Kind: kind, ID: id})
	}
}

// attempts is how often a transaction is tried that got into the way of another one.
const attempts = 5

// write runs f in a transaction: all of it, or nothing. f may run several times.
func (s *Store) write(ctx context.Context, f func(context.Context, *transaction) error) error {
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	release, err := s.await(ctx)
	if err != nil {
		return err
	}
	defer release()
	for range attempts {
		if err = s.try(ctx, f); err == nil || !s.dialect.again(err) {
			break
		}
	}
	return err
}

// await is the turn to write.
func (s *Store) await(ctx context.Context) (release func(), err error) {
	if s.turn == nil {
		return func() {}, nil
	}
	select {
	case s.turn <- struct{}{}:
		return func() { <-s.turn }, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("wait for other writers: %w", ctx.Err())
	}
}

func (s *Store) try(ctx context.Context, f func(context.Context, *transaction) error) error {
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	t := &transaction{Tx: tx}
	if err := f(ctx, t); err != nil {
		return errors.Join(err, ended(tx.Rollback()))
	}
	if err := s.feed.announce(ctx, tx, t.changes); err != nil {
		return errors.Join(fmt.Errorf("tell other replicas: %w", err), ended(tx.Rollback()))
	}
	if err := tx.Commit(); err != nil {
		return err
	}
	s.feed.committed(t.changes)
	return nil
}

// ended passes over the error of a transaction that its context has ended already.
func ended(err error) error {
	if errors.Is(err, sql.ErrTxDone) {
		return nil
	}
	return err
}

// list is an argument that stands for many: a JSON array for the dialect's each and text.
func list(values any) string {
	text, _ := json.Marshal(values) // of strings and structs of strings, numbers and bools
	return string(text)
}
