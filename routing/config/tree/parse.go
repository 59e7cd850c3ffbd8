package tree

import (
	"cmp"
	"errors"
	"fmt"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

const (
	// maxDepth bounds how deep lists and mappings may lie in each other: the parser recurses,
	// and its time grows with the square of the depth.
	maxDepth = 200
	// maxMerged bounds what merge keys may copy in one file.
	maxMerged = 1_000_000
)

// Parse reads the YAML text of a file, or of a part of it that begins after the given number of lines.
// The result is nil when there is nothing in it, or nothing that could be read; the report says why.
func Parse(src, file string, linesBefore int, r *Report, known *Anchors) *Node {
	c := &converter{file: file, linesBefore: linesBefore, report: r, anchors: known}
	docs, err := documents(src)
	if err != nil {
		c.syntaxProblem(src, err)
		return nil
	}
	if len(docs) > 1 {
		at := c.at(cmp.Or(docs[1].Start, docs[1].GetToken()))
		r.Problem(at, "keep one document, and remove the line ---", "the file holds more than one YAML document")
		return nil
	}
	if len(docs) == 0 || docs[0].Body == nil {
		return nil
	}
	return c.node(docs[0].Body)
}

// documents runs the parser. A panic in it is a broken file, never a reason to stop the process.
func documents(src string) (docs []*ast.DocumentNode, err error) {
	defer func() {
		if recover() != nil {
			docs, err = nil, errNotYAML
		}
	}()
	tokens := lexer.Tokenize(src)
	if deep := tooDeep(tokens); deep != nil {
		return nil, &yaml.SyntaxError{Message: fmt.Sprintf("lists and mappings lie more than %d deep", maxDepth), Token: deep}
	}
	f, err := parser.Parse(tokens, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		return nil, err
	}
	return f.Docs, nil
}

var errNotYAML = errors.New("the file can't be read as YAML")

// tooDeep returns the token at which the nesting passes maxDepth, or nil.
// A block collection needs a column of its own, so the columns bound their depth.
func tooDeep(tokens token.Tokens) *token.Token {
	flow, line, entries := 0, 0, 0
	for _, t := range tokens {
		first := t.Position.Line != line
		if first {
			line, entries = t.Position.Line, 0
		}
		switch t.Type {
		case token.SequenceStartType, token.MappingStartType:
			flow++
		case token.SequenceEndType, token.MappingEndType:
			flow--
		case token.SequenceEntryType, token.MappingKeyType, token.TagType, token.AnchorType:
			entries++
		}
		if flow > maxDepth || entries > maxDepth || first && flow <= 0 && t.Position.Column > 5*maxDepth {
			return t
		}
	}
	return nil
}

func (c *converter) syntaxProblem(src string, err error) {
	message, at := err.Error(), Position{File: c.file, Line: c.linesBefore + 1, Column: 1}
	if bad, ok := errors.AsType[yaml.Error](err); ok {
		message, at = bad.GetMessage(), c.at(bad.GetToken())
	}
	line := sourceLine(src, at.Line-c.linesBefore)
	message, hint := explainSyntax(message, line, at.Column)
	c.report.Problem(at, hint, "%s", message)
}

// explainSyntax turns the parser's words into advice.
func explainSyntax(message, line string, column int) (text, hint string) {
	indent := line[:len(line)-len(strings.TrimLeft(line, " \t"))]
	switch {
	case strings.Contains(indent, "\t"):
		return "a tab stands where YAML wants spaces", "indent with spaces"
	case len(line) >= column && line[column-1] == '*', strings.Contains(message, "undefined alias name"):
		return "not valid YAML: a value can't begin with *", `put it in quotes, for example "*"`
	case strings.Contains(message, "reserved character"), strings.Contains(message, "directive"):
		return "not valid YAML: a value can't begin with this character", "put the value in quotes"
	case strings.Contains(message, "end character of"):
		return "not valid YAML: the closing quote is missing", "close the quote, or take the opening one away"
	case strings.Contains(message, "mapping value is not allowed"), strings.Contains(message, "pre-defined"):
		return "not valid YAML: this line is indented wrongly, or holds a second \": \"", "check the indentation; put a value with \": \" in quotes"
	case strings.Contains(message, "must be specified"), strings.Contains(message, "end token"):
		return "not valid YAML: " + message, "close the bracket"
	}
	// The parser quotes what it read in some of its messages; what it read may be a secret.
	if strings.ContainsAny(message, "\"'`\t\n") {
		message = "this can't be read"
	}
	return "not valid YAML: " + message, "check the indentation, the quotes and the brackets around this place"
}

func sourceLine(src string, number int) string {
	for line := range strings.Lines(src) {
		if number--; number == 0 {
			return line
		}
	}
	return ""
}
