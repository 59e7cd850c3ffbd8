// Package reading decides what the entries and names of a config mean: which entries are references to groups
// and which are deployments, and where aliases lead.
package reading

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"unicode"

	"github.com/nestor-gateway/nestor/routing/config"
)

// Providers is what the provider table says about names of models.
type Providers interface {
	// Split finds the provider of a model as written in litellm_params, and the provider's own name of it:
	// custom when it is not empty, else a known prefix, else by the model's name.
	// An error says which providers there are.
	Split(written, custom string) (provider, model string, err error)
	// IsPrefix reports whether the word is the name of a provider.
	IsPrefix(word string) bool
}

// File is what a config means.
type File struct {
	*Diagnostics
	// Names are the groups in the order of the file, Groups counts them by name.
	Names  []string
	Groups map[string]int32
	// Members are, by group, its entries.
	Members [][]int32
	// Ends is, by alias, where it leads: to a group, or else to a name that is no alias.
	Ends map[string]string
	// Entries are, by entry of the config, what it was taken for.
	Entries []Entry

	cfg       *config.Config
	providers Providers
	aliases   map[string]*config.Alias
}

// Entry is what one entry of model_list was taken for.
type Entry struct {
	// Ref is the name of the group that it refers to, after aliases; empty for a deployment.
	Ref string
	// Invalid: something is wrong with it, and has been said.
	Invalid bool
}

// Read reads a config. What is wrong with it is among the problems of the result.
func Read(cfg *config.Config, providers Providers) *File {
	f := &File{
		Diagnostics: NewDiagnostics(cfg), Groups: map[string]int32{}, Ends: map[string]string{}, Entries: make([]Entry, len(cfg.Entries)),
		cfg: cfg, providers: providers, aliases: map[string]*config.Alias{},
	}
	f.group()
	f.follow()
	for i := range cfg.Entries {
		f.Entries[i] = f.entry(&cfg.Entries[i])
	}
	f.cycles()
	return f
}

// group sorts the entries into groups.
func (f *File) group() {
	for i := range f.cfg.Entries {
		name := f.cfg.Entries[i].Name
		g, ok := f.Groups[name]
		if !ok {
			g = int32(len(f.Names))
			f.Groups[name] = g
			f.Names = append(f.Names, name)
			f.Members = append(f.Members, nil)
		}
		f.Members[g] = append(f.Members[g], int32(i))
		f.checkNames(&f.cfg.Entries[i])
		f.checkNumbers(&f.cfg.Entries[i])
	}
}

// checkNames reports names that no header of an answer could carry.
func (f *File) checkNames(e *config.Entry) {
	for _, name := range []struct{ key, text string }{{"model_name", e.Name}, {"model_info.id", e.Info.ID}} {
		if strings.ContainsFunc(name.text, unicode.IsControl) {
			f.Problem(e.Position, fmt.Sprintf("%s %q holds a control character", name.key, name.text), "")
		}
	}
}

// maxWeight leaves room for the sum of all weights of a group.
const maxWeight = 1e100

func (f *File) checkNumbers(e *config.Entry) {
	if w := e.Params.Weight; w != nil && !(*w >= 0 && *w <= maxWeight) {
		f.Problem(e.Position, fmt.Sprintf("weight %v is not a number from 0 up", *w), "")
	}
	for _, limit := range []struct {
		key string
		n   *int64
	}{{"rpm", e.Params.RPM}, {"tpm", e.Params.TPM}} {
		if limit.n != nil && *limit.n < 0 {
			f.Problem(e.Position, fmt.Sprintf("%s %d is negative", limit.key, *limit.n), "leave it out for no limit")
		}
	}
}

// Near is a hint for a name that means nothing: the group or alias that it probably should be.
func (f *File) Near(name string) string {
	names := slices.Clone(f.Names)
	for i := range f.cfg.Router.Aliases {
		names = append(names, f.cfg.Router.Aliases[i].Name)
	}
	if n := Nearest(name, names); n != "" {
		return fmt.Sprintf("did you mean %q?", n)
	}
	return "name a group of model_list"
}

func (f *File) entry(e *config.Entry) Entry {
	model := e.Params.Model
	to, alias := f.Ends[model]
	if _, group := f.Groups[model]; !alias && !group || model == e.Name || strings.Contains(model, "*") {
		return Entry{}
	}
	if !alias {
		to = model
	}
	if to == e.Name {
		f.Note(e.Params.ModelAt, fmt.Sprintf("%q is an alias of the entry's own group: read as a deployment", model), "")
		return Entry{}
	}
	if len(e.Params.Others) > 0 {
		return Entry{Invalid: !f.extraKey(e, model)}
	}
	if _, _, err := f.providers.Split(model, ""); err == nil {
		f.Note(e.Params.ModelAt, fmt.Sprintf("%q is read as a reference to the group, not as a provider's model", model),
			"any further key, for example api_base, makes it a deployment")
	}
	if describes(&e.Info) {
		f.Note(e.Position, fmt.Sprintf("model_info of this reference to %q is not used", model), "give it to the entries of that group")
	}
	return Entry{Ref: to}
}

// describes reports whether a model_info says more than access_groups, which are the group's.
func describes(info *config.ModelInfo) bool {
	var all map[string]json.RawMessage
	_ = json.Unmarshal(info.All, &all) // nothing, or an object: the decoder wrote it
	delete(all, "access_groups")
	return len(all) > 0
}

// extraKey is about an entry that names another group and is a deployment because of a key that references don't have.
// It is one only where a provider is named too.
func (f *File) extraKey(e *config.Entry, model string) bool {
	key := e.Params.Others[0]
	prefix, _, cut := strings.Cut(model, "/")
	if cut && f.providers.IsPrefix(prefix) || e.Params.Provider != "" {
		f.Note(e.Params.ModelAt, fmt.Sprintf("%q is read as a provider's model, not as a reference to the group, because the entry has %s",
			model, key.Name), fmt.Sprintf("take %s out to make it a reference", key.Name))
		return true
	}
	f.Problem(key.At, fmt.Sprintf("%q is a group, and a reference to a group can't have %s", model, key.Name),
		fmt.Sprintf("take %s out, or write the provider before the model, for example openai/%s", key.Name, model))
	return false
}

// Place is a position in a text: the main file goes without its name.
func (f *File) Place(at config.Position) string {
	if len(f.cfg.Files) > 0 && at.File != f.cfg.Files[0] {
		return fmt.Sprintf("%s:%d", at.File, at.Line)
	}
	return fmt.Sprintf("line %d", at.Line)
}
