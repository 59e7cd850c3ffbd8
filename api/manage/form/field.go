package form

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nestor-gateway/nestor/access/budget"
	"github.com/nestor-gateway/nestor/access/record"
	"github.com/nestor-gateway/nestor/api/reply"
	"github.com/nestor-gateway/nestor/routing/config/known"
)

// field is a member that bodies may have. Its set is only called when it is there; null takes a setting away.
type field[T any] struct {
	name string
	// set returns what the value must be, as an error, when it is not.
	set func(to *T, value json.RawMessage) error
}

// Fields are all members that the bodies of a route may have, in the order in which they are set.
type Fields[T any] []field[T]

// Apply sets what a body has. A member that is not in the table is refused.
func (fs Fields[T]) Apply(b Body, to *T) error {
	names := fs.Names()
	for _, name := range b.Names {
		if !slices.Contains(names, name) {
			return unknownField(name, names)
		}
	}
	for _, f := range fs {
		if !b.Given(f.name) {
			continue
		}
		if err := f.set(to, b.Values[f.name]); err != nil {
			return reply.Bad(f.name, "%s %v", f.name, err)
		}
	}
	return nil
}

// Names are those of the members, in order.
func (fs Fields[T]) Names() []string {
	names := make([]string, len(fs))
	for i, f := range fs {
		names[i] = f.name
	}
	return names
}

func unknownField(name string, names []string) error {
	meant := ""
	if near := known.Nearest(name, names); near != "" {
		meant = "; did you mean " + near + "?"
	}
	return reply.Bad(name, "%.100q is no field of this request%s", name, meant)
}

// ignored are LiteLLM's fields without which nothing is allowed that would not be with them.
func ignored[T any](names ...string) Fields[T] {
	var fs Fields[T]
	for _, name := range names {
		fs = append(fs, field[T]{name, func(*T, json.RawMessage) error { return nil }})
	}
	return fs
}

// unsupported are LiteLLM's fields that would be missed: they must be empty.
func unsupported[T any](names ...string) Fields[T] {
	var fs Fields[T]
	for _, name := range names {
		fs = append(fs, field[T]{name, func(_ *T, value json.RawMessage) error { return mustBeEmpty(value) }})
	}
	return fs
}

var errUnsupported = errors.New("is not supported by Nestor, and the request would not do what it says: leave it out")

func mustBeEmpty(value json.RawMessage) error {
	if isEmpty(value) {
		return nil
	}
	return errUnsupported
}

func text[T any](name string, at func(*T) *string) field[T] {
	return plain(name, "must be a text", at)
}

// longestID bounds what records are found by, in bytes: databases have no index of longer ones.
const longestID = 255

// id is a text that records are found by.
func id[T any](name string, at func(*T) *string) field[T] {
	return field[T]{name, func(to *T, value json.RawMessage) error {
		var v string
		if json.Unmarshal(value, &v) != nil || len(v) > longestID {
			return fmt.Errorf("must be a text of at most %d bytes", longestID)
		}
		*at(to) = v
		return nil
	}}
}

// unlessEmpty changes nothing for an empty text, which LiteLLM takes for no value, or refuses.
func unlessEmpty[T any](f field[T]) field[T] {
	return field[T]{f.name, func(to *T, value json.RawMessage) error {
		if string(value) == `""` {
			return nil
		}
		return f.set(to, value)
	}}
}

func flag[T any](name string, at func(*T) *bool) field[T] {
	return plain(name, "must be true or false", at)
}

func texts[T any](name string, at func(*T) *[]string) field[T] {
	return plain(name, "must be a list of texts", at)
}

func aliases[T any](name string, at func(*T) *map[string]string) field[T] {
	return plain(name, "must be an object whose values are texts", at)
}

// plain reads a value as encoding/json does; null is the zero value.
func plain[T, V any](name, must string, at func(*T) *V) field[T] {
	return field[T]{name, func(to *T, value json.RawMessage) error {
		var v V
		if json.Unmarshal(value, &v) != nil {
			return errors.New(must)
		}
		*at(to) = v
		return nil
	}}
}

// count is a limit: nil for null.
func count[T any](name string, at func(*T) **int64) field[T] {
	return field[T]{name, func(to *T, value json.RawMessage) error {
		n, err := number(value)
		if err != nil || n == nil {
			*at(to) = nil
			return err
		}
		whole, err := wholeOf(*n)
		*at(to) = &whole
		return err
	}}
}

