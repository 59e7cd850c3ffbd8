package store

import (
	"context"
	"database/sql"
	"fmt"
	"strconv"
	"strings"

	"github.com/nestor-gateway/nestor/access/record"
	"github.com/nestor-gateway/nestor/access/store/database"
)

// querier is a database or a transaction.
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

func (t table[T]) id() string { return t.columns[0].name }

func (t table[T]) idOf(r *T) *string { return t.columns[0].at(r).(*string) }

// payer is the column that accounts are named by.
func (t table[T]) payer() column[T] {
	if t.origin != nil {
		return *t.origin
	}
	return t.columns[0]
}

// accountOf is the name of a record's account.
func (t table[T]) accountOf(r *T) string { return record.AccountOf(t.kind, *t.payer().at(r).(*string)) }

// accountName is the same in SQL; before stands before the column.
func (t table[T]) accountName(before string) string {
	return "'" + record.AccountOf(t.kind, "") + "' || " + before + t.payer().name
}

// parted are the columns of the table that hold text, which are read as one, and the others.
func (t table[T]) parted() (text, others []column[T]) {
	for _, c := range t.columns {
		if c.isText() {
			text = append(text, c)
		} else {
			others = append(others, c)
		}
	}
	return text, others
}

// selection is the beginning of every read: the row is r, its account a.
func (t table[T]) selection() string {
	text, others := t.parted()
	names := []string{"concat_ws('" + separator + "', " + strings.Join(named("r.", text), ", ") + ")"}
	names = append(names, named("r.", others)...)
	names = append(names, named("a.", t.account)...)
	return "SELECT " + strings.Join(names, ", ") + t.from()
}

// places are where what is selected goes.
func (t table[T]) places(r *T) []any {
	text, others := t.parted()
	return append([]any{texts(places(text, r))}, places(join(others, t.account), r)...)
}

func named[T any](prefix string, columns []column[T]) []string {
	names := make([]string, len(columns))
	for i, c := range columns {
		names[i] = prefix + c.name
	}
	return names
}

func (t table[T]) from() string {
	from := " FROM " + t.name + " r"
	if t.account != nil {
		from += " JOIN nestor_accounts a ON a.name = " + t.accountName("r.")
	}
	return from
}

