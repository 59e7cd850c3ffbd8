package store

import (
	"context"
	"database/sql/driver"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nestor-gateway/nestor/access/record"
	"github.com/nestor-gateway/nestor/access/store/database"
)

// spendColumns are those of the spend log, the id first: what is searched and summed up has one of its own, the rest is
// a document. To write a column costs as much as all of the document.
func spendColumns() []column[record.Spend] {
	return []column[record.Spend]{
		{"id", func(r *record.Spend) any { return &r.ID }},
		{"request_id", func(r *record.Spend) any { return &r.RequestID }},
		{"start", func(r *record.Spend) any { return momentOf(&r.Start) }},
		{"token", func(r *record.Spend) any { return &r.Token }},
		{"team_id", func(r *record.Spend) any { return &r.TeamID }},
		{"user_id", func(r *record.Spend) any { return &r.UserID }},
		{"model", func(r *record.Spend) any { return &r.Model }},
		{"total", func(r *record.Spend) any { return &r.Total }},
		{"cost", func(r *record.Spend) any { return &r.Cost }},
		{"detail", func(r *record.Spend) any { return detailOf(r) }},
	}
}

// detail is what of a row has no column.
type detail struct {
	Duration      *time.Duration `json:"duration"`
	FirstToken    *time.Duration `json:"first_token"`
	EndUser       *string        `json:"end_user"`
	Group         *string        `json:"group"`
	Path          *[]string      `json:"path"`
	Deployment    *string        `json:"deployment"`
	Provider      *string        `json:"provider"`
	ProviderModel *string        `json:"provider_model"`
	APIBase       *string        `json:"api_base"`
	Prompt        *int64         `json:"prompt"`
	Completion    *int64         `json:"completion"`
	Cached        *int64         `json:"cached"`
	Reasoning     *int64         `json:"reasoning"`
	Status        *int           `json:"status"`
	Outcome       *string        `json:"outcome"`
	Attempts      *int           `json:"attempts"`
	Stream        *bool          `json:"stream"`
	Accounts      *[]string      `json:"accounts"`
	Tags          *[]string      `json:"tags"`
	Endpoint      *string        `json:"endpoint"`
}

func detailOf(r *record.Spend) *detail {
	return &detail{
		Duration: &r.Duration, FirstToken: &r.FirstToken, EndUser: &r.EndUser, Group: &r.Group, Path: &r.Path,
		Deployment: &r.Deployment, Provider: &r.Provider, ProviderModel: &r.ProviderModel, APIBase: &r.APIBase,
		Prompt: &r.Prompt, Completion: &r.Completion, Cached: &r.Cached, Reasoning: &r.Reasoning, Status: &r.Status,
		Outcome: &r.Outcome, Attempts: &r.Attempts, Stream: &r.Stream, Accounts: &r.Accounts, Tags: &r.Tags, Endpoint: &r.Endpoint,
	}
}

func (d *detail) Value() (driver.Value, error) {
	text, err := json.Marshal(d)
	return string(text), err
}

func (d *detail) Scan(v any) error {
	text, ok := v.(string)
	if !ok {
		return fmt.Errorf("read %T as JSON", v)
	}
	return json.Unmarshal([]byte(text), d)
}

// textsOf are those of a row that clients may have chosen.
func textsOf(r *record.Spend) []*string {
	return []*string{&r.ID, &r.RequestID, &r.Token, &r.TeamID, &r.UserID, &r.Model, &r.EndUser, &r.Group, &r.Deployment,
		&r.Provider, &r.ProviderModel, &r.APIBase, &r.Outcome, &r.Endpoint}
}

// record writes rows of the spend log, and adds what they cost to their accounts, which are locked. A row whose ID is
// there already is passed over, so that rows may come again; so are accounts that don't exist.
func (s *Store) record(ctx context.Context, tx *database.Tx, b *books, rows []record.Spend) error {
	written, err := s.insertRows(ctx, tx, rows)
	if err != nil {
		return err
	}
	for _, row := range rows {
		if id := plain(row.ID); written[id] {
			delete(written, id) // the same row may be there twice
			b.charge(row.Accounts, row.Cost)
		}
	}
	return s.writeBooks(ctx, tx, b)
}

// insertRows adds the rows that are not there yet, and returns their ids.
func (s *Store) insertRows(ctx context.Context, tx *database.Tx, rows []record.Spend) (written map[string]bool, err error) {
	if len(rows) == 0 {
		return nil, nil
	}
	data := make([][]any, len(rows))
	for i := range rows {
		if data[i], err = clean(rows[i]); err != nil {
			return nil, err
		}
	}
	if s.Exclusive() {
		written, err = insertEach(ctx, tx, data)
	} else {
		written, err = s.insertAll(ctx, tx, data)
	}
	if err != nil {
		return nil, fmt.Errorf("add rows to the spend log: %w", err)
	}
	return written, nil
}

// insertEach is for a database in this process: a statement a row costs a fifth of one that reads them from an array.
func insertEach(ctx context.Context, tx *database.Tx, data [][]any) (map[string]bool, error) {
	names, marks := spendNames()
	statement, err := tx.PrepareContext(ctx, "INSERT INTO nestor_spend ("+names+") VALUES ("+marks+") ON CONFLICT (id) DO NOTHING")
	if err != nil {
		return nil, err
	}
	defer statement.Close()
	written := make(map[string]bool, len(data))
	for _, row := range data {
		done, err := statement.ExecContext(ctx, row...)
		if err != nil {
			return nil, err
		}
		if n, err := done.RowsAffected(); err != nil {
			return nil, err
		} else if n > 0 {
			written[row[0].(string)] = true
		}
	}
	return written, nil
}

func spendNames() (names, marks string) {
	columns := spendColumns()
	all, places := make([]string, len(columns)), make([]string, len(columns))
	for i, c := range columns {
		all[i], places[i] = c.name, "?"
	}
	return strings.Join(all, ", "), strings.Join(places, ", ")
}

// insertAll is for a database that is far away: one round trip, however many rows there are.
func (s *Store) insertAll(ctx context.Context, tx *database.Tx, data [][]any) (map[string]bool, error) {
	ids, err := strs(ctx, tx, s.rowsInsertion(), database.List(data))
	if err != nil {
		return nil, err
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
	for _, text := range textsOf(&r) {
		*text = plain(*text)
	}
	r.Cost = bounded(r.Cost)
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

// rowsInsertion takes all rows as one argument, an array of arrays.
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
