// Package tree reads YAML as PyYAML does, keeps the place of every value, and collects what is wrong.
package tree

import (
	"fmt"
)

// Position is a place in a config file. Line and Column count from 1; 0 means unknown.
type Position struct {
	File   string
	Line   int
	Column int
}

// String gives "file:line:column", without what is unknown.
func (p Position) String() string {
	if p.File == "" || p.Line == 0 {
		return p.File
	}
	return fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Column)
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
	if d.At.File == "" {
		return d.Message
	}
	return d.At.String() + ": " + d.Message
}
