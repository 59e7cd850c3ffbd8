package config

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/nestor-gateway/nestor/routing/config/tree"
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
func (d *decoder) resolve(key string, v *tree.Node, want string) (text string, plain, ok bool) {
	if v.Kind != tree.Scalar || v.Broken {
		d.wrongType(key, v, want)
		return "", false, false
	}
	name, isReference := reference(v)
	if !isReference {
		return v.Text, v.Plain, true
	}
	text, ok = d.lookup(key, name, v.At)
	return text, true, ok
}

// text reads a string into to.
func (d *decoder) text(key string, v *tree.Node, to *string) {
	text, plain, ok := d.resolve(key, v, "text")
	if !ok {
		return
	}
	_, fromEnv := reference(v)
	if k := tree.Classify(text); plain && !fromEnv && (k == tree.BoolScalar || k == tree.IntScalar || k == tree.FloatScalar) {
		d.report.Problem(v.At, "put it in quotes", "%s must be text, not %s", key, v.Describe())
		return
	}
	*to = text
}

func (d *decoder) secret(key string, v *tree.Node, to *Secret) {
	var text string
	d.text(key, v, &text)
	*to = Secret(text)
}

// checkSendable reports a credential that no header can carry, without showing it.
func (d *decoder) checkSendable(key string, v *tree.Node, secret Secret) {
	text := secret.Reveal()
	at := strings.IndexFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f })
	if at < 0 {
		return
	}
	hint := "remove it"
	if name, isReference := reference(v); isReference {
		hint = "remove it from the value of " + tree.Clip(name)
	}
	d.report.Problem(v.At, hint, "%s has a line break or another control character at character %d of %d", key, at+1, len(text))
}

// whole reads a whole number of at least least. LiteLLM takes "6" and 6.0 for 6.
func whole[T int | int64](d *decoder, key string, v *tree.Node, least int64, to **T) {
	text, _, ok := d.resolve(key, v, "a whole number")
	if !ok {
		return
	}
	n, tooLarge, ok := wholeNumber(strings.TrimSpace(text))
	switch {
	case tooLarge:
		d.report.Problem(v.At, "write a smaller number, or leave the key out", "%s is larger than 2^53", key)
	case !ok:
		d.wrongType(key, v, "a whole number")
	case n < least && least == 0:
		d.report.Problem(v.At, "write 0 or more, or leave the key out", "%s can't be negative", key)
	default:
		value := T(n)
		*to = &value
	}
}

// maxWhole is up to where a float64 has every whole number: counters in metrics and in Redis' scripts are ones.
const maxWhole = 1 << 53

// wholeNumber reads a number without decimals, also as 1e6, which is text in YAML 1.1 and a number to who writes it.
func wholeNumber(text string) (value int64, tooLarge, ok bool) {
	if n, isInt := tree.Integer(text); isInt {
		return n.Int64(), !n.IsInt64() || n.Int64() > maxWhole, true
	}
	f, isFloat := tree.Float(text)
	if !isFloat && exponent(text) {
		parsed, err := strconv.ParseFloat(text, 64)
		f, isFloat = parsed, err == nil || math.IsInf(parsed, 0)
	}
	if !isFloat || f != math.Trunc(f) {
		return 0, false, false
	}
	return int64(f), math.Abs(f) > maxWhole, true
}

// exponent reports whether a text can be a number like 1e6: it has neither words nor what only Go takes.
func exponent(text string) bool {
	return strings.ContainsAny(text, "eE") && strings.Trim(text, "+-.0123456789eE") == ""
}

// number reads a number of at least 0; ok is false when there was none, which has been reported.
func (d *decoder) number(key string, v *tree.Node, want string) (value float64, ok bool) {
	text, _, ok := d.resolve(key, v, want)
	if !ok {
		return 0, false
	}
	// Python's float() takes more than YAML calls a number, and LiteLLM applies it to text.
	text = strings.TrimSpace(text)
	f, err := strconv.ParseFloat(text, 64)
	if n, isInt := tree.Integer(text); isInt {
		f, _ = n.Float64()
		err = nil
	} else if yaml, isFloat := tree.Float(text); isFloat {
		f, err = yaml, nil
	}
	switch {
	case math.IsNaN(f) || math.IsInf(f, 0):
		d.report.Problem(v.At, "write a finite number", "%s can't be infinite or no number", key)
	case err != nil:
		d.wrongType(key, v, want)
	case f < 0:
		d.report.Problem(v.At, "write 0 or more, or leave the key out", "%s can't be negative", key)
	default:
		return f, true
	}
	return 0, false
}

func (d *decoder) weight(key string, v *tree.Node, to **float64) {
	if f, ok := d.number(key, v, "a number"); ok {
		*to = &f
	}
}

