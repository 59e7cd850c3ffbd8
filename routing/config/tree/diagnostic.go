// Package tree reads YAML as PyYAML does, keeps the place of every value, and collects what is wrong.
package tree

import (
	"fmt"
	"strings"
)

// Position is a place in a config file. Line and Column count from 1; 0 means unknown.
type Position struct {
	File   string
	Line   int
	Column int
}

// Diagnostic is something to tell the user about a place in a config: what is wrong, and what to do.
type Diagnostic struct {
	At      Position
	Message string
	// Hint says what to do; may be empty.
	Hint string
}

// String gives "file:line:column: message", without the parts that are unknown.
func (d Diagnostic) String() string {
	var b strings.Builder
	if d.At.File != "" {
		fmt.Fprintf(&b, "%s:", d.At.File)
		if d.At.Line > 0 {
			fmt.Fprintf(&b, "%d:%d:", d.At.Line, d.At.Column)
		}
		b.WriteByte(' ')
	}
	b.WriteString(d.Message)
	return b.String()
}
