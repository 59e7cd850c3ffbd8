// Package form reads the bodies of management requests: strict JSON, whose members are LiteLLM's.
package form

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"unicode/utf8"

	"github.com/nestor-gateway/nestor/api/reply"
)

// Body is a JSON object, each of whose members has one meaning.
type Body struct {
	// Names are as sent, in order.
	Names  []string
	Values map[string]json.RawMessage
}

// Has reports whether a member is there and not null.
func (b Body) Has(name string) bool {
	v, ok := b.Values[name]
	return ok && !isNull(v)
}

// Given reports whether a member is there, null or not.
func (b Body) Given(name string) bool {
	_, ok := b.Values[name]
	return ok
}

// Text is a member that must be a text; "" when it is null or not there.
func (b Body) Text(name string) (string, error) {
	if !b.Has(name) {
		return "", nil
	}
	var text string
	if json.Unmarshal(b.Values[name], &text) != nil {
		return "", reply.Bad(name, "%s must be a text", name)
	}
	return text, nil
}

// Parse is strict: one object, valid UTF-8, no member twice, nothing behind it.
func Parse(raw []byte) (Body, error) {
	b := Body{Values: map[string]json.RawMessage{}}
	if !utf8.Valid(raw) {
		return b, reply.Bad("", "the body is not UTF-8")
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
		return b, reply.Bad("", "the body has something behind its JSON object")
	}
	return b, nil
}

func (b *Body) member(d *json.Decoder) error {
	t, err := d.Token()
	if err != nil {
		return notAnObject(err)
	}
	name, _ := t.(string) // the decoder takes nothing else
	if b.Given(name) {
		return reply.Bad(name, "%.100q is in the body twice", name)
	}
	var value json.RawMessage
	if err := d.Decode(&value); err != nil {
		return notAnObject(err)
	}
	b.Names = append(b.Names, name)
	b.Values[name] = value
	return nil
}

func notAnObject(err error) error {
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		return reply.Bad("", "the body is not a JSON object: byte %d: %v", syntax.Offset, err)
	}
	return reply.Bad("", "the body is not a JSON object")
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
