package config

import (
	"strings"

	"github.com/nestor-gateway/nestor/routing/config/tree"
)

// Diagnostic is something to tell the user about a place in a config: what is wrong, and what to do.
type Diagnostic = tree.Diagnostic

// Error is a config that can't be used: everything found wrong with it, in the order of the file.
type Error struct{ Problems []Diagnostic }

func (e *Error) Error() string {
	lines := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}