// seconds reads a time, of which decimals count.
func (d *decoder) seconds(key string, v *tree.Node, to **time.Duration) {
	f, ok := d.number(key, v, "a number of seconds")
	if !ok {
		return
	}
	if f > maxSeconds {
		d.report.Problem(v.At, "write it in seconds", "%s is longer than ten years", key)
		return
	}
	t := time.Duration(math.Round(f * float64(time.Second)))
	*to = &t
}

// timeout is seconds where 0 means, as in LiteLLM, that none is given.
func (d *decoder) timeout(key string, v *tree.Node, to **time.Duration) {
	var t *time.Duration
	if d.seconds(key, v, &t); t != nil && *t > 0 {
		*to = t
	}
}

// LongestSilence is the longest that Envoy lets a stream say nothing, before its headers too.
const LongestSilence = 600 * time.Second

// streamTimeout is a timeout that counts up to LongestSilence.
func (d *decoder) streamTimeout(key string, v *tree.Node, to **time.Duration) {
	if d.timeout(key, v, to); *to != nil && **to > LongestSilence {
		d.report.Warn(v.At, "write 600 or less", "%s is over 600 seconds: a stream that says nothing for 600 is ended, before its headers too", key)
	}
}

func (d *decoder) flag(key string, v *tree.Node, to *bool) {
	text, _, ok := d.resolve(key, v, "true or false")
	if !ok {
		return
	}
	b, isBool := tree.Boolean(text)
	if !isBool {
		d.wrongType(key, v, "true or false")
		return
	}
	*to = b
}

// texts reads a list of names.
func (d *decoder) texts(key string, v *tree.Node) []Key {
	items, ok := d.list(key, v)
	if !ok {
		return nil
	}
	names := make([]Key, 0, len(items))
	for _, item := range items {
		name := ""
		if d.text("an item of "+key, item, &name); name != "" {
			names = append(names, Key{Name: name, At: item.At})
		}
	}
	return names
}

func (d *decoder) list(key string, v *tree.Node) ([]*tree.Node, bool) {
	if v.Kind != tree.Sequence {
		d.wrongType(key, v, "a list")
		return nil, false
	}
	return v.Items, d.visit(v.At, len(v.Items))
}

// fields gives the pairs of a mapping that say something: null counts as absent.
func (d *decoder) fields(key string, v *tree.Node) []tree.Pair {
	if v.Kind != tree.Mapping {
		d.wrongType(key, v, "a mapping")
		return nil
	}
	if !d.visit(v.At, len(v.Pairs)) {
		return nil
	}
	present := make([]tree.Pair, 0, len(v.Pairs))
	for _, p := range v.Pairs {
		if !p.Value.IsNull() {
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
		d.report.Problem(at, "write the values out", "the aliases of the file stand for more than %d values", maxVisited)
	}
	return d.visited <= maxVisited
}

func (d *decoder) wrongType(key string, v *tree.Node, want string) {
	if v.Broken {
		return
	}
	hint := "write " + want
	switch _, isReference := reference(v); {
	case isReference:
		hint = "correct the variable's value"
	case want == aPrice:
		hint = priceHint
	case want == "text":
		hint = "write one text"
	case strings.Contains(want, "number") && v.Describe() == "text":
		hint = "write digits only"
	case want == "a list":
		hint = "write it as [a, b], or as lines that begin with -"
	case want == "a mapping":
		hint = "write it as lines of key: value"
	}
	d.report.Problem(v.At, hint, "%s must be %s, not %s", key, want, d.found(v))
}

func (d *decoder) found(v *tree.Node) string {
	if name, isReference := reference(v); isReference {
		return "what the variable " + tree.Clip(name) + " holds"
	}
	return v.Describe()
}

// json writes a value as JSON. Environment references are resolved where LiteLLM does:
// in mappings at any depth, but not in plain items of a list.
func (d *decoder) json(key string, v *tree.Node, resolve bool) (json.RawMessage, bool) {
	raw, count, err := v.JSON(maxRendered, func(v *tree.Node) (text string, is, ok bool) {
		name, isReference := reference(v)
		if !resolve || !isReference {
			return "", false, true
		}
		text, ok = d.lookup(key, name, v.At)
		return text, true, ok
	})
	at := v.At
	if placed, ok := errors.AsType[*tree.PlaceError](err); ok {
		at = placed.At
	}
	switch {
	case errors.Is(err, tree.ErrTooMany):
		d.report.Problem(v.At, "write the values out", "%s stands for more than %d values", key, maxRendered)
	case errors.Is(err, tree.ErrNotFinite):
		d.report.Problem(at, "write a finite number", "%s can't be infinite or no number", key)
	}
	return raw, d.visit(v.At, count) && err == nil
}

func placeholderMessage(key, placeholder string) string {
	if placeholder == "" {
		return key + " is still a placeholder"
	}
	return fmt.Sprintf("%s holds the placeholder %s", key, tree.Clip(placeholder))
}
