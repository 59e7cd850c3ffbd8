package store

import (
	"context"
	"database/sql"

	"github.com/nestor-gateway/nestor/access/record"
)

// Import inserts many keys at once.
func (s *Store) Import(ctx context.Context, all []record.Key) error {
	t := keys()
	return s.write(ctx, func(ctx context.Context, tx *transaction) error {
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
	return s.write(ctx, func(_ context.Context, tx *transaction) error {
		tx.changed(c.Kind, c.ID)
		return nil
	})
}

// UseOwnClock judges budgets and leases by Options.Now, with PostgreSQL too.
func (s *Store) UseOwnClock() { s.dialect.clock = "" }

// Query asks the database.
func (s *Store) Query(ctx context.Context, query string) (*sql.Rows, error) {
	return s.db.QueryContext(ctx, query)
}
