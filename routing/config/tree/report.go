package tree

import (
	"cmp"
	"fmt"
	"slices"
)

const (
	maxProblems = 50
	maxWarnings = 1000
)

// Report collects what is to be said about a config.
type Report struct {
	// files gives the rank of a file, so that diagnostics come in the order of reading.
	files    map[string]int
	problems []Diagnostic
	said     []Diagnostic
	// repeated counts the warnings that are said once for the whole file, by their text.
	repeated map[string]*repetition
}

type repetition struct {
	warning Diagnostic
	more    int
}

// NewReport returns an empty one.
func NewReport() *Report {
	return &Report{files: map[string]int{}, repeated: map[string]*repetition{}}
}

// Problem adds something that makes the config unusable.
func (r *Report) Problem(at Position, hint, format string, args ...any) {
	r.problems = append(r.problems, Diagnostic{At: at, Message: fmt.Sprintf(format, args...), Hint: hint})
}

// Warn adds something that does not.
func (r *Report) Warn(at Position, hint, format string, args ...any) {
	r.said = append(r.said, Diagnostic{At: at, Message: fmt.Sprintf(format, args...), Hint: hint})
}

// WarnOnce says the same thing about many places once, at the first of them.
func (r *Report) WarnOnce(at Position, hint, message string) {
	if seen := r.repeated[message]; seen != nil {
		seen.more++
		return
	}
	r.repeated[message] = &repetition{warning: Diagnostic{At: at, Message: message, Hint: hint}}
}

// Warnings returns the warnings in the order of the files.
func (r *Report) Warnings() []Diagnostic {
	all := slices.Clone(r.said)
	for _, seen := range r.repeated {
		w := seen.warning
		if seen.more > 0 {
			w.Message = fmt.Sprintf("%s (here and %d times more)", w.Message, seen.more)
		}
		all = append(all, w)
	}
	return r.ordered(all, maxWarnings, "warnings")
}

// Problems returns the problems in the order of the files.
func (r *Report) Problems() []Diagnostic { return r.ordered(r.problems, maxProblems, "problems") }

// Found counts the problems so far.
func (r *Report) Found() int { return len(r.problems) }

// File tells that a file is being read, the main one first.
func (r *Report) File(name string) { r.files[name] = len(r.files) }

func (r *Report) ordered(all []Diagnostic, limit int, what string) []Diagnostic {
	slices.SortStableFunc(all, func(a, b Diagnostic) int {
		return cmp.Or(cmp.Compare(r.files[a.At.File], r.files[b.At.File]),
			cmp.Compare(a.At.Line, b.At.Line), cmp.Compare(a.At.Column, b.At.Column), cmp.Compare(a.Message, b.Message))
	})
	all = slices.Compact(all)
	if len(all) <= limit {
		return all
	}
	rest := Diagnostic{At: Position{File: all[0].At.File}, Message: fmt.Sprintf("%d more %s are not shown", len(all)-limit, what)}
	return append(all[:limit:limit], rest)
}
