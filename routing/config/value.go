package config

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// maxSeconds keeps a time within what a Duration can hold, and within reason: ten years.
const maxSeconds = 10 * 366 * 24 * 3600

// maxRendered bounds what one request parameter or model_info may stand for once its aliases are written out,
// and maxVisited what the whole file may.
const (
	maxRendered = 100_000
	maxVisited  = 20_000_000
)

// resolve gives a scalar's text with an environment reference resolved. Not ok: it is no scalar,
// or the variable is not set; that has been reported.
func (d *decoder) resolve(key string, v *node, want string) (text string, plain, ok bool) {
	if v.kind != scalar || v.broken {
		d.wrongType(key, v, want)
		return "", false, false
	}
	name, isReference := reference(v)
	if !isReference {
		return v.text, v.plain, true
	}
	text, ok = d.lookup(key, name, v.at)
	return text, true, ok
}

// text reads a string into to.
func (d *decoder) text(key string, v *node, to *string) {
	text, plain, ok := d.resolve(key, v, "text")
	if !ok {
		return
	}
	_, fromEnv := reference(v)
	if k := classify(text); plain && !fromEnv && (k == boolScalar || k == intScalar || k == floatScalar) {
		d.report.problem(v.at, "put it in quotes", "%s must be text, not %s", key, v.describe())
		return
	}
	*to = text
}

func (d *decoder) secret(key string, v *node, to *Secret) {
	var text string
	d.text(key, v, &text)
	*to = Secret(text)
}

// whole reads a whole number of at least least. LiteLLM takes "6" and 6.0 for 6.
func whole[T int | int64](d *decoder, key string, v *node, least int64, to **T) {
	text, _, ok := d.resolve(key, v, "a whole number")
	if !ok {
		return
	}
	n, tooLarge, ok := wholeNumber(strings.TrimSpace(text))
	switch {
	case tooLarge:
		d.report.problem(v.at, "write a smaller number", "%s is too large", key)
	case !ok:
		d.wrongType(key, v, "a whole number")
	case n < least && least == 0:
		d.report.problem(v.at, "write 0 or more, or leave the key out", "%s can't be negative", key)
	default:
		value := T(n)
		*to = &value
	}
}

func wholeNumber(text string) (value int64, tooLarge, ok bool) {
	if n, isInt := integer(text); isInt {
		return n.Int64(), !n.IsInt64(), true
	}
	f, isFloat := float(text)
	if !isFloat || f != math.Trunc(f) {
		return 0, false, false
	}
	return int64(f), math.Abs(f) > 1<<53, true
}

// number reads a number of at least 0; ok is false when there was none, which has been reported.
func (d *decoder) number(key string, v *node, want string) (value float64, ok bool) {
	text, _, ok := d.resolve(key, v, want)
	if !ok {
		return 0, false
	}
	// Python's float() takes more than YAML calls a number, and LiteLLM applies it to text.
	text = strings.TrimSpace(text)
	f, err := strconv.ParseFloat(text, 64)
	if n, isInt := integer(text); isInt {
		f, _ = n.Float64()
		err = nil
	} else if yaml, isFloat := float(text); isFloat {
		f, err = yaml, nil
	}
	switch {
	case math.IsNaN(f) || math.IsInf(f, 0):
		d.report.problem(v.at, "write a finite number", "%s can't be infinite or no number", key)
	case err != nil:
		d.wrongType(key, v, want)
	case f < 0:
		d.report.problem(v.at, "write 0 or more, or leave the key out", "%s can't be negative", key)
	default:
		return f, true
	}
	return 0, false
}

func (d *decoder) weight(key string, v *node, to **float64) {
	if f, ok := d.number(key, v, "a number"); ok {
		*to = &f
	}
}

// seconds reads a time, of which decimals count.
func (d *decoder) seconds(key string, v *node, to **time.Duration) {
	f, ok := d.number(key, v, "a number of seconds")
	if !ok {
		return
	}
	if f > maxSeconds {
		d.report.problem(v.at, "write it in seconds", "%s is longer than ten years", key)
		return
	}
	t := time.Duration(math.Round(f * float64(time.Second)))
	*to = &t
}

// timeout is seconds where 0 means, as in LiteLLM, that none is given.
func (d *decoder) timeout(key string, v *node, to **time.Duration) {
	var t *time.Duration
	if d.seconds(key, v, &t); t != nil && *t > 0 {
		*to = t
	}
}

func (d *decoder) flag(key string, v *node, to *bool) {
	text, _, ok := d.resolve(key, v, "true or false")
	if !ok {
		return
	}
	b, isBool := boolean(text)
	if !isBool {
		d.wrongType(key, v, "true or false")
		return
	}
	*to = b
}

