package store

import (
	"context"
	"database/sql"
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
	b, err := s.lockBooks(ctx, tx, namesOf(c.Rows, c.Claims))
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
	others, live, err := s.others(ctx, tx, c)
	if err != nil {
		return nil, err
	}
	leases, amounts := make([]budget.Lease, len(c.Claims)), make([][]any, 0, len(c.Claims))
	for i, claim := range c.Claims {
		a := b.accounts[claim.Account]
		if a == nil {
			leases[i] = budget.Lease{Account: claim.Account, Gone: true}
			continue
		}
		leases[i] = budget.Lease{Account: a.name, Spend: a.spend, Others: others[a.name], Max: a.max, ResetAt: a.resetAt}
		leases[i].Grant(claim, known, live)
		amounts = append(amounts, []any{a.name, leases[i].Amount})
	}
	return leases, s.writeLeases(ctx, tx, c.Replica, amounts)
}

// others is what other replicas have leased of the claimed accounts, and how many replicas there are.
func (s *Store) others(ctx context.Context, tx *database.Tx, c budget.Call) (sums map[string]record.Nano, live int, err error) {
	if err := tx.QueryRowContext(ctx, "SELECT COUNT(*) FROM nestor_replicas").Scan(&live); err != nil {
		return nil, 0, fmt.Errorf("count replicas: %w", err)
	}
	rows, err := tx.QueryContext(ctx, "SELECT account, CAST(SUM(amount) AS BIGINT) FROM nestor_leases WHERE replica <> $1 AND account"+
		s.db.In("$2")+" GROUP BY account", c.Replica, database.List(namesOf(nil, c.Claims)))
	if err != nil {
		return nil, 0, fmt.Errorf("read leases: %w", err)
	}
	sums, err = scanSums(rows)
	return sums, live, err
}

func scanSums(rows *sql.Rows) (map[string]record.Nano, error) {
	defer rows.Close()
	sums := map[string]record.Nano{}
	for rows.Next() {
		var name string
		var sum record.Nano
		if err := rows.Scan(&name, &sum); err != nil {
			return nil, fmt.Errorf("read a sum: %w", err)
		}
		sums[name] = sum
	}
	return sums, rows.Err()
}

func (s *Store) writeLeases(ctx context.Context, tx *database.Tx, replica string, amounts [][]any) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO nestor_leases (account, replica, amount) SELECT value->>0, $2, CAST(value->>1 AS BIGINT)
		FROM `+s.db.Each+`($1) WHERE true ON CONFLICT (account, replica) DO UPDATE SET amount = excluded.amount`, database.List(amounts), replica)
	if err != nil {
		return fmt.Errorf("write leases: %w", err)
	}
	return nil
}
