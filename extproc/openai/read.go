package openai

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode"
)

const (
	// maxName bounds the length of a model's name, in bytes: names go into headers and logs.
	maxName = 1024
	// maxUser bounds what is read of user, in bytes.
	maxUser = 256
	// maxFallbacks bounds the fallbacks of a request.
	maxFallbacks = 32
	// maxCompletions bounds the completions of a request; OpenAI takes 128.
	maxCompletions = 1 << 16
	// maxTimeout bounds the timeout of a request.
	maxTimeout = 24 * time.Hour
)

// CheckModel reports why a name can't be a model: it is empty, longer than 1,024 bytes, no UTF-8,
// or has control characters, which no header may carry. Nil when it can.
func CheckModel(name string) *Error {
	switch {
	case name == "":
		return Invalid("model", "model must not be empty")
	case len(name) > maxName:
		return Invalid("model", fmt.Sprintf("model is longer than %d bytes", maxName))
	}
	for _, c := range name {
		if c < ' ' || c == 0x7f || c == '\ufffd' {
			return Invalid("model", fmt.Sprintf("model must not hold control characters or invalid UTF-8: %q", name))
		}
	}
	return nil
}

// read takes the value of a member that Nestor reads.
func (r *reader) read(m member, value span) (err *Error) {
	raw := value.of(r.body)
	f := r.f
	switch m {
	case model:
		return r.readModel(value)
	case stream:
		var set *bool
		set, err = boolean("stream", raw)
		f.Stream = set != nil && *set
	case streamOptions:
		return r.readOptions(value)
	case maxTokens:
		f.MaxTokens, err = limit("max_tokens", raw)
	case maxCompletionTokens:
		f.MaxCompletionTokens, err = limit("max_completion_tokens", raw)
	case choices:
		f.N, err = integer("n", raw, 1, maxCompletions)
	case bestOf:
		f.BestOf, err = integer("best_of", raw, 1, maxCompletions)
	case prompt:
		f.Prompts = r.prompts(value)
	case user:
		f.User = endUser(raw)
	case fallbacks:
		f.Fallbacks, err = names(raw)
	case numRetries:
		f.NumRetries, err = count("num_retries", raw)
	case timeout:
		f.Timeout, err = seconds("timeout", raw)
	case disableFallbacks:
		var set *bool
		set, err = boolean("disable_fallbacks", raw)
		f.DisableFallbacks = set != nil && *set
	}
	return err
}

func (r *reader) readModel(value span) *Error {
	raw := value.of(r.body)
	if raw[0] != '"' {
		return Invalid("model", "model must be a string, found "+excerpt(raw))
	}
	r.f.HasModel, r.f.model = true, span{value.from + 1, value.to - 1}
	inner := r.f.model.of(r.body)
	if len(inner) > 6*maxName { // as \u0061
		return Invalid("model", fmt.Sprintf("model is longer than %d bytes", maxName))
	}
	ok := true
	if bytes.IndexByte(inner, '\\') < 0 {
		r.f.Model = string(inner)
	} else if r.f.Model, ok = unquote(inner); !ok {
		return Invalid("model", "model is not valid Unicode: "+excerpt(raw))
	}
	return CheckModel(r.f.Model)
}

// endUser reads user as LiteLLM does: a text, or a number. Of one that is too long the beginning is enough.
func endUser(raw []byte) string {
	if raw[0] == '-' || isDigit(raw[0]) {
		return string(raw[:min(len(raw), maxUser)])
	}
	if raw[0] != '"' {
		return ""
	}
	raw = raw[1 : len(raw)-1]
	if len(raw) > 6*maxUser { // as \u0061
		raw, _, _ = bytes.Cut(raw[:maxUser], []byte{'\\'}) // no escape in halves
	}
	text := string(raw)
	if bytes.IndexByte(raw, '\\') >= 0 {
		text, _ = unquote(raw)
	}
	text = strings.Map(printing, strings.TrimSpace(text))
	return strings.ToValidUTF8(text[:min(len(text), maxUser)], "")
}

// printing leaves control characters out.
func printing(r rune) rune {
	if unicode.IsControl(r) {
		return -1
	}
	return r
}

// readOptions reads stream_options, whose value is known to be valid JSON.
func (r *reader) readOptions(value span) *Error {
	raw := value.of(r.body)
	r.f.options = value
	if string(raw) == "null" {
		return nil
	}
	if raw[0] != '{' {
		return Invalid("stream_options", "stream_options must be an object or null, found "+excerpt(raw))
	}
	r.f.optionsOpen, r.f.optionsEmpty = value.from+1, true
	inner := scanner{body: r.body[:value.to], at: value.from}
	inner.object(r.option)
	return inner.err
}

