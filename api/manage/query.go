package manage

import (
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/nestor-gateway/nestor/access/store"
	"github.com/nestor-gateway/nestor/api/reply"
)

// readable refuses parameters that no database can look for.
func (c *call) readable() error {
	for name, values := range c.query {
		for _, v := range values {
			if !utf8.ValidString(v) || strings.ContainsRune(v, 0) {
				return reply.Bad("", "the parameter %.100q holds what is no text", name)
			}
		}
	}
	return nil
}

// page is a part of a list; the first has the number 1.
type page struct{ number, size int }

// largestPage is LiteLLM's.
const largestPage = 100

// page reads `page` and the parameter that says how many are on one.
func (c *call) page(size string, usual int) (p page, err error) {
	if p.number, err = c.whole("page", 1, 1<<31); err != nil {
		return p, err
	}
	if p.size, err = c.whole(size, usual, largestPage); err != nil {
		return p, err
	}
	return p, nil
}

func (p page) offset() int { return (p.number - 1) * p.size }

// pages is how many there are.
func (p page) pages(total int) int { return (total + p.size - 1) / p.size }

// whole reads a number of at least 1.
func (c *call) whole(name string, usual, most int) (int, error) {
	given := c.query.Get(name)
	if given == "" {
		return usual, nil
	}
	n, err := strconv.Atoi(given)
	if err != nil || n < 1 || n > most {
		return 0, reply.Bad(name, "%s must be a whole number from 1 to %d, not %.100q", name, most, given)
	}
	return n, nil
}

func (c *call) truth(name string) (bool, error) {
	given := c.query.Get(name)
	if given == "" {
		return false, nil
	}
	v, err := strconv.ParseBool(strings.ToLower(given))
	if err != nil {
		return false, reply.Bad(name, "%s must be true or false, not %.100q", name, given)
	}
	return v, nil
}

// order reads sort_by and sort_order. columns are the store's, by LiteLLM's names. Usually the latest comes first.
func (c *call) order(columns map[string]string) (by string, descending bool, err error) {
	if given := c.query.Get("sort_by"); given != "" {
		if by = columns[given]; by == "" {
			return "", false, reply.Bad("sort_by", "sort_by must be one of %s, not %.100q", strings.Join(slices.Sorted(maps.Keys(columns)), ", "), given)
		}
	}
	switch given := c.query.Get("sort_order"); strings.ToLower(given) {
	case "", "desc":
		return by, true, nil
	case "asc":
		return by, false, nil
	default:
		return "", false, reply.Bad("sort_order", "sort_order must be asc or desc, not %.100q", given)
	}
}

// without refuses filters that LiteLLM has and Nestor has not: the list would be longer than asked for.
func (c *call) without(names ...string) error {
	for _, name := range names {
		if c.query.Get(name) != "" {
			return reply.Bad(name, "the filter %s is not supported by Nestor: leave it out", name)
		}
	}
	return nil
}

// day reads a date, as 2006-01-02 in UTC; the zero time when there is none.
func (c *call) day(name string) (time.Time, error) {
	given := c.query.Get(name)
	if given == "" {
		return time.Time{}, nil
	}
	t, err := time.Parse(time.DateOnly, given)
	if err != nil {
		return t, reply.Bad(name, "%s must be a date such as 2026-01-31, not %.100q", name, given)
	}
	return within(t), nil
}

// within brings dates such as 9999-12-31, which stand for no bound, to where nanoseconds are still counted.
func within(t time.Time) time.Time {
	first, last := time.Unix(0, 1).UTC(), time.Date(2200, 1, 1, 0, 0, 0, 0, time.UTC)
	switch {
	case t.Before(first):
		return first
	case t.After(last):
		return last
	}
	return t
}

// span reads start_date and end_date; to is the end of the latter. What is not given is zero.
func (c *call) span() (from, to time.Time, err error) {
	if from, err = c.day("start_date"); err != nil {
		return from, to, err
	}
	if to, err = c.day("end_date"); err != nil || to.IsZero() {
		return from, to, err
	}
	to = to.AddDate(0, 0, 1)
	if !from.Before(to) {
		return from, to, reply.Bad("end_date", "end_date lies before start_date")
	}
	return from, to, nil
}

// ignoreMissing takes a record that is not there for no error.
func ignoreMissing(err error) error {
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	return err
}
