package store

import (
	"database/sql/driver"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"time"
	"unicode/utf8"
)

// column is one of a table. at returns a pointer into a record, to be scanned into and written from.
type column[T any] struct {
	name string
	at   func(*T) any
}

// moment is a time as nanoseconds since 1970, 0 for none.
type moment time.Time

func momentOf(t *time.Time) *moment { return (*moment)(t) }

func (m moment) Value() (driver.Value, error) { return nanos(time.Time(m)), nil }

func (m *moment) Scan(v any) error {
	n, ok := v.(int64)
	if !ok {
		return fmt.Errorf("read %T as a time", v)
	}
	*m = moment(timeOf(n))
	return nil
}

func nanos(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixNano()
}

func timeOf(nanos int64) time.Time {
	if nanos == 0 {
		return time.Time{}
	}
	return time.Unix(0, nanos).UTC()
}

// document is a list, a map or an object as JSON, "" when it is empty. It points to where it belongs.
type document struct{ at any }

func (d document) Value() (driver.Value, error) {
	if raw, ok := d.at.(*json.RawMessage); ok {
		return string(*raw), nil
	}
	if reflect.ValueOf(d.at).Elem().Len() == 0 {
		return "", nil
	}
	text, err := json.Marshal(d.at)
	return string(text), err
}

func (d document) Scan(v any) error {
	text, ok := v.(string)
	if !ok {
		return fmt.Errorf("read %T as JSON", v)
	}
	if text == "" {
		return nil
	}
	if raw, ok := d.at.(*json.RawMessage); ok {
		*raw = json.RawMessage(text)
		return nil
	}
	return json.Unmarshal([]byte(text), d.at)
}

// values are what columns of a record hold, as drivers take it.
func values[T any](columns []column[T], record *T) ([]any, error) {
	out := make([]any, len(columns))
	for i, c := range columns {
		v, err := driver.DefaultParameterConverter.ConvertValue(c.at(record))
		if err != nil {
			return nil, fmt.Errorf("write column %s: %w", c.name, err)
		}
		if text, ok := v.(string); ok && !storable(text) {
			return nil, fmt.Errorf("write %s: %q is %w", c.name, text, ErrText)
		}
		out[i] = v
	}
	return out, nil
}

// separator is between texts that are read together; no text has one.
const separator = "\x1f"

// storable says whether PostgreSQL takes a text, and whether it can be told from others; SQLite is held to the same.
func storable(text string) bool {
	return utf8.ValidString(text) && !strings.ContainsAny(text, "\x00"+separator)
}

// places are where columns of a record are scanned to.
func places[T any](columns []column[T], record *T) []any {
	out := make([]any, len(columns))
	for i, c := range columns {
		out[i] = c.at(record)
	}
	return out
}

// texts are columns that are read as one: to read a column takes longer than to take a text apart.
type texts []any

// isText says whether a column is among those; they are never NULL.
func (c column[T]) isText() bool {
	var empty T
	switch c.at(&empty).(type) {
	case *string, document:
		return true
	}
	return false
}

// Scan takes a text apart.
func (t texts) Scan(v any) error {
	rest, ok := v.(string)
	if !ok {
		return fmt.Errorf("read %T as text", v)
	}
	for i, at := range t {
		part, after, more := strings.Cut(rest, separator)
		if more != (i < len(t)-1) {
			return fmt.Errorf("read %d texts in place of %d", i+1, len(t))
		}
		if err := scanText(at, part); err != nil {
			return err
		}
		rest = after
	}
	return nil
}

func scanText(at any, text string) error {
	if plain, ok := at.(*string); ok {
		*plain = text
		return nil
	}
	return at.(document).Scan(text)
}
