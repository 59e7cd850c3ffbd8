package database

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/nestor-gateway/nestor/access/record"
)

// Tx is a write in progress.
type Tx struct {
	*sql.Tx
	changes []record.Change
}

// Changed says what the transaction changes: watchers are told when, and only when, all of it counts.
func (t *Tx) Changed(kind record.Kind, ids ...string) {
	for _, id := range ids {
		t.changes = append(t.changes, record.Change{Kind: kind, ID: id})
	}
}

// attempts is how often a transaction is tried that got into the way of another one.
const attempts = 5

// Write runs f in a transaction: all of it, or nothing. f may run several times.
func (d *DB) Write(ctx context.Context, f func(context.Context, *Tx) error) error {
	ctx, cancel := context.WithTimeout(ctx, CallTime)
	defer cancel()
	release, err := d.await(ctx)
	if err != nil {
		return err
	}
	defer release()
	for range attempts {
		if err = d.try(ctx, f); err == nil || !d.again(err) {
			break
		}
	}
	return err
}

// await is the turn to write.
func (d *DB) await(ctx context.Context) (release func(), err error) {
	if d.turn == nil {
		return func() {}, nil
	}
	select {
	case d.turn <- struct{}{}:
		return func() { <-d.turn }, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("wait for other writers: %w", ctx.Err())
	}
}

func (d *DB) try(ctx context.Context, f func(context.Context, *Tx) error) error {
	tx, err := d.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	t := &Tx{Tx: tx}
	if err := f(ctx, t); err != nil {
		return errors.Join(err, ended(tx.Rollback()))
	}
	if err := d.feed.announce(ctx, tx, t.changes); err != nil {
		return errors.Join(fmt.Errorf("tell other replicas: %w", err), ended(tx.Rollback()))
	}
	if err := tx.Commit(); err != nil {
		return err
	}
	d.feed.committed(t.changes)
	return nil
}

// ended passes over the error of a transaction that its context has ended already.
func ended(err error) error {
	if errors.Is(err, sql.ErrTxDone) {
		return nil
	}
	return err
}

// List is an argument that stands for many: a JSON array for Each and In.
func List(values any) string {
	text, _ := json.Marshal(values) // of strings and structs of strings, numbers and bools
	return string(text)
}

// In is a condition on a list given as one argument: see List.
func (d *DB) In(mark string) string { return " IN (SELECT value FROM " + d.text + "(" + mark + "))" }
