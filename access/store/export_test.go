package store

import (
	"context"
	"crypto/rand"
	"database/sql"
	"time"

	"github.com/nestor-gateway/nestor/access/budget"
	"github.com/nestor-gateway/nestor/access/record"
	"github.com/nestor-gateway/nestor/access/store/database"
)

// Import inserts many keys at once.
func (s *Store) Import(ctx context.Context, all []record.Key) error {
	t := keys()
	return s.db.Write(ctx, func(ctx context.Context, tx *database.Tx) error {
		for i := range all {
			if err := t.insert(ctx, s, tx, &all[i]); err != nil {
				return err
			}
		}
		return nil
	})
}

// Announce tells of a change that is none.
func (s *Store) Announce(ctx context.Context, c record.Change) error {
	return s.db.Write(ctx, func(_ context.Context, tx *database.Tx) error {
		tx.Changed(c.Kind, c.ID)
		return nil
	})
}

// WriteSpend has a replica that nobody knows write rows of the spend log.
func (s *Store) WriteSpend(ctx context.Context, rows []record.Spend) error {
	_, err := s.Exchange(ctx, budget.Call{Replica: rand.Text(), Life: time.Minute, Rows: rows})
	return err
}

// UseOwnClock judges budgets and leases by Options.Now, with PostgreSQL too.
func (s *Store) UseOwnClock() { s.db.Clock = "" }

// Query asks the database.
func (s *Store) Query(ctx context.Context, query string) (*sql.Rows, error) {
	return s.db.QueryContext(ctx, query)
}
