// Package files reads a config and what it includes into one list of sections.
package files

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/nestor-gateway/nestor/routing/config/tree"
)

// Section is one top-level key with its value; included files add parts to a list.
type Section struct {
	Key   *tree.Node
	Parts []*tree.Node
	// Lazy holds, for a part that is model_list, the elements that are not parsed yet.
	Lazy map[*tree.Node]*tree.Items
}

// Reader reads a config. All its fields but Read must be set.
type Reader struct {
	Report    *tree.Report
	Splitting tree.Splitting
	// Read reads an included file; nil refuses them.
	Read func(path string) ([]byte, error)
	// Includes reads the value of include.
	Includes func(v *tree.Node) []Include

	names []string
}

// Include is one element of an include list.
type Include struct {
	Path string
	At   tree.Position
}

// Sections returns the sections of a file and its includes, and the names of all files read, the main one first.
// Not ok: there is nothing to go on with, and that has been reported.
func (r *Reader) Sections(name string, src []byte) (sections []Section, names []string, ok bool) {
	doc := r.document(name, src)
	if doc == nil {
		return nil, r.names, false
	}
	sections = r.include(doc)
	return sections, r.names, true
}

// document reads one file into its top-level sections. The result is nil when there is nothing to go on with.
func (r *Reader) document(name string, src []byte) *document {
	r.Report.File(name)
	r.names = append(r.names, name)
	if !tree.CheckText(name, src, r.Report) {
		return nil
	}
	src = bytes.TrimPrefix(src, []byte("\ufeff"))
	problems := r.Report.Found()
	root, rest := tree.ParseFile(name, string(src), r.Splitting, r.Report)
	if root == nil || root.IsNull() {
		if r.Report.Found() == problems {
			r.Report.Problem(tree.Position{File: name, Line: 1, Column: 1}, "write a model_list into it", "the file is empty")
		}
		return nil
	}
	if root.Kind != tree.Mapping {
		r.Report.Problem(root.At, "put the entries under model_list:", "the file must be a mapping, not %s", root.Describe())
		return nil
	}
	doc := &document{name: name}
	for _, p := range root.Pairs {
		s := Section{Key: p.Key, Parts: []*tree.Node{p.Value}}
		if p.Key.Text == "model_list" && rest != nil {
			s.Lazy = map[*tree.Node]*tree.Items{p.Value: rest}
		}
		doc.sections = append(doc.sections, s)
	}
	return doc
}

type document struct {
	name     string
	sections []Section
}

func (doc *document) find(key string) *Section {
	for i := range doc.sections {
		if doc.sections[i].Key.Text == key {
			return &doc.sections[i]
		}
	}
	return nil
}

// include merges the included files into the main one, breadth first, each file once, as LiteLLM does:
// lists are joined, and any other section of a later file replaces the one before it.
func (r *Reader) include(main *document) []Section {
	merged := &document{name: main.name, sections: main.sections}
	root := filepath.Dir(main.name)
	loaded := map[string]bool{absolute(main.name): true}
	pending := r.wanted(main, []string{main.name})
	for len(pending) > 0 {
		w := pending[0]
		pending = pending[1:]
		path, src, ok := r.find(w, root)
		if !ok || r.isCycle(w, path) || loaded[absolute(path)] {
			continue
		}
		loaded[absolute(path)] = true
		doc := r.document(path, src)
		if doc == nil {
			continue
		}
		r.merge(merged, doc)
		pending = append(pending, r.wanted(doc, append(w.from[:len(w.from):len(w.from)], path))...)
	}
	return merged.sections
}

// wish is an include to be read; from are the files that led to it, the main one first.
type wish struct {
	Include
	from []string
}

func (r *Reader) wanted(doc *document, from []string) []wish {
	s := doc.find("include")
	if s == nil || s.Parts[0].IsNull() {
		return nil
	}
	var all []wish
	for _, i := range r.Includes(s.Parts[0]) {
		all = append(all, wish{i, from})
	}
	return all
}

// find reads an included file: beside the file that includes it, else beside the main file.
func (r *Reader) find(w wish, root string) (path string, src []byte, ok bool) {
	if r.Read == nil {
		r.Report.Problem(w.At, "read the config from a file", "include works in files only")
		return "", nil, false
	}
	path = w.Path
	if !filepath.IsAbs(path) {
		path = filepath.Join(filepath.Dir(w.from[len(w.from)-1]), w.Path)
		if beside := filepath.Join(root, w.Path); !exists(path) && exists(beside) {
			path = beside
		}
	}
	src, err := r.Read(path)
	if err != nil {
		r.Report.Problem(w.At, "check the path; it is relative to the file that includes it", "the included file can't be read: %v", err)
		return "", nil, false
	}
	return path, src, true
}

func (r *Reader) isCycle(w wish, path string) bool {
	for i, from := range w.from {
		if absolute(from) == absolute(path) {
			cycle := strings.Join(append(w.from[i:len(w.from):len(w.from)], path), " -> ")
			r.Report.Problem(w.At, "remove one of the includes", "files include each other: %s", cycle)
			return true
		}
	}
	return false
}

func (r *Reader) merge(to, from *document) {
	for _, s := range from.sections {
		if s.Key.Text == "include" {
			continue
		}
		have := to.find(s.Key.Text)
		switch {
		case have == nil:
			to.sections = append(to.sections, s)
		case have.Parts[0].Kind == tree.Sequence && s.Parts[0].Kind == tree.Sequence:
			have.join(s)
		default:
			r.Report.Warn(s.Key.At, "keep the section in one file", "%s replaces the one of %s", s.Key.Text,
				fmt.Sprintf("%s:%d", have.Key.At.File, have.Key.At.Line))
			*have = s
		}
	}
}

func (s *Section) join(other Section) {
	s.Parts = append(s.Parts, other.Parts...)
	for part, rest := range other.Lazy {
		if s.Lazy == nil {
			s.Lazy = map[*tree.Node]*tree.Items{}
		}
		s.Lazy[part] = rest
	}
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func absolute(path string) string {
	if full, err := filepath.Abs(path); err == nil {
		return full
	}
	return path
}
