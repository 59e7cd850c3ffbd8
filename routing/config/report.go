package config

import (
	"cmp"
	"fmt"
	"slices"
)

const (
	maxProblems = 50
	maxWarnings = 1000
)

// report collects what is to be said about a config.
type report struct {
	// files gives the rank of a file, so that diagnostics come in the order of reading.
	files    map[string]int
	problems []Diagnostic
	warnings []Diagnostic
	// repeated counts the warnings that are said once for the whole file, by their text.
	repeated map[string]*repetition
}

type repetition struct {
	warning Diagnostic
	more    int
}

func newReport() *report {
	return &report{files: map[string]int{}, repeated: map[string]*repetition{}}
}

func (r *report) problem(at Position, hint, format string, args ...any) {
	r.problems = append(r.problems, Diagnostic{At: at, Message: fmt.Sprintf(format, args...), Hint: hint})
}

func (r *report) warn(at Position, hint, format string, args ...any) {
	r.warnings = append(r.warnings, Diagnostic{At: at, Message: fmt.Sprintf(format, args...), Hint: hint})
}

// warnOnce says the same thing about many places once, at the first of them.
func (r *report) warnOnce(at Position, hint, message string) {
	if seen := r.repeated[message]; seen != nil {
		seen.more++
		return
	}
	r.repeated[message] = &repetition{warning: Diagnostic{At: at, Message: message, Hint: hint}}
}

// allWarnings returns the warnings in the order of the files.
func (r *report) allWarnings() []Diagnostic {
	all := slices.Clone(r.warnings)
	for _, seen := range r.repeated {
		w := seen.warning
		if seen.more > 0 {
			w.Message = fmt.Sprintf("%s (here and %d times more)", w.Message, seen.more)
		}
		all = append(all, w)
	}
	return r.ordered(all, maxWarnings, "warnings")
}

// err returns the problems in the order of the files, or nil.
func (r *report) err() error {
	if len(r.problems) == 0 {
		return nil
	}
	return &Error{Problems: r.ordered(r.problems, maxProblems, "problems")}
}

func (r *report) ordered(all []Diagnostic, limit int, what string) []Diagnostic {
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
