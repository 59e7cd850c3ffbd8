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

func span(d *time.Duration) *int64 { return (*int64)(d) }

// spendColumns are those of the spend log, the id first.
func spendColumns() []column[record.Spend] {
	return []column[record.Spend]{
		{"id", func(r *record.Spend) any { return &r.ID }},
		{"request_id", func(r *record.Spend) any { return &r.RequestID }},
		{"start", func(r *record.Spend) any { return momentOf(&r.Start) }},
		{"duration", func(r *record.Spend) any { return span(&r.Duration) }},
		{"first_token", func(r *record.Spend) any { return span(&r.FirstToken) }},
		{"token", func(r *record.Spend) any { return &r.Token }},
		{"team_id", func(r *record.Spend) any { return &r.TeamID }},
		{"user_id", func(r *record.Spend) any { return &r.UserID }},
		{"end_user", func(r *record.Spend) any { return &r.EndUser }},
		{"model", func(r *record.Spend) any { return &r.Model }},
		{"model_group", func(r *record.Spend) any { return &r.Group }},
		{"path", func(r *record.Spend) any { return document{&r.Path} }},
		{"deployment", func(r *record.Spend) any { return &r.Deployment }},
		{"provider", func(r *record.Spend) any { return &r.Provider }},
		{"provider_model", func(r *record.Spend) any { return &r.ProviderModel }},
		{"api_base", func(r *record.Spend) any { return &r.APIBase }},
		{"prompt", func(r *record.Spend) any { return &r.Prompt }},
		{"completion", func(r *record.Spend) any { return &r.Completion }},
		{"total", func(r *record.Spend) any { return &r.Total }},
		{"cached", func(r *record.Spend) any { return &r.Cached }},
		{"reasoning", func(r *record.Spend) any { return &r.Reasoning }},
		{"cost", func(r *record.Spend) any { return &r.Cost }},
		{"status", func(r *record.Spend) any { return &r.Status }},
		{"outcome", func(r *record.Spend) any { return &r.Outcome }},
		{"attempts", func(r *record.Spend) any { return &r.Attempts }},
		{"stream", func(r *record.Spend) any { return &r.Stream }},
		{"accounts", func(r *record.Spend) any { return document{&r.Accounts} }},
		{"tags", func(r *record.Spend) any { return document{&r.Tags} }},
		{"endpoint", func(r *record.Spend) any { return &r.Endpoint }},
	}
}

// WriteSpend writes rows of the spend log, all or none, and adds what they cost to their accounts. A row whose ID is
// there already is passed over, so that rows may come again. Accounts that don't exist are passed over too.
func (s *Store) WriteSpend(ctx context.Context, rows []record.Spend) error {
	err := s.db.Write(ctx, func(ctx context.Context, tx *database.Tx) error {
		b, err := s.lockBooks(ctx, tx, namesOf(rows, nil))
		if err != nil {
			return err
		}
		return s.record(ctx, tx, b, rows)
	})
	if err != nil {
		return fmt.Errorf("write %d rows of the spend log: %w", len(rows), err)
	}
	return nil
}

// record writes rows and accounts that are locked.
func (s *Store) record(ctx context.Context, tx *database.Tx, b *books, rows []record.Spend) error {
	written, err := s.insertRows(ctx, tx, rows)
	if err != nil {
		return err
	}
	for _, row := range rows {
		if written[row.ID] {
			delete(written, row.ID) // the same row may be there twice
			b.charge(row.Accounts, row.Cost)
		}
	}
	return s.writeBooks(ctx, tx, b)
}

// insertRows adds the rows that are not there yet, and returns their ids.
func (s *Store) insertRows(ctx context.Context, tx *database.Tx, rows []record.Spend) (map[string]bool, error) {
	if len(rows) == 0 {
		return nil, nil
	}
	data := make([][]any, len(rows))
	for i := range rows {
		row, err := clean(rows[i])
		if err != nil {
			return nil, err
		}
		data[i] = row
	}
	ids, err := strs(ctx, tx, s.rowsInsertion(), database.List(data))
	if err != nil {
		return nil, fmt.Errorf("add rows to the spend log: %w", err)
	}
	written := make(map[string]bool, len(ids))
	for _, id := range ids {
		written[id] = true
	}
	return written, nil
}

// clean is a row as columns. Clients choose parts of it: what no database takes is replaced and what is very long is
// cut, so that one request can neither keep the others from being written nor fill the disk.
func clean(r record.Spend) ([]any, error) {
	for _, c := range spendColumns() {
		if text, ok := c.at(&r).(*string); ok {
			*text = plain(*text)
		}
	}
	return values(spendColumns(), &r)
}

// mostText is how many bytes of a text are kept.
const mostText = 1024

func plain(text string) string {
	if len(text) > mostText {
		text = text[:mostText] // what is left of a character that is cut is replaced
	}
	if storable(text) {
		return text
	}
	return strings.ReplaceAll(strings.ToValidUTF8(text, "\uFFFD"), "\x00", "\uFFFD")
}

// rowsInsertion takes all rows as one argument, an array of arrays: one round trip, however many there are.
func (s *Store) rowsInsertion() string {
	columns := spendColumns()
	names, parts := make([]string, len(columns)), make([]string, len(columns))
	for i, c := range columns {
		names[i], parts[i] = c.name, as(c, "value->>"+strconv.Itoa(i))
	}
	return "INSERT INTO nestor_spend (" + strings.Join(names, ", ") + ") SELECT " + strings.Join(parts, ", ") +
		" FROM " + s.db.Each + "($1) WHERE true ON CONFLICT (id) DO NOTHING RETURNING id"
}

// as casts text to what a column holds.
func as(c column[record.Spend], text string) string {
	var empty record.Spend
	switch v, _ := values([]column[record.Spend]{c}, &empty); v[0].(type) {
	case int64:
		return "CAST(" + text + " AS BIGINT)"
	case bool:
		return "CAST(" + text + " AS BOOLEAN)"
	}
	return text
}
