package reading

import (
	"cmp"
	"slices"

	"github.com/nestor-gateway/nestor/routing/config"
)

// Diagnostics collects what there is to say about a config.
type Diagnostics struct {
	files           []string
	notes, problems []config.Diagnostic
}

// NewDiagnostics returns a collection for a config.
func NewDiagnostics(cfg *config.Config) *Diagnostics { return &Diagnostics{files: cfg.Files} }

// Note keeps something that the user may not expect.
func (d *Diagnostics) Note(at config.Position, message, hint string) {
	d.notes = append(d.notes, config.Diagnostic{At: at, Message: message, Hint: hint})
}

// Problem keeps something without whose mending the config can't be used.
func (d *Diagnostics) Problem(at config.Position, message, hint string) {
	d.problems = append(d.problems, config.Diagnostic{At: at, Message: message, Hint: hint})
}

// Notes returns the notes in the order of the files.
func (d *Diagnostics) Notes() []config.Diagnostic { return d.sorted(d.notes) }

// Err returns all problems in the order of the files as a *config.Error; nil when there is none.
func (d *Diagnostics) Err() error {
	if len(d.problems) == 0 {
		return nil
	}
	return &config.Error{Problems: d.sorted(d.problems)}
}

func (d *Diagnostics) sorted(all []config.Diagnostic) []config.Diagnostic {
	return InOrder(d.files, all)
}

// InOrder sorts diagnostics by their places, the first of the files first.
func InOrder(files []string, all []config.Diagnostic) []config.Diagnostic {
	slices.SortStableFunc(all, func(a, b config.Diagnostic) int {
		return cmp.Or(
			cmp.Compare(slices.Index(files, a.At.File), slices.Index(files, b.At.File)),
			cmp.Compare(a.At.Line, b.At.Line), cmp.Compare(a.At.Column, b.At.Column))
	})
	return all
}
