package manage

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"unicode/utf8"
)

// body is a JSON object, each of whose members has one meaning.
type body struct {
	// names are as sent, in order.
	names  []string
	values map[string]json.RawMessage
}

// has reports whether a member is there and not null.
func (b body) has(name string) bool {
	v, ok := b.values[name]
	return ok && !isNull(v)
}

// given reports whether a member is there, null or not.
func (b body) given(name string) bool {
	_, ok := b.values[name]
	return ok
}

// text is a member that must be a text; "" when it is null or not there.
func (b body) text(name string) (string, error) {
	if !b.has(name) {
		return "", nil
	}
	var text string
	if json.Unmarshal(b.values[name], &text) != nil {
		return "", bad(name, "%s must be a text", name)
	}
	return text, nil
}

// parse is strict: one object, valid UTF-8, no member twice, nothing behind it.
func parse(raw []byte) (body, error) {
	b := body{values: map[string]json.RawMessage{}}
	if !utf8.Valid(raw) {
		return b, bad("", "the body is not UTF-8")
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return b, notAnObject(err)
	}
	for d.More() {
		if err := b.member(d); err != nil {
			return b, err
		}
	}
	if _, err := d.Token(); err != nil {
		return b, notAnObject(err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return b, bad("", "the body has something behind its JSON object")
	}
	return b, nil
}

func (b *body) member(d *json.Decoder) error {
	t, err := d.Token()
	if err != nil {
		return notAnObject(err)
	}
	name, _ := t.(string) // the decoder takes nothing else
	if b.given(name) {
		return bad(name, "%.100q is in the body twice", name)
	}
	var value json.RawMessage
	if err := d.Decode(&value); err != nil {
		return notAnObject(err)
	}
	b.names = append(b.names, name)
	b.values[name] = value
	return nil
}

func notAnObject(err error) error {
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		return bad("", "the body is not a JSON object: byte %d: %v", syntax.Offset, err)
	}
	return bad("", "the body is not a JSON object")
}

func isNull(v json.RawMessage) bool { return string(v) == "null" }

// isEmpty reports whether a value says nothing: null, false, 0, or an empty text, list or object.
func isEmpty(v json.RawMessage) bool {
	var compact bytes.Buffer
	if json.Compact(&compact, v) != nil {
		return false
	}
	switch compact.String() {
	case "null", "false", "0", `""`, "[]", "{}":
		return true
	}
	return false
}
