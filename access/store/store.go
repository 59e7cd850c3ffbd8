// Package store keeps what access control knows in a database: SQLite in one file for one gateway, PostgreSQL for
// several. Both do the same; the tests of this package run on both.
package store

import (
	"context"
	"errors"

	"github.com/nestor-gateway/nestor/access/record"
	"github.com/nestor-gateway/nestor/access/store/database"
)

// ErrText is wrapped by errors about text that no database keeps.
var ErrText = errors.New("not UTF-8, or with U+0000 or U+001F in it")

// ErrNotFound is wrapped by errors about a record that is not there.
var ErrNotFound = errors.New("not found")

// ErrTaken is wrapped by errors about a record whose id, or a key whose alias, another one has.
var ErrTaken = errors.New("taken")

// Options say which database.
type Options = database.Options

// Store is an open database. It may be used by many goroutines.
type Store struct{ db *database.DB }

// Open connects to the database and brings its schema up to date; replicas may do that at the same time.
// Errors contain no credential.
func Open(ctx context.Context, o Options) (*Store, error) {
	db, err := database.Open(ctx, o)
	if err != nil {
		return nil, err
	}
	return &Store{db}, nil
}

// Close ends all connections. Watch ends with its context, not with this.
func (s *Store) Close() error { return s.db.Close() }

// Exclusive says that no other process uses this database as long as it is open: SQLite's is locked.
func (s *Store) Exclusive() bool { return s.db.Exclusive() }

// Watch calls f, always from this goroutine, with every change that any replica makes, within a second, until the
// context ends, whose error it returns. It begins with All, and there is another All whenever changes may have been
// missed. Spend that requests add is no change; a budget period that ends is one.
func (s *Store) Watch(ctx context.Context, f func(record.Change)) error { return s.db.Watch(ctx, f) }