// prompts counts the prompts of a completion, whose value is known to be valid JSON: an array
// of numbers is one, of tokens.
func (r *reader) prompts(value span) (n int64) {
	inner := scanner{body: r.body[:value.to], at: value.from}
	if inner.peek() != '[' {
		return 1
	}
	inner.enter()
	if c := inner.peek(); c != '"' && c != '[' {
		return 1
	}
	for inner.value() {
		n++
		if inner.space(); inner.peek() != ',' {
			break
		}
		inner.at++
		inner.space()
	}
	return n
}

func (r *reader) option(e entry) (err *Error) {
	const name, path = "include_usage", "stream_options.include_usage"
	r.f.optionsEmpty = false
	key := e.key.of(r.body)
	if string(key) != name {
		if ordinary(key) {
			return nil
		}
		return lookalike(key, func(lower string) bool { return lower == name })
	}
	if r.f.usage.to != 0 {
		return Invalid(path, "stream_options has \"include_usage\" twice")
	}
	r.f.usage = e.value
	r.f.IncludeUsage, err = boolean(path, e.value.of(r.body))
	return err
}

func boolean(name string, raw []byte) (*bool, *Error) {
	switch string(raw) {
	case "true", "false":
		set := raw[0] == 't'
		return &set, nil
	case "null":
		return nil, nil
	}
	return nil, Invalid(name, name+" must be true, false or null, found "+excerpt(raw))
}

// limit reads a number of tokens, of which -1 is none.
func limit(name string, raw []byte) (*int64, *Error) {
	n, err := integer(name, raw, -1, math.MaxInt32)
	if n != nil && *n < 0 {
		n = nil
	}
	return n, err
}

func count(name string, raw []byte) (*int, *Error) {
	n, err := integer(name, raw, 0, math.MaxInt32)
	if n == nil {
		return nil, err
	}
	c := int(*n)
	return &c, nil
}

// integer reads a whole number within bounds; nil for null.
func integer(name string, raw []byte, low, high int64) (*int64, *Error) {
	if string(raw) == "null" {
		return nil, nil
	}
	n, err := strconv.ParseInt(string(raw), 10, 64)
	if err != nil {
		var x float64
		x, err = strconv.ParseFloat(string(raw), 64)
		n = int64(x)
		if float64(n) != x {
			err = strconv.ErrSyntax
		}
	}
	if err != nil || n < low || n > high {
		return nil, Invalid(name, fmt.Sprintf("%s must be an integer from %d to %d, found %s", name, low, high, excerpt(raw)))
	}
	return &n, nil
}

// seconds reads a time in seconds, more than 0 and at most maxTimeout; nil for null.
func seconds(name string, raw []byte) (*time.Duration, *Error) {
	if string(raw) == "null" {
		return nil, nil
	}
	x, err := strconv.ParseFloat(string(raw), 64)
	if err != nil || x <= 0 || x > maxTimeout.Seconds() {
		return nil, Invalid(name, fmt.Sprintf("%s must be a number of seconds over 0, at most %.0f, found %s", name, maxTimeout.Seconds(), excerpt(raw)))
	}
	d := time.Duration(x * float64(time.Second))
	return &d, nil
}

// names reads a request's fallbacks: names, or objects with nothing but a model.
func names(raw []byte) ([]string, *Error) {
	var items []json.RawMessage
	if json.Unmarshal(raw, &items) != nil {
		return nil, Invalid("fallbacks", "fallbacks must be an array of model names, found "+excerpt(raw))
	}
	if len(items) > maxFallbacks {
		return nil, Invalid("fallbacks", fmt.Sprintf("fallbacks has %d models; at most %d are taken", len(items), maxFallbacks))
	}
	var models []string
	for _, item := range items {
		name, ok := fallbackName(item)
		if !ok || CheckModel(name) != nil {
			return nil, Invalid("fallbacks", "fallbacks must be an array of model names, found in it "+excerpt(item))
		}
		models = append(models, name)
	}
	return models, nil
}

func fallbackName(item json.RawMessage) (string, bool) {
	var name string
	if json.Unmarshal(item, &name) == nil {
		return name, true
	}
	var object map[string]string
	if json.Unmarshal(item, &object) != nil || len(object) != 1 {
		return "", false
	}
	name, ok := object["model"]
	return name, ok
}

// excerpt shows the beginning of a value.
func excerpt(raw []byte) string {
	const most = 40
	if len(raw) <= most {
		return string(raw)
	}
	return string(bytes.ToValidUTF8(raw[:most], nil)) + "..."
}
