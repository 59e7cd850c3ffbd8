package store

import (
	"context"
	"fmt"
	"time"

	"github.com/nestor-gateway/nestor/access/record"
	"github.com/nestor-gateway/nestor/access/store/database"
)

// periodsAtOnce is how many accounts start a new period in one transaction.
const periodsAtOnce = 500

// TurnPeriods starts the new period of every account whose old one has ended, requests or not, and returns how many
// those were. To be called every minute or so: what is used starts its own by itself, this is for who looks at spend.
func (s *Store) TurnPeriods(ctx context.Context) (int, error) {
	var all int
	for {
		turned, err := s.turnPeriods(ctx, all > 0)
		if err != nil {
			return all, fmt.Errorf("start new budget periods: %w", err)
		}
		if all += turned; turned < periodsAtOnce {
			return all, nil
		}
	}
}

// turnPeriods is a part of it. Watchers are told at the end when there are several.
func (s *Store) turnPeriods(ctx context.Context, untold bool) (turned int, err error) {
	err = s.db.Write(ctx, func(ctx context.Context, tx *database.Tx) error {
		now, err := s.clock(ctx, tx)
		if err != nil {
			return err
		}
		due, err := s.due(ctx, tx, now)
		if err != nil {
			return err
		}
		b, err := s.lockBooks(ctx, tx, now, due)
		if err != nil {
			return err
		}
		turned = len(b.turned)
		switch {
		case turned == periodsAtOnce:
			b.turned = nil
		case untold:
			b.turned = nil
			tx.Changed(record.All, "")
		}
		return s.writeBooks(ctx, tx, b)
	})
	return turned, err
}

// due are accounts whose period has ended, those first that have waited longest.
func (s *Store) due(ctx context.Context, tx *database.Tx, now time.Time) ([]string, error) {
	return strs(ctx, tx, "SELECT r.name"+accountTerms+" WHERE r.reset_at > 0 AND r.reset_at <= $1 AND "+accountDuration+
		" <> '' ORDER BY r.reset_at LIMIT $2", nanos(now), periodsAtOnce)
}
