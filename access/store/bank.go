package store

import (
	"context"
	"fmt"
	"time"

	"github.com/nestor-gateway/nestor/access/budget"
	"github.com/nestor-gateway/nestor/access/record"
	"github.com/nestor-gateway/nestor/access/store/database"
)

// Exchange is budget.Bank's: it writes rows of the spend log and sets the leases of a replica, all or nothing.
//
// What it locks it locks in this order: the replica, accounts by name, rows by what is given. Other replicas are
// forgotten only when they are not in the middle of a call.
func (s *Store) Exchange(ctx context.Context, c budget.Call) ([]budget.Lease, error) {
	var leases []budget.Lease
	err := s.db.Write(ctx, func(ctx context.Context, tx *database.Tx) (err error) {
		leases, err = s.exchange(ctx, tx, c)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("exchange %d rows and %d claims of replica %s with the bank: %w", len(c.Rows), len(c.Claims), c.Replica, err)
	}
	return leases, nil
}

func (s *Store) exchange(ctx context.Context, tx *database.Tx, c budget.Call) ([]budget.Lease, error) {
	now, err := s.clock(ctx, tx)
	if err != nil {
		return nil, err
	}
	known, err := s.note(ctx, tx, c, now)
	if err != nil {
		return nil, err
	}
	if err := s.forget(ctx, tx, now); err != nil {
		return nil, err
	}
	b, err := s.lockBooks(ctx, tx, now, namesOf(c.Rows, c.Claims))
	if err != nil {
		return nil, err
	}
	if err := s.record(ctx, tx, b, c.Rows); err != nil {
		return nil, err
	}
	return s.lease(ctx, tx, c, b, known)
}

// note says that a replica lives, and whether it was known.
func (s *Store) note(ctx context.Context, tx *database.Tx, c budget.Call, now time.Time) (known bool, err error) {
	until := nanos(now.Add(c.Life))
	noted, err := strs(ctx, tx, "UPDATE nestor_replicas SET seq = $2, until = $3 WHERE name = $1 AND seq < $2 AND until > $4 RETURNING name",
		c.Replica, c.Seq, until, nanos(now))
	if err != nil {
		return false, fmt.Errorf("note replica %s: %w", c.Replica, err)
	}
	if len(noted) == 1 {
		return true, nil
	}
	return false, s.meet(ctx, tx, c, now, until)
}

// meet notes a replica that is new, or was forgotten; one that is neither makes a stale call.
func (s *Store) meet(ctx context.Context, tx *database.Tx, c budget.Call, now time.Time, until int64) error {
	if _, err := tx.ExecContext(ctx, "DELETE FROM nestor_leases WHERE replica IN (SELECT name FROM nestor_replicas WHERE name = $1 AND until <= $2)", c.Replica, nanos(now)); err != nil {
		return fmt.Errorf("forget replica %s: %w", c.Replica, err)
	}
	met, err := strs(ctx, tx, `INSERT INTO nestor_replicas (name, seq, until) VALUES ($1, $2, $3)
		ON CONFLICT (name) DO UPDATE SET seq = excluded.seq, until = excluded.until WHERE nestor_replicas.until <= $4 RETURNING name`,
		c.Replica, c.Seq, until, nanos(now))
	if err != nil {
		return fmt.Errorf("note replica %s: %w", c.Replica, err)
	}
	if len(met) == 0 {
		return budget.ErrStale
	}
	return nil
}

// forget deletes replicas that were not heard of for too long, with their leases.
func (s *Store) forget(ctx context.Context, tx *database.Tx, now time.Time) error {
	gone, err := strs(ctx, tx, "DELETE FROM nestor_replicas WHERE name IN (SELECT name FROM nestor_replicas WHERE until <= $1"+
		s.db.SkipLocked+") RETURNING name", nanos(now))
	if err == nil && len(gone) > 0 {
		_, err = tx.ExecContext(ctx, "DELETE FROM nestor_leases WHERE replica"+s.db.In("$1"), database.List(gone))
	}
	if err != nil {
		return fmt.Errorf("forget replicas: %w", err)
	}
	return nil
}

// lease sets a replica's leases on accounts that are locked.
func (s *Store) lease(ctx context.Context, tx *database.Tx, c budget.Call, b *books, known bool) ([]budget.Lease, error) {
	if len(c.Claims) == 0 {
		return nil, nil
	}
	live, err := s.live(ctx, tx)
	if err != nil {
		return nil, err
	}
	leased, err := s.leased(ctx, tx, c)
	if err != nil {
		return nil, err
	}
	leases, changed := make([]budget.Lease, len(c.Claims)), [][]any{}
	for i, claim := range c.Claims {
		a := b.accounts[claim.Account]
		if a == nil {
			leases[i] = budget.Lease{Account: claim.Account, Gone: true}
			continue
		}
		leases[i] = budget.Lease{Account: a.name, Spend: a.spend, Others: leased[a.name].others, Max: a.max, ResetAt: a.resetAt}
		leases[i].Grant(claim, known, live)
		if leases[i].Amount != leased[a.name].own {
			changed = append(changed, []any{a.name, leases[i].Amount})
		}
	}
	return leases, s.writeLeases(ctx, tx, c.Replica, changed)
}

// live counts the replicas.
func (s *Store) live(ctx context.Context, tx *database.Tx) (live int, err error) {
	if err := tx.QueryRowContext(ctx, "SELECT COUNT(*) FROM nestor_replicas").Scan(&live); err != nil {
		return 0, fmt.Errorf("count replicas: %w", err)
	}
	return live, nil
}

// parts is what a replica and what the others have leased of an account.
type parts struct{ own, others record.Nano }

// leased is what of the claimed accounts is leased.
func (s *Store) leased(ctx context.Context, tx *database.Tx, c budget.Call) (map[string]parts, error) {
	rows, err := tx.QueryContext(ctx, `SELECT account, CAST(SUM(CASE WHEN replica = $1 THEN amount ELSE 0 END) AS BIGINT),
		CAST(SUM(CASE WHEN replica = $1 THEN 0 ELSE amount END) AS BIGINT) FROM nestor_leases WHERE account`+s.db.In("$2")+" GROUP BY account",
		c.Replica, database.List(namesOf(nil, c.Claims)))
	if err != nil {
		return nil, fmt.Errorf("read leases: %w", err)
	}
	defer rows.Close()
	all := map[string]parts{}
	for rows.Next() {
		var name string
		var p parts
		if err := rows.Scan(&name, &p.own, &p.others); err != nil {
			return nil, fmt.Errorf("read leases: %w", err)
		}
		all[name] = p
	}
	return all, rows.Err()
}

// writeLeases writes those that have changed.
func (s *Store) writeLeases(ctx context.Context, tx *database.Tx, replica string, changed [][]any) error {
	if len(changed) == 0 {
		return nil
	}
	_, err := tx.ExecContext(ctx, `INSERT INTO nestor_leases (account, replica, amount) SELECT value->>0, $2, CAST(value->>1 AS BIGINT)
		FROM `+s.db.Each+`($1) WHERE true ON CONFLICT (account, replica) DO UPDATE SET amount = excluded.amount`, database.List(changed), replica)
	if err != nil {
		return fmt.Errorf("write leases: %w", err)
	}
	return nil
}
