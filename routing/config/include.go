package config

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// topSection is one top-level key with its value; included files add parts to a list.
type topSection struct {
	key   *node
	parts []*node
	// lazy holds, for a part that is model_list, the elements that are not parsed yet.
	lazy map[*node]*items
}

// document reads one file into its top-level sections. The result is nil when there is nothing to go on with.
func (d *decoder) document(name string, src []byte) *document {
	d.report.files[name] = len(d.report.files)
	d.cfg.Files = append(d.cfg.Files, name)
	if !d.checkText(name, src) {
		return nil
	}
	src = bytes.TrimPrefix(src, []byte("\ufeff"))
	problems := len(d.report.problems)
	root, rest := d.parseTop(name, string(src))
	if root == nil || root.isNull() {
		if len(d.report.problems) == problems {
			d.report.problem(Position{File: name, Line: 1, Column: 1}, "write a model_list into it", "the file is empty")
		}
		return nil
	}
	if root.kind != mapping {
		d.report.problem(root.at, "put the entries under model_list:", "the file must be a mapping, not %s", root.describe())
		return nil
	}
	doc := &document{name: name}
	for _, p := range root.pairs {
		s := topSection{key: p.key, parts: []*node{p.value}}
		if p.key.text == "model_list" && rest != nil {
			s.lazy = map[*node]*items{p.value: rest}
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
		if doc.sections[i].key.text == key {
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
	if s == nil || s.parts[0].isNull() {
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
		d.report.problem(w.at, "read the config from a file", "include works in files only")
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
		d.report.problem(w.at, "check the path; it is relative to the file that includes it", "the included file can't be read: %v", err)
		return "", nil, false
	}
	return path, src, true
}

func (d *decoder) isCycle(w wish, path string) bool {
	for i, from := range w.from {
		if absolute(from) == absolute(path) {
			cycle := strings.Join(append(w.from[i:len(w.from):len(w.from)], path), " -> ")
			d.report.problem(w.at, "remove one of the includes", "files include each other: %s", cycle)
			return true
		}
	}
	return false
}

func (d *decoder) merge(to, from *document) {
	for _, s := range from.sections {
		if s.key.text == "include" {
			continue
		}
		have := to.find(s.key.text)
		switch {
		case have == nil:
			to.sections = append(to.sections, s)
		case have.parts[0].kind == sequence && s.parts[0].kind == sequence:
			have.join(s)
		default:
			d.report.warn(s.key.at, "keep the section in one file", "%s replaces the one of %s", s.key.text,
				fmt.Sprintf("%s:%d", have.key.at.File, have.key.at.Line))
			*have = s
		}
	}
}

func (s *topSection) join(other topSection) {
	s.parts = append(s.parts, other.parts...)
	for part, rest := range other.lazy {
		if s.lazy == nil {
			s.lazy = map[*node]*items{}
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
