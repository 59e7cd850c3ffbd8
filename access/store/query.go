package store

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// page is a part of a list, and its order.
type page struct {
	offset, limit int
	sortBy        string
	descending    bool
}

// order is total, so that pages neither overlap nor leave a gap.
func (t table[T]) order(p page) (string, error) {
	by := p.sortBy
	if by == "" {
		by = t.sorted[0]
	}
	if !slices.Contains(t.sorted, by) {
		return "", fmt.Errorf("sort %ss by %q: want one of %s", t.kind, p.sortBy, strings.Join(t.sorted, ", "))
	}
	direction := ""
	if p.descending {
		direction = " DESC"
	}
	// NULL, where there is no limit, comes last as the largest.
	return " ORDER BY " + t.qualified(by) + direction + nulls(p.descending) + ", r." + t.id() + direction, nil
}

// qualified is a column of the record or its account, which share the name "name".
func (t table[T]) qualified(column string) string {
	for _, c := range t.account {
		if c.name == column {
			return "a." + column
		}
	}
	return "r." + column
}

func nulls(descending bool) string {
	if descending {
		return " NULLS FIRST"
	}
	return " NULLS LAST"
}

func (p page) window() string {
	if p.limit <= 0 {
		return ""
	}
	return " LIMIT " + strconv.Itoa(p.limit) + " OFFSET " + strconv.Itoa(max(p.offset, 0))
}

// filter is the conditions that all hold, with their arguments.
type filter struct {
	conditions []string
	args       []any
}

// add takes a condition with marks "?", each for the argument at its place, unless that is empty.
func (f *filter) add(condition string, arg any, given bool) {
	if !given {
		return
	}
	f.args = append(f.args, arg)
	f.conditions = append(f.conditions, strings.ReplaceAll(condition, "?", "$"+strconv.Itoa(len(f.args))))
}

func (f *filter) equal(column, value string) { f.add(column+" = ?", value, value != "") }

// either takes two conditions of which one must hold, each with a mark as in add.
func (f *filter) either(one string, first any, other string, second any) {
	var both filter
	both.args = f.args
	both.add(one, first, true)
	both.add(other, second, true)
	f.args = both.args
	f.conditions = append(f.conditions, "("+strings.Join(both.conditions, " OR ")+")")
}

// search finds a text that is an id, or part of one of the columns in any case (of ASCII's letters).
func (f *filter) search(text, id string, columns ...string) {
	if text == "" {
		return
	}
	f.args = append(f.args, text, containing(text))
	exact, part := "$"+strconv.Itoa(len(f.args)-1), "$"+strconv.Itoa(len(f.args))
	any := id + " = " + exact
	for _, c := range columns {
		any += " OR lower(" + c + ") LIKE lower(" + part + `) ESCAPE '\'`
	}
	f.conditions = append(f.conditions, "("+any+")")
}

func (f filter) where() string {
	if len(f.conditions) == 0 {
		return ""
	}
	return " WHERE " + strings.Join(f.conditions, " AND ")
}

// containing is the pattern of a text anywhere, for LIKE with '\' as escape.
func containing(text string) string {
	return "%" + strings.NewReplacer(`\`, `\\`, "%", `\%`, "_", `\_`).Replace(text) + "%"
}

// memberPart is what the JSON of members contains where a user is one. A quotation mark inside a JSON string has a
// backslash before it, so it meets the field alone.
func memberPart(user string) string {
	text, _ := json.Marshal(user) // of a string
	return `"user_id":` + string(text)
}

// hasMember is true of teams whose members contain a part. LIKE does not tell letters apart by their case in SQLite.
const hasMember = "members <> replace(members, ?, '')"
