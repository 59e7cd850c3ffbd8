// Package database opens SQLite or PostgreSQL, keeps its schema up to date, and tells what its transactions change.
package database

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/nestor-gateway/nestor/routing/config"
)

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

// DB is an open database. It may be used by many goroutines.
type DB struct {
	*sql.DB
	Dialect
	// Now is the time of records.
	Now func() time.Time

	feed feed
	log  *slog.Logger
	// turn is had by the one who writes where the database lets one write at a time; nil where it doesn't care.
	turn    chan struct{}
	closing func() error
}

// CallTime bounds every call but those that read a whole table, which LoadTime bounds.
const (
	CallTime = 15 * time.Second
	LoadTime = 2 * time.Minute
)

// Open connects to the database and brings its schema up to date; replicas may do that at the same time.
// Errors contain no credential.
func Open(ctx context.Context, o Options) (*DB, error) {
	d := &DB{log: o.Log, Now: o.Now}
	if d.log == nil {
		d.log = slog.New(slog.DiscardHandler)
	}
	if d.Now == nil {
		d.Now = time.Now
	}
	open := d.openFile
	if o.URL != "" {
		open = d.openURL
	}
	if err := open(ctx, o); err != nil {
		return nil, err
	}
	if err := d.migrate(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("bring the schema of %s up to date: %w", d.Place, err), d.Close())
	}
	return d, nil
}

// Close ends all connections. Watch ends with its context, not with this.
func (d *DB) Close() error { return errors.Join(d.DB.Close(), d.closing()) }

// Exclusive says that no other process uses this database as long as it is open: a file is locked.
func (d *DB) Exclusive() bool { return d.exclusive }