// each reads records one by one.
func (t table[T]) each(ctx context.Context, q querier, f func(T) error, rest string, args ...any) error {
	rows, err := q.QueryContext(ctx, t.selection()+rest, args...)
	if err != nil {
		return fmt.Errorf("read %ss: %w", t.kind, err)
	}
	defer rows.Close()
	var r T
	into := t.places(&r)
	for rows.Next() {
		var empty T
		r = empty
		if err := rows.Scan(into...); err != nil {
			return fmt.Errorf("read a %s: %w", t.kind, err)
		}
		if err := f(r); err != nil {
			return err
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("read %ss: %w", t.kind, err)
	}
	return nil
}

// collect reads records in order.
func (t table[T]) collect(ctx context.Context, q querier, rest string, args ...any) ([]T, error) {
	var all []T
	err := t.each(ctx, q, func(r T) error { all = append(all, r); return nil }, rest, args...)
	return all, err
}

// one reads a record by its id, or another column of which no two have the same.
func (t table[T]) one(ctx context.Context, q querier, column, value, suffix string) (T, error) {
	found, err := t.collect(ctx, q, " WHERE r."+column+" = $1"+suffix, value)
	if err == nil && len(found) == 0 {
		err = t.missing(value)
	}
	if err != nil {
		var none T
		return none, err
	}
	return found[0], nil
}

func (t table[T]) missing(id string) error { return fmt.Errorf("%s %q: %w", t.kind, id, ErrNotFound) }

func (t table[T]) insert(ctx context.Context, s *Store, tx *database.Tx, r *T) error {
	if err := t.originate(ctx, s, tx, r); err != nil {
		return err
	}
	args, err := values(t.columns, r)
	if err != nil {
		return err
	}
	names, marks := make([]string, len(args)), make([]string, len(args))
	for i, c := range t.columns {
		names[i], marks[i] = c.name, "$"+strconv.Itoa(i+1)
	}
	_, err = tx.ExecContext(ctx, "INSERT INTO "+t.name+" ("+strings.Join(names, ", ")+") VALUES ("+strings.Join(marks, ", ")+")", args...)
	if err != nil {
		return t.writing(s, r, err)
	}
	tx.Changed(t.kind, *t.idOf(r))
	return t.open(ctx, tx, r)
}

// writing says what was wrong with a record; another one may have taken its place or its name.
func (t table[T]) writing(s *Store, r *T, err error) error {
	index, taken := s.db.Taken(err)
	switch {
	case !taken:
		return fmt.Errorf("write %s %q: %w", t.kind, *t.idOf(r), err)
	case strings.Contains(index, "alias"):
		return fmt.Errorf("%s alias %q: %w", t.kind, *t.columns[2].at(r).(*string), ErrTaken)
	}
	return fmt.Errorf("%s %q: %w", t.kind, *t.idOf(r), ErrTaken)
}

func (t table[T]) update(ctx context.Context, s *Store, tx *database.Tx, id string, change func(*T) error) (T, error) {
	r, err := t.one(ctx, tx, t.id(), id, s.db.ForUpdate)
	if err != nil {
		return r, err
	}
	before, err := values(t.account, &r)
	if err != nil {
		return r, err
	}
	if err := change(&r); err != nil {
		return r, err
	}
	t.stamp(&r).UpdatedAt = s.db.Now().UTC()
	if err := t.rewrite(ctx, s, tx, id, &r); err != nil {
		return r, err
	}
	return r, t.settle(ctx, tx, &r, before)
}

// rewrite writes all of a record; its id may be another one from now on.
func (t table[T]) rewrite(ctx context.Context, s *Store, tx *database.Tx, id string, r *T) error {
	args, err := values(t.columns, r)
	if err != nil {
		return err
	}
	sets := make([]string, len(args))
	for i, c := range t.columns {
		sets[i] = c.name + " = $" + strconv.Itoa(i+1)
	}
	_, err = tx.ExecContext(ctx, "UPDATE "+t.name+" SET "+strings.Join(sets, ", ")+" WHERE "+t.id()+" = $"+strconv.Itoa(len(args)+1), append(args, id)...)
	if err != nil {
		return t.writing(s, r, err)
	}
	tx.Changed(t.kind, id)
	if now := *t.idOf(r); now != id {
		tx.Changed(t.kind, now)
		return t.rename(ctx, tx, id, now)
	}
	return nil
}

// remove deletes records and their accounts, and returns the ids of those that were there.
func (t table[T]) remove(ctx context.Context, s *Store, tx *database.Tx, where string, args ...any) ([]string, error) {
	both, err := strs(ctx, tx, "DELETE FROM "+t.name+" WHERE "+where+" RETURNING "+t.id()+" || '"+separator+"' || "+t.payer().name, args...)
	if err != nil {
		return nil, fmt.Errorf("delete %ss: %w", t.kind, err)
	}
	gone, payers := make([]string, len(both)), make([]string, len(both))
	for i := range both {
		gone[i], payers[i], _ = strings.Cut(both[i], separator)
	}
	tx.Changed(t.kind, gone...)
	if t.account == nil || len(gone) == 0 {
		return gone, nil
	}
	return gone, t.close(ctx, s, tx, payers)
}

// strs reads a column of text.
func strs(ctx context.Context, q querier, query string, args ...any) ([]string, error) {
	rows, err := q.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []string
	for rows.Next() {
		var one string
		if err := rows.Scan(&one); err != nil {
			return nil, err
		}
		all = append(all, one)
	}
	return all, rows.Err()
}
