package config

// node is one value of a YAML file after anchors, aliases and merge keys are resolved.
// Nodes that come from an alias are shared, so a tree may stand for far more values than it holds.
type node struct {
	kind kind
	at   Position
	// text is a scalar's; plain says that it was written without quotes, so that
	// YAML 1.1 may read it as null, a boolean or a number.
	text  string
	plain bool
	// anchored marks a value that other places may repeat.
	anchored bool
	// broken stands for a value that could not be read, which has been reported.
	broken bool
	items  []*node
	pairs  []pair
}

type pair struct{ key, value *node }

type kind uint8

const (
	scalar kind = iota
	sequence
	mapping
)

// get returns the value of a key, or nil when it is absent or null.
func (n *node) get(key string) *node {
	for _, p := range n.pairs {
		if p.key.text == key && !p.value.isNull() {
			return p.value
		}
	}
	return nil
}

// isNull reports whether a value says nothing: absent and null are the same in a config.
func (n *node) isNull() bool {
	return n.kind == scalar && n.plain && isNull(n.text) && !n.broken
}

// isOff reports whether a value asks for nothing: null, false, zero, or empty.
func (n *node) isOff() bool {
	switch n.kind {
	case sequence:
		return len(n.items) == 0
	case mapping:
		return len(n.pairs) == 0
	}
	if !n.plain {
		return n.text == ""
	}
	b, isBool := boolean(n.text)
	return n.isNull() || isBool && !b || n.text == "0"
}

// describe says what a value is, never what it holds.
func (n *node) describe() string {
	switch {
	case n.kind == sequence:
		return "a list"
	case n.kind == mapping:
		return "a mapping"
	case n.isNull():
		return "nothing"
	case !n.plain:
		return "text"
	}
	switch classify(n.text) {
	case boolScalar:
		return "true or false"
	case intScalar:
		return "a number"
	case floatScalar:
		return "a decimal number"
	default:
		return "text"
	}
}
