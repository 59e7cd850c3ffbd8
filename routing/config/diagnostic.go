package config

import (
	"fmt"
	"strings"
)

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

// Error is a config that can't be used: everything found wrong with it, in the order of the file.
type Error struct{ Problems []Diagnostic }

func (e *Error) Error() string {
	lines := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}
