package config

import (
	"strings"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"
)

// converter turns the parser's tree into nodes, with anchors, aliases and merge keys resolved as PyYAML does.
type converter struct {
	file        string
	linesBefore int
	report      *report
	anchors     *anchors
}

// anchors are those of a file up to the place that is being read.
type anchors struct {
	// values holds nil for an anchor whose value is being read: an alias to it would never end.
	values map[string]*node
	// merged counts the pairs that merge keys have copied.
	merged int
}

func newAnchors() *anchors { return &anchors{values: map[string]*node{}} }

func (c *converter) at(t *token.Token) Position {
	if t == nil || t.Position == nil {
		return Position{File: c.file, Line: c.linesBefore + 1, Column: 1}
	}
	return Position{File: c.file, Line: c.linesBefore + max(t.Position.Line, 1), Column: max(t.Position.Column, 1)}
}

func (c *converter) node(n ast.Node) *node {
	switch n := n.(type) {
	case nil:
		return &node{plain: true}
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

func (c *converter) scalar(n ast.Node) *node {
	t := n.GetToken()
	s := &node{at: c.at(t)}
	switch n := n.(type) {
	case *ast.LiteralNode:
		s.text = n.Value.Value
	case *ast.StringNode:
		s.text = n.Value
		s.plain = t.Type != token.SingleQuoteType && t.Type != token.DoubleQuoteType
	case *ast.NullNode:
		s.plain = true
	case ast.ScalarNode:
		s.text, s.plain = t.Value, true
	default:
		s.broken = true
		c.report.problem(s.at, "write it as plain text, a list or a mapping", "this kind of YAML value can't be used here")
	}
	return s
}

func (c *converter) sequence(n *ast.SequenceNode) *node {
	s := &node{kind: sequence, at: c.at(n.GetToken()), items: make([]*node, 0, len(n.Values))}
	for _, v := range n.Values {
		s.items = append(s.items, c.node(v))
	}
	return s
}

func (c *converter) mapping(values []*ast.MappingValueNode, at Position, flow bool) *node {
	m := &node{kind: mapping, at: at, pairs: make([]pair, 0, len(values))}
	var merges *pair
	seen := map[string]Position{}
	for i, v := range values {
		key := c.key(v.Key)
		if i == 0 && !flow {
			m.at = key.at
		}
		if first, twice := seen[key.text]; twice {
			c.report.problem(key.at, "remove one of them", "%s is given twice, first in line %d", quoteKey(key.text), first.Line)
			continue
		}
		seen[key.text] = key.at
		value := c.node(v.Value)
		if v.Key.IsMergeKey() {
			merges = &pair{key, value}
			continue
		}
		m.pairs = append(m.pairs, pair{key, value})
	}
	if merges != nil {
		m.pairs = c.merge(*merges, m.pairs, seen)
	}
	return m
}

func (c *converter) key(n ast.MapKeyNode) *node {
	if n.IsMergeKey() {
		return &node{at: c.at(n.GetToken()), text: "<<", plain: true}
	}
	var value ast.Node = n
	if explicit, ok := n.(*ast.MappingKeyNode); ok {
		value = explicit.Value
	}
	key := c.node(value)
	if key.kind != scalar {
		c.report.problem(key.at, "write a name before the colon", "a key must be text, not %s", key.describe())
		return &node{at: key.at}
	}
	return key
}

// merge puts the pairs that << brings before those of the mapping itself. The mapping's own win,
// and an earlier source wins over a later one.
func (c *converter) merge(sources pair, own []pair, seen map[string]Position) []pair {
	at, list := sources.key.at, []*node{sources.value}
	if sources.value.kind == sequence {
		list = sources.value.items
	}
	var merged []pair
	for _, source := range list {
		if source.broken {
			continue
		}
		if source.kind != mapping {
			c.report.problem(at, "write << with an alias of a mapping, or a list of such", "<< takes a mapping, not %s", source.describe())
			continue
		}
		before := c.anchors.merged
		if c.anchors.merged += len(source.pairs); c.anchors.merged > maxMerged {
			if before <= maxMerged {
				c.report.problem(at, "write the values out", "merge keys bring more than %d values", maxMerged)
			}
			return own
		}
		for _, p := range source.pairs {
			if _, known := seen[p.key.text]; !known {
				seen[p.key.text] = p.key.at
				merged = append(merged, p)
			}
		}
	}
	return append(merged, own...)
}

func (c *converter) anchor(n *ast.AnchorNode) *node {
	name := n.Name.GetToken().Value
	c.anchors.values[name] = nil
	value := c.node(n.Value)
	value.anchored = true
	c.anchors.values[name] = value
	return value
}

func (c *converter) alias(n *ast.AliasNode) *node {
	at := c.at(n.GetToken())
	name := ""
	if n.Value != nil {
		name = n.Value.GetToken().Value
	}
	value, known := c.anchors.values[name]
	switch {
	case !known:
		c.report.problem(at, `write the anchor before the alias; a value that begins with * needs quotes`, "there is no anchor &%s before this alias", clip(name))
	case value == nil:
		c.report.problem(at, "an anchor can't be used inside its own value", "the alias *%s lies inside its own anchor", clip(name))
	default:
		return value
	}
	return &node{at: at, plain: true, broken: true}
}

// tagged reads !!str and its kin; other tags name Python or application types, which PyYAML's safe loader refuses too.
func (c *converter) tagged(n *ast.TagNode) *node {
	value := c.node(n.Value)
	switch tag := n.GetToken().Value; tag {
	case "!!str", "!":
		if value.kind == scalar {
			text := *value
			text.plain = false
			return &text
		}
	case "!!int", "!!float", "!!bool", "!!null":
		if value.kind == scalar {
			text := *value
			text.plain = true
			return &text
		}
	case "!!map", "!!seq":
	default:
		c.report.problem(c.at(n.GetToken()), "remove the tag", "the YAML tag %s is not supported", clip(tag))
	}
	return value
}

const clipped = 60

// clip keeps a name from the file short enough for a message, and on one line.
func clip(name string) string {
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

func quoteKey(name string) string { return `"` + clip(name) + `"` }
