package tree

import (
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"
)

// converter turns the parser's tree into nodes, with anchors, aliases and merge keys resolved as PyYAML does.
type converter struct {
	file        string
	linesBefore int
	report      *Report
	anchors     *Anchors
}

// Anchors are those of a file up to the place that is being read.
type Anchors struct {
	// values holds nil for an anchor whose value is being read: an alias to it would never end.
	values map[string]*Node
	// merged counts the pairs that merge keys have copied.
	merged int
}

// NewAnchors is where the reading of a file begins.
func NewAnchors() *Anchors { return &Anchors{values: map[string]*Node{}} }

func (c *converter) at(t *token.Token) Position {
	if t == nil || t.Position == nil {
		return Position{File: c.file, Line: c.linesBefore + 1, Column: 1}
	}
	line, column := max(t.Position.Line, 1), max(t.Position.Column, 1)
	if t.Type == token.ImplicitNullType && t.Prev != nil {
		// A value left out stands behind what announces it, which the parser's own place may not.
		line, column = t.Prev.Position.Line, t.Prev.Position.Column+utf8.RuneCountInString(t.Prev.Value)
	}
	return Position{File: c.file, Line: c.linesBefore + line, Column: column}
}

func (c *converter) node(n ast.Node) *Node {
	switch n := n.(type) {
	case nil:
		return &Node{Plain: true}
	case *ast.MappingNode:
		return c.mapping(n.Values, c.at(n.GetToken()), n.IsFlowStyle)
	case *ast.MappingValueNode:
		return c.mapping([]*ast.MappingValueNode{n}, c.at(n.GetToken()), false)
	case *ast.SequenceNode:
		return c.sequence(n)
	case *ast.AnchorNode:
		return c.anchor(n)
	case *ast.AliasNode:
		return c.alias(n)
	case *ast.TagNode:
		return c.tagged(n)
	default:
		return c.scalar(n)
	}
}

func (c *converter) scalar(n ast.Node) *Node {
	t := n.GetToken()
	s := &Node{At: c.at(t)}
	switch n := n.(type) {
	case *ast.LiteralNode:
		s.Text = n.Value.Value
	case *ast.StringNode:
		s.Text = n.Value
		s.Plain = t.Type != token.SingleQuoteType && t.Type != token.DoubleQuoteType
	case *ast.NullNode:
		s.Plain = true
	case ast.ScalarNode:
		s.Text, s.Plain = t.Value, true
	default:
		s.Broken = true
		c.report.Problem(s.At, "write it as plain text, a list or a mapping", "this kind of YAML value can't be used here")
	}
	return s
}

func (c *converter) sequence(n *ast.SequenceNode) *Node {
	s := &Node{Kind: Sequence, At: c.at(n.GetToken()), Items: make([]*Node, 0, len(n.Values))}
	for _, v := range n.Values {
		s.Items = append(s.Items, c.node(v))
	}
	return s
}

func (c *converter) mapping(values []*ast.MappingValueNode, at Position, flow bool) *Node {
	m := &Node{Kind: Mapping, At: at, Pairs: make([]Pair, 0, len(values))}
	var merges *Pair
	seen := map[string]Position{}
	for i, v := range values {
		key := c.key(v.Key)
		if i == 0 && !flow {
			m.At = key.At
		}
		if first, twice := seen[key.Text]; twice {
			c.report.Problem(key.At, "remove one of them", "%s is given twice, first in line %d", QuoteKey(key.Text), first.Line)
			continue
		}
		seen[key.Text] = key.At
		value := c.node(v.Value)
		if v.Key.IsMergeKey() {
			merges = &Pair{key, value}
			continue
		}
		m.Pairs = append(m.Pairs, Pair{key, value})
	}
	if merges != nil {
		m.Pairs = c.merge(*merges, m.Pairs, seen)
	}
	return m
}

func (c *converter) key(n ast.MapKeyNode) *Node {
	if n.IsMergeKey() {
		return &Node{At: c.at(n.GetToken()), Text: "<<", Plain: true}
	}
	var value ast.Node = n
	if explicit, ok := n.(*ast.MappingKeyNode); ok {
		value = explicit.Value
	}
	key := c.node(value)
	if key.Kind != Scalar {
		c.report.Problem(key.At, "write a name before the colon", "a key must be text, not %s", key.Describe())
		return &Node{At: key.At}
	}
	return key
}

// merge puts the pairs that << brings before those of the mapping itself. The mapping's own win,
// and an earlier source wins over a later one.
func (c *converter) merge(sources Pair, own []Pair, seen map[string]Position) []Pair {
	at, list := sources.Key.At, []*Node{sources.Value}
	if sources.Value.Kind == Sequence {
		list = sources.Value.Items
	}
	var merged []Pair
	for _, source := range list {
		if source.Broken {
			continue
		}
		if source.Kind != Mapping {
			c.report.Problem(at, "write << with an alias of a mapping, or a list of such", "<< takes a mapping, not %s", source.Describe())
			continue
		}
		before := c.anchors.merged
		if c.anchors.merged += len(source.Pairs); c.anchors.merged > maxMerged {
			if before <= maxMerged {
				c.report.Problem(at, "write the values out", "merge keys bring more than %d values", maxMerged)
			}
			return own
		}
		for _, p := range source.Pairs {
			if _, known := seen[p.Key.Text]; !known {
				seen[p.Key.Text] = p.Key.At
				merged = append(merged, p)
			}
		}
	}
	return append(merged, own...)
}

func (c *converter) anchor(n *ast.AnchorNode) *Node {
	name := n.Name.GetToken().Value
	c.anchors.values[name] = nil
	value := c.node(n.Value)
	value.Anchored = true
	c.anchors.values[name] = value
	return value
}

func (c *converter) alias(n *ast.AliasNode) *Node {
	at := c.at(n.GetToken())
	name := ""
	if n.Value != nil {
		name = n.Value.GetToken().Value
	}
	value, known := c.anchors.values[name]
	switch {
	case !known:
		c.report.Problem(at, `write the anchor before the alias; a value that begins with * needs quotes`, "there is no anchor &%s before this alias", Clip(name))
	case value == nil:
		c.report.Problem(at, "an anchor can't be used inside its own value", "the alias *%s lies inside its own anchor", Clip(name))
	default:
		return value
	}
	return &Node{At: at, Plain: true, Broken: true}
}

// tagged reads !!str and its kin; other tags name Python or application types, which PyYAML's safe loader refuses too.
func (c *converter) tagged(n *ast.TagNode) *Node {
	value := c.node(n.Value)
	switch tag := n.GetToken().Value; tag {
	case "!!str", "!":
		if value.Kind == Scalar {
			text := *value
			text.Plain = false
			return &text
		}
	case "!!int", "!!float", "!!bool", "!!null":
		if value.Kind == Scalar {
			text := *value
			text.Plain = true
			return &text
		}
	case "!!map", "!!seq":
	default:
		c.report.Problem(c.at(n.GetToken()), "remove the tag", "the YAML tag %s is not supported", Clip(tag))
	}
	return value
}

const clipped = 60

// Clip keeps a name from the file short enough for a message, and on one line.
func Clip(name string) string {
	if r := []rune(name); len(r) > clipped {
		name = string(r[:clipped]) + "..."
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, name)
}

// QuoteKey is Clip in quotes.
func QuoteKey(name string) string { return `"` + Clip(name) + `"` }
