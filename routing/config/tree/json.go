package tree

import (
	"encoding/json"
	"errors"
	"strings"
)

// Why a value can't be written as JSON. ErrNoText: a reference in it has nothing to stand for.
var (
	ErrTooMany   = errors.New("too many values")
	ErrNotFinite = errors.New("JSON has no infinite numbers")
	ErrNoText    = errors.New("a reference stands for nothing")
)

// PlaceError is why a value can't be written, and where.
type PlaceError struct {
	At  Position
	Why error
}

func (e *PlaceError) Error() string { return e.Why.Error() }
func (e *PlaceError) Unwrap() error { return e.Why }

// Substitute tells whether a scalar stands for another text, and that text; not ok: it can't be had.
type Substitute func(*Node) (text string, is, ok bool)

// JSON writes a value with at most limit values in it, aliases written out, and counts them.
// What substitute gives is text, or a boolean when it reads so; it is not asked about plain items of a list.
func (n *Node) JSON(limit int, substitute Substitute) (raw json.RawMessage, count int, err error) {
	w := writer{limit: limit, substitute: substitute}
	err = w.value(n, true)
	return w.out, w.count, err
}

type writer struct {
	limit, count int
	substitute   Substitute
	out          json.RawMessage
}

func (w *writer) value(n *Node, substitute bool) error {
	if w.count++; w.count > w.limit {
		return ErrTooMany
	}
	switch n.Kind {
	case Sequence:
		return w.sequence(n)
	case Mapping:
		return w.mapping(n)
	}
	if substitute {
		if text, is, ok := w.substitute(n); is {
			return w.text(text, ok)
		}
	}
	if !n.Plain {
		w.out = append(w.out, Quote(n.Text)...)
		return nil
	}
	raw, ok := ScalarJSON(n.Text)
	if !ok {
		return &PlaceError{At: n.At, Why: ErrNotFinite}
	}
	w.out = append(w.out, raw...)
	return nil
}

func (w *writer) text(text string, ok bool) error {
	if !ok {
		return ErrNoText
	}
	switch lower := strings.ToLower(strings.TrimSpace(text)); lower {
	case "true", "false":
		w.out = append(w.out, lower...)
	default:
		w.out = append(w.out, Quote(text)...)
	}
	return nil
}

func (w *writer) sequence(n *Node) error {
	w.out = append(w.out, '[')
	for i, item := range n.Items {
		if i > 0 {
			w.out = append(w.out, ',')
		}
		if err := w.value(item, false); err != nil {
			return err
		}
	}
	w.out = append(w.out, ']')
	return nil
}

func (w *writer) mapping(n *Node) error {
	w.out = append(w.out, '{')
	for i, p := range n.Pairs {
		if i > 0 {
			w.out = append(w.out, ',')
		}
		w.out = append(append(w.out, Quote(p.Key.Text)...), ':')
		if err := w.value(p.Value, true); err != nil {
			return err
		}
	}
	w.out = append(w.out, '}')
	return nil
}
