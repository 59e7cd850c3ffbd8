package tree

// Node is one value of a YAML file after anchors, aliases and merge keys are resolved.
// Nodes that come from an alias are shared, so a tree may stand for far more values than it holds.
type Node struct {
	Kind Kind
	At   Position
	// Text is a scalar's; Plain says that it was written without quotes, so that
	// YAML 1.1 may read it as null, a boolean or a number.
	Text  string
	Plain bool
	// Anchored marks a value that other places may repeat.
	Anchored bool
	// Broken stands for a value that could not be read, which has been reported.
	Broken bool
	Items  []*Node
	Pairs  []Pair
}

// Pair is one key of a mapping and its value.
type Pair struct{ Key, Value *Node }

// Kind tells scalars, lists and mappings apart.
type Kind uint8

const (
	Scalar Kind = iota
	Sequence
	Mapping
)

// Get returns the value of a key, or nil when it is absent or null.
func (n *Node) Get(key string) *Node {
	for _, p := range n.Pairs {
		if p.Key.Text == key && !p.Value.IsNull() {
			return p.Value
		}
	}
	return nil
}

// IsNull reports whether a value says nothing: absent and null are the same in a config.
func (n *Node) IsNull() bool {
	return n.Kind == Scalar && n.Plain && isNull(n.Text) && !n.Broken
}

// IsOff reports whether a value asks for nothing: null, false, zero, or empty.
func (n *Node) IsOff() bool {
	switch n.Kind {
	case Sequence:
		return len(n.Items) == 0
	case Mapping:
		return len(n.Pairs) == 0
	}
	if !n.Plain {
		return n.Text == ""
	}
	b, isBool := Boolean(n.Text)
	return n.IsNull() || isBool && !b || n.Text == "0"
}

// Describe says what a value is, never what it holds.
func (n *Node) Describe() string {
	switch {
	case n.Kind == Sequence:
		return "a list"
	case n.Kind == Mapping:
		return "a mapping"
	case n.IsNull():
		return "nothing"
	case !n.Plain:
		return "text"
	}
	switch Classify(n.Text) {
	case BoolScalar:
		return "true or false"
	case IntScalar:
		return "a number"
	case FloatScalar:
		return "a decimal number"
	default:
		return "text"
	}
}