// texts reads a list of names.
func (d *decoder) texts(key string, v *node) []Key {
	items, ok := d.list(key, v)
	if !ok {
		return nil
	}
	names := make([]Key, 0, len(items))
	for _, item := range items {
		name := ""
		if d.text("an item of "+key, item, &name); name != "" {
			names = append(names, Key{Name: name, At: item.at})
		}
	}
	return names
}

func (d *decoder) list(key string, v *node) ([]*node, bool) {
	if v.kind != sequence {
		d.wrongType(key, v, "a list")
		return nil, false
	}
	return v.items, d.visit(v.at, len(v.items))
}

// fields gives the pairs of a mapping that say something: null counts as absent.
func (d *decoder) fields(key string, v *node) []pair {
	if v.kind != mapping {
		d.wrongType(key, v, "a mapping")
		return nil
	}
	if !d.visit(v.at, len(v.pairs)) {
		return nil
	}
	present := make([]pair, 0, len(v.pairs))
	for _, p := range v.pairs {
		if !p.value.isNull() {
			present = append(present, p)
		}
	}
	return present
}

// visit counts what is read. Aliases let a small file stand for a huge one.
func (d *decoder) visit(at Position, n int) bool {
	before := d.visited
	d.visited += n + 1
	if before <= maxVisited && d.visited > maxVisited {
		d.report.problem(at, "write the values out", "the aliases of the file stand for more than %d values", maxVisited)
	}
	return d.visited <= maxVisited
}

func (d *decoder) wrongType(key string, v *node, want string) {
	if v.broken {
		return
	}
	hint := ""
	switch _, isReference := reference(v); {
	case isReference:
		hint = "correct the variable's value"
	case strings.Contains(want, "number") && v.describe() == "text":
		hint = "write digits only"
	case want == "a list":
		hint = "write it as [a, b], or as lines that begin with -"
	case want == "a mapping":
		hint = "write it as lines of key: value"
	}
	d.report.problem(v.at, hint, "%s must be %s, not %s", key, want, d.found(v))
}

func (d *decoder) found(v *node) string {
	if name, isReference := reference(v); isReference {
		return "what the variable " + clip(name) + " holds"
	}
	return v.describe()
}

// json writes a value as JSON. Environment references are resolved where LiteLLM does:
// in mappings at any depth, but not in plain items of a list.
func (d *decoder) json(key string, v *node, resolve bool) (json.RawMessage, bool) {
	w := renderer{d: d, key: key, resolve: resolve}
	ok := w.value(v, resolve)
	if w.count > maxRendered {
		d.report.problem(v.at, "write the values out", "%s stands for more than %d values", key, maxRendered)
	}
	return w.out, ok && d.visit(v.at, w.count)
}

type renderer struct {
	d       *decoder
	key     string
	resolve bool
	out     json.RawMessage
	count   int
}

func (w *renderer) value(v *node, resolve bool) bool {
	if w.count++; w.count > maxRendered {
		return false
	}
	switch v.kind {
	case sequence:
		return w.sequence(v)
	case mapping:
		return w.mapping(v)
	}
	if name, isReference := reference(v); isReference && resolve {
		return w.variable(name, v)
	}
	if !v.plain {
		w.out = append(w.out, quote(v.text)...)
		return true
	}
	raw, ok := scalarJSON(v.text)
	if !ok {
		w.d.report.problem(v.at, "write a finite number", "%s can't be infinite or no number", w.key)
		return false
	}
	w.out = append(w.out, raw...)
	return true
}

// variable writes what a variable holds: text, or a boolean when it reads so.
func (w *renderer) variable(name string, v *node) bool {
	text, ok := w.d.lookup(w.key, name, v.at)
	if !ok {
		return false
	}
	switch strings.ToLower(strings.TrimSpace(text)) {
	case "true", "false":
		w.out = append(w.out, strings.ToLower(strings.TrimSpace(text))...)
	default:
		w.out = append(w.out, quote(text)...)
	}
	return true
}

func (w *renderer) sequence(v *node) bool {
	w.out = append(w.out, '[')
	for i, item := range v.items {
		if i > 0 {
			w.out = append(w.out, ',')
		}
		if !w.value(item, false) {
			return false
		}
	}
	w.out = append(w.out, ']')
	return true
}

func (w *renderer) mapping(v *node) bool {
	w.out = append(w.out, '{')
	for i, p := range v.pairs {
		if i > 0 {
			w.out = append(w.out, ',')
		}
		w.out = append(append(w.out, quote(p.key.text)...), ':')
		if !w.value(p.value, w.resolve) {
			return false
		}
	}
	w.out = append(w.out, '}')
	return true
}

func placeholderMessage(key, placeholder string) string {
	if placeholder == "" {
		return key + " is still a placeholder"
	}
	return fmt.Sprintf("%s holds the placeholder %s", key, clip(placeholder))
}
