// Package store keeps what access control knows in a database: SQLite in one file for one gateway, PostgreSQL for
// several. Both do the same; the tests of this package run on both.
package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/nestor-gateway/nestor/routing/config"
)

// ErrNotFound is wrapped by errors about a record that is not there.
var ErrNotFound = errors.New("not found")

// ErrTaken is wrapped by errors about a record whose id, or a key whose alias, another one has.
var ErrTaken = errors.New("taken")

// Options say which database.
type Options struct {
	// File is that of SQLite. It is made when it is not there, with its folder, for this user alone.
	File string
	// URL is that of PostgreSQL and goes before File. What LiteLLM's Prisma adds to it is understood.
	URL config.Secret
	// Log may be nil.
	Log *slog.Logger
	// Now is the time of records; time.Now when nil.
	Now func() time.Time
}

// Store is an open database. It may be used by many goroutines.
type Store struct {
	db      *sql.DB
	dialect dialect
	feed    feed
	log     *slog.Logger
	now     func() time.Time
	// turn is had by the one who writes where the database lets one write at a time; nil where it doesn't care.
	turn    chan struct{}
	closing func() error
}

// callTime bounds every call but those that read a whole table.
const callTime = 15 * time.Second

// loadTime bounds calls that read a whole table.
const loadTime = 2 * time.Minute

// Open connects to the database and brings its schema up to date; replicas may do that at the same time.
// Errors contain no credential.
func Open(ctx context.Context, o Options) (*Store, error) {
	s := &Store{log: o.Log, now: o.Now}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.now == nil {
		s.now = time.Now
	}
	open := s.openFile
	if o.URL != "" {
		open = s.openURL
	}
	if err := open(ctx, o); err != nil {
		return nil, err
	}
	if err := s.migrate(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("bring the schema of %s up to date: %w", s.dialect.place, err), s.Close())
	}
	return s, nil
}

// Close ends all connections. Watch ends with its context, not with this.
func (s *Store) Close() error { return errors.Join(s.db.Close(), s.closing()) }

// Exclusive says that no other process uses this database as long as it is open: SQLite's is locked.
func (s *Store) Exclusive() bool { return s.dialect.exclusive }
