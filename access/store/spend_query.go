package store

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nestor-gateway/nestor/access/record"
	"github.com/nestor-gateway/nestor/access/store/database"
)

// SpendQuery says which rows of the spend log. What is empty does not matter.
type SpendQuery struct {
	// From is included, To is not; they are about when a request began.
	From, To time.Time
	// Token is that of a key now; what it spent under former tokens is included.
	Token, TeamID, UserID string
	RequestID, Model      string
	// Limit 0 is all.
	Offset, Limit int
}

func (q SpendQuery) filter(s *Store) (f filter) {
	f.between("r.start", q.From, q.To)
	f.add("r.token IN (SELECT CAST(? AS TEXT) UNION SELECT former FROM nestor_former_tokens WHERE token = ?)", q.Token, q.Token != "")
	f.equal("r.team_id", q.TeamID)
	f.equal("r.user_id", q.UserID)
	f.add("r.id"+s.db.In("?"), database.List(attemptsOf(q.RequestID)), q.RequestID != "")
	f.equal("r.model", q.Model)
	return f
}

// attemptsOf are the ids of the rows that a request may have: an index of requests would cost each row that is written.
func attemptsOf(request string) []string {
	ids := make([]string, record.MostAttempts)
	for i := range ids {
		ids[i] = record.SpendID(request, uint32(i+1))
	}
	return ids
}

// spendSource joins the token that a regenerated key has now.
const (
	spendSource  = " FROM nestor_spend r LEFT JOIN nestor_former_tokens f ON f.former = r.token"
	presentToken = "COALESCE(f.token, r.token)"
)

// SpendRows returns rows of the spend log, the latest first. Their Token is the one that the key has now.
func (s *Store) SpendRows(ctx context.Context, q SpendQuery) ([]record.Spend, error) {
	ctx, cancel := context.WithTimeout(ctx, database.LoadTime)
	defer cancel()
	f := q.filter(s)
	rows, err := s.db.QueryContext(ctx, "SELECT "+spendSelection()+spendSource+f.where()+" ORDER BY r.start DESC, r.id DESC"+
		page{offset: q.Offset, limit: q.Limit}.window(), f.args...)
	if err != nil {
		return nil, fmt.Errorf("read the spend log: %w", err)
	}
	defer rows.Close()
	var all []record.Spend
	for rows.Next() {
		var r record.Spend
		if err := rows.Scan(places(spendColumns(), &r)...); err != nil {
			return nil, fmt.Errorf("read a row of the spend log: %w", err)
		}
		all = append(all, r)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read the spend log: %w", err)
	}
	return all, nil
}

func spendSelection() string {
	var names []string
	for _, c := range spendColumns() {
		name := "r." + c.name
		if c.name == "token" {
			name = presentToken
		}
		names = append(names, name)
	}
	return strings.Join(names, ", ")
}

// Dimension is what spend is summed up by.
type Dimension string

// The dimensions. ByDay is by the day in UTC, as "2026-03-01".
const (
	ByToken Dimension = "token"
	ByModel Dimension = "model"
	ByTeam  Dimension = "team"
	ByUser  Dimension = "user"
	ByDay   Dimension = "day"
)

// Sum is what all rows of one name come to. Requests counts rows.
type Sum struct {
	Name             string
	Cost             record.Nano
	Requests, Tokens int64
}

const nanosPerDay = int64(24 * time.Hour)

func (d Dimension) expression() string {
	return map[Dimension]string{
		ByToken: presentToken, ByModel: "r.model", ByTeam: "r.team_id", ByUser: "r.user_id",
		ByDay: fmt.Sprintf("CAST(r.start / %d AS TEXT)", nanosPerDay),
	}[d]
}

// SpendBy sums up the rows of a query, the names that cost most first, days in their order. The query's Limit is
// about sums.
func (s *Store) SpendBy(ctx context.Context, d Dimension, q SpendQuery) ([]Sum, error) {
	name := d.expression()
	if name == "" {
		return nil, fmt.Errorf("sum up spend by %q: want token, model, team, user or day", d)
	}
	order := " ORDER BY 2 DESC, 1"
	if d == ByDay {
		order = " ORDER BY MIN(r.start)"
	}
	f := q.filter(s)
	sums, err := s.sums(ctx, "SELECT "+name+", CAST(SUM(r.cost) AS BIGINT), COUNT(*), CAST(SUM(r.total) AS BIGINT)"+spendSource+f.where()+
		" GROUP BY 1"+order+page{offset: q.Offset, limit: q.Limit}.window(), f.args)
	if err != nil {
		return nil, fmt.Errorf("sum up spend by %s: %w", d, err)
	}
	if d == ByDay {
		err = nameDays(sums)
	}
	return sums, err
}

func (s *Store) sums(ctx context.Context, query string, args []any) ([]Sum, error) {
	ctx, cancel := context.WithTimeout(ctx, database.LoadTime)
	defer cancel()
	rows, err := s.db.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []Sum
	for rows.Next() {
		var one Sum
		if err := rows.Scan(&one.Name, &one.Cost, &one.Requests, &one.Tokens); err != nil {
			return nil, err
		}
		all = append(all, one)
	}
	return all, rows.Err()
}

// nameDays turns days since 1970 into dates.
func nameDays(sums []Sum) error {
	for i := range sums {
		day, err := strconv.ParseInt(sums[i].Name, 10, 64)
		if err != nil {
			return fmt.Errorf("read a day: %w", err)
		}
		sums[i].Name = time.Unix(0, day*nanosPerDay).UTC().Format(time.DateOnly)
	}
	return nil
}

// pruneAtOnce is how many rows are deleted in one transaction, so that others get their turn in between.
const pruneAtOnce = 500

// Prune deletes the rows of the spend log that began before a time, and returns how many. What accounts have spent
// stays. A row that waits elsewhere for longer than rows are kept, and then comes again, would count again.
func (s *Store) Prune(ctx context.Context, before time.Time) (int64, error) {
	var all int64
	for {
		var pruned int64
		err := s.db.Write(ctx, func(ctx context.Context, tx *database.Tx) error {
			result, err := tx.ExecContext(ctx, "DELETE FROM nestor_spend WHERE id IN (SELECT id FROM nestor_spend WHERE start < $1 ORDER BY start LIMIT $2)",
				nanos(before), pruneAtOnce)
			if err != nil {
				return err
			}
			pruned, err = result.RowsAffected()
			return err
		})
		if err != nil {
			return all, fmt.Errorf("delete rows of the spend log from before %v: %w", before, err)
		}
		if all += pruned; pruned < pruneAtOnce {
			return all, nil
		}
	}
}
