package config

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/nestor-gateway/nestor/routing/config/tree"
)

// topSection is one top-level key with its value; included files add parts to a list.
type topSection struct {
	Key   *tree.Node
	parts []*tree.Node
	// lazy holds, for a part that is model_list, the elements that are not parsed yet.
	lazy map[*tree.Node]*tree.Items
}

// document reads one file into its top-level sections. The result is nil when there is nothing to go on with.
func (d *decoder) document(name string, src []byte) *document {
	d.report.File(name)
	d.cfg.Files = append(d.cfg.Files, name)
	if !tree.CheckText(name, src, d.report) {
		return nil
	}
	src = bytes.TrimPrefix(src, []byte("\ufeff"))
	problems := d.report.Found()
	root, rest := tree.ParseFile(name, string(src), d.splitting, d.report)
	if root == nil || root.IsNull() {
		if d.report.Found() == problems {
			d.report.Problem(Position{File: name, Line: 1, Column: 1}, "write a model_list into it", "the file is empty")
		}
		return nil
	}
	if root.Kind != tree.Mapping {
		d.report.Problem(root.At, "put the entries under model_list:", "the file must be a mapping, not %s", root.Describe())
		return nil
	}
	doc := &document{name: name}
	for _, p := range root.Pairs {
		s := topSection{Key: p.Key, parts: []*tree.Node{p.Value}}
		if p.Key.Text == "model_list" && rest != nil {
			s.lazy = map[*tree.Node]*tree.Items{p.Value: rest}
		}
		doc.sections = append(doc.sections, s)
	}
	return doc
}

type document struct {
	name     string
	sections []topSection
}

func (doc *document) find(key string) *topSection {
	for i := range doc.sections {
		if doc.sections[i].Key.Text == key {
			return &doc.sections[i]
		}
	}
	return nil
}

// include merges the included files into the main one, breadth first, each file once, as LiteLLM does:
// lists are joined, and any other section of a later file replaces the one before it.
func (d *decoder) include(main *document) []topSection {
	merged := &document{name: main.name, sections: main.sections}
	root := filepath.Dir(main.name)
	loaded := map[string]bool{absolute(main.name): true}
	pending := d.wanted(main, []string{main.name})
	for len(pending) > 0 {
		w := pending[0]
		pending = pending[1:]
		path, src, ok := d.find(w, root)
		if !ok || d.isCycle(w, path) || loaded[absolute(path)] {
			continue
		}
		loaded[absolute(path)] = true
		doc := d.document(path, src)
		if doc == nil {
			continue
		}
		d.merge(merged, doc)
		pending = append(pending, d.wanted(doc, append(w.from[:len(w.from):len(w.from)], path))...)
	}
	return merged.sections
}

// wish is one element of an include list; from are the files that led to it, the main one first.
type wish struct {
	path string
	at   Position
	from []string
}

func (d *decoder) wanted(doc *document, from []string) []wish {
	s := doc.find("include")
	if s == nil || s.parts[0].IsNull() {
		return nil
	}
	var all []wish
	for _, key := range d.texts("include", s.parts[0]) {
		all = append(all, wish{path: key.Name, at: key.At, from: from})
	}
	return all
}

// find reads an included file: beside the file that includes it, else beside the main file.
func (d *decoder) find(w wish, root string) (path string, src []byte, ok bool) {
	if d.read == nil {
		d.report.Problem(w.at, "read the config from a file", "include works in files only")
		return "", nil, false
	}
	path = w.path
	if !filepath.IsAbs(path) {
		path = filepath.Join(filepath.Dir(w.from[len(w.from)-1]), w.path)
		if beside := filepath.Join(root, w.path); !exists(path) && exists(beside) {
			path = beside
		}
	}
	src, err := d.read(path)
	if err != nil {
		d.report.Problem(w.at, "check the path; it is relative to the file that includes it", "the included file can't be read: %v", err)
		return "", nil, false
	}
	return path, src, true
}

func (d *decoder) isCycle(w wish, path string) bool {
	for i, from := range w.from {
		if absolute(from) == absolute(path) {
			cycle := strings.Join(append(w.from[i:len(w.from):len(w.from)], path), " -> ")
			d.report.Problem(w.at, "remove one of the includes", "files include each other: %s", cycle)
			return true
		}
	}
	return false
}

func (d *decoder) merge(to, from *document) {
	for _, s := range from.sections {
		if s.Key.Text == "include" {
			continue
		}
		have := to.find(s.Key.Text)
		switch {
		case have == nil:
			to.sections = append(to.sections, s)
		case have.parts[0].Kind == tree.Sequence && s.parts[0].Kind == tree.Sequence:
			have.join(s)
		default:
			d.report.Warn(s.Key.At, "keep the section in one file", "%s replaces the one of %s", s.Key.Text,
				fmt.Sprintf("%s:%d", have.Key.At.File, have.Key.At.Line))
			*have = s
		}
	}
}

func (s *topSection) join(other topSection) {
	s.parts = append(s.parts, other.parts...)
	for part, rest := range other.lazy {
		if s.lazy == nil {
			s.lazy = map[*tree.Node]*tree.Items{}
		}
		s.lazy[part] = rest
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