// counts are limits by model. Null changes nothing, as in LiteLLM: an empty object takes them away.
func counts[T any](name string, at func(*T) *map[string]int64) field[T] {
	return field[T]{name, func(to *T, value json.RawMessage) error {
		if isNull(value) {
			return nil
		}
		var given map[string]json.RawMessage
		if json.Unmarshal(value, &given) != nil {
			return errors.New("must be an object of whole numbers by model")
		}
		limits := map[string]int64{}
		for model, v := range given {
			n, err := number(v)
			if err == nil && n != nil {
				limits[model], err = wholeOf(*n)
			}
			if err != nil {
				return fmt.Errorf("of %.100q %w", model, err)
			}
		}
		*at(to) = limits
		return nil
	}}
}

// money is an amount of USD: nil for null.
func money[T any](name string, at func(*T) **record.Nano) field[T] {
	return field[T]{name, func(to *T, value json.RawMessage) (err error) {
		*at(to), err = dollars(value)
		return err
	}}
}

// most is money that is nil for an empty text, too, as LiteLLM has it of max_budget alone.
func most[T any](name string, at func(*T) **record.Nano) field[T] {
	f := money(name, at)
	return field[T]{name, func(to *T, value json.RawMessage) error {
		if string(value) == `""` {
			value = json.RawMessage("null")
		}
		return f.set(to, value)
	}}
}

// spent is an amount of USD; null changes nothing.
func spent[T any](name string, at func(*T) *record.Nano) field[T] {
	return field[T]{name, func(to *T, value json.RawMessage) error {
		amount, err := dollars(value)
		if amount != nil {
			*at(to) = *amount
		}
		return err
	}}
}

func dollars(value json.RawMessage) (*record.Nano, error) {
	n, err := number(value)
	if err != nil || n == nil {
		return nil, err
	}
	if *n > record.MostNano.USD() {
		return nil, fmt.Errorf("must be at most %s, not %.100s", record.MostNano, value)
	}
	amount := record.FromUSD(*n)
	return &amount, nil
}

// number reads a number of at least 0, also one inside a text, as LiteLLM does; nil for null.
func number(value json.RawMessage) (*float64, error) {
	if isNull(value) {
		return nil, nil
	}
	plain := strings.TrimSpace(strings.Trim(string(value), `"`))
	n, err := strconv.ParseFloat(plain, 64)
	if err != nil || !(n >= 0) || math.IsInf(n, 0) {
		return nil, fmt.Errorf("must be a number of at least 0, not %.100s", value)
	}
	return &n, nil
}

// largestWhole is as large as every number up to it is exact in JSON.
const largestWhole = 1 << 53

func wholeOf(n float64) (int64, error) {
	if n != math.Trunc(n) || n > largestWhole {
		return 0, fmt.Errorf("must be a whole number from 0 to %d, not %v", int64(largestWhole), n)
	}
	return int64(n), nil
}

// termFields are those of everything that may have limits and a budget.
func termFields[T any](now time.Time, at func(*T) *record.Terms) Fields[T] {
	return Fields[T]{
		count("rpm_limit", func(to *T) **int64 { return &at(to).RPM }),
		count("tpm_limit", func(to *T) **int64 { return &at(to).TPM }),
		count("max_parallel_requests", func(to *T) **int64 { return &at(to).MaxParallel }),
		most("max_budget", func(to *T) **record.Nano { return &at(to).MaxBudget }),
		money("soft_budget", func(to *T) **record.Nano { return &at(to).SoftBudget }),
		unlessEmpty(field[T]{"budget_duration", func(to *T, value json.RawMessage) error { return setPeriod(at(to), value, now) }}),
	}
}

// setPeriod begins a budget period of that length; null ends all periods.
func setPeriod(t *record.Terms, value json.RawMessage, now time.Time) error {
	var duration string
	if json.Unmarshal(value, &duration) != nil {
		return errors.New("must be a text, for example \"30d\"")
	}
	t.BudgetDuration, t.BudgetResetAt = duration, time.Time{}
	if duration == "" {
		return nil
	}
	var err error
	t.BudgetResetAt, err = budget.NextReset(duration, now)
	return err
}

// OnlyText reads a body that has one text, and that is not empty.
func OnlyText(b Body, name string) (string, error) {
	var v string
	err := Fields[string]{text(name, func(to *string) *string { return to })}.Apply(b, &v)
	if err == nil && v == "" {
		err = reply.Bad(name, "%s must be provided", name)
	}
	return v, err
}

// OnlyTexts reads a body that has one list of texts, and that is not empty.
func OnlyTexts(b Body, name string) ([]string, error) {
	var v []string
	err := Fields[[]string]{texts(name, func(to *[]string) *[]string { return to })}.Apply(b, &v)
	if err == nil && len(v) == 0 {
		err = reply.Bad(name, "%s must have at least one entry", name)
	}
	return v, err
}
