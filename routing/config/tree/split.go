package tree

import (
	"math"
	"slices"
	"strings"
)

// Splitting says when model_list is read piece by piece, and in what pieces; both in bytes.
type Splitting struct{ From, Piece int }

// UsualSplitting leaves small files whole, and makes pieces large enough for the parser's set-up to cost nothing.
func UsualSplitting() Splitting { return Splitting{From: 1 << 20, Piece: 32 << 10} }

// NoSplitting reads every file whole.
func NoSplitting() Splitting { return Splitting{From: math.MaxInt} }

// Items are the elements of a model_list that are not parsed yet. A large file is parsed in pieces of whole
// elements, so that the parser's tree, fifty times the size of its text, never stands in memory at once.
type Items struct {
	file    string
	src     string
	pieces  []piece
	anchors *Anchors
}

type piece struct{ start, end, linesBefore int }

// Each parses the elements one after another. Not ok: a piece is broken, or not what it looked like,
// and only a reading of the whole file can tell.
func (it *Items) Each(read func(*Node)) bool {
	if it == nil {
		return true
	}
	for _, p := range it.pieces {
		list := parsePiece(it.src[p.start:p.end], it.file, p.linesBefore, it.anchors)
		if list == nil || list.Kind != Sequence {
			return false
		}
		for _, v := range list.Items {
			read(v)
		}
	}
	return true
}

// parsePiece parses a part of a file; the result is nil when there is any problem in it.
func parsePiece(src, file string, linesBefore int, known *Anchors) *Node {
	r := NewReport()
	n := Parse(src, file, linesBefore, r, known)
	if len(r.problems) > 0 {
		return nil
	}
	return n
}

// ParseFile parses a file; of a large one it leaves the elements of model_list for later.
func ParseFile(name, src string, how Splitting, r *Report) (*Node, *Items) {
	if len(src) >= how.From {
		if root, rest := split(name, src, how.Piece); root != nil {
			return root, rest
		}
	}
	return Parse(src, name, 0, r, NewAnchors()), nil
}

// split parses all of a file but the elements of its model_list. The result is nil when the file can't be
// taken apart by its lines alone.
func split(name, src string, pieceSize int) (*Node, *Items) {
	list, ok := findList(src, pieceSize)
	if !ok || !plainLines(src[list.start:]) || hasAnchors(src[list.end:]) {
		return nil, nil
	}
	known := NewAnchors()
	root := parsePiece(src[:list.start], name, 0, known)
	if root == nil || root.Kind != Mapping || len(root.Pairs) == 0 {
		return nil, nil
	}
	last := &root.Pairs[len(root.Pairs)-1]
	if last.Key.Text != "model_list" || !last.Value.IsNull() {
		return nil, nil
	}
	last.Value = &Node{Kind: Sequence, At: Position{File: name, Line: list.line + 1, Column: list.indent + 1}}
	if !appendTail(root, name, src[list.end:], list.endLine) {
		return nil, nil
	}
	return root, &Items{file: name, src: src, pieces: list.pieces, anchors: known}
}

// appendTail parses what follows model_list.
func appendTail(root *Node, name, src string, linesBefore int) bool {
	if strings.TrimSpace(src) == "" {
		return true
	}
	tail := parsePiece(src, name, linesBefore, NewAnchors())
	if tail == nil || tail.Kind != Mapping {
		return false
	}
	for _, p := range tail.Pairs {
		twice := slices.ContainsFunc(root.Pairs, func(q Pair) bool { return q.Key.Text == p.Key.Text })
		if twice {
			return false
		}
		root.Pairs = append(root.Pairs, p)
	}
	return true
}

// plainLines reports whether lines can be told apart without parsing: there are no document marks or
// directives among them, and each ends in a line feed.
func plainLines(src string) bool {
	for i := range len(src) {
		switch src[i] {
		case '\r':
			if !strings.HasPrefix(src[i+1:], "\n") {
				return false
			}
		case '-', '.', '%':
			if (i == 0 || src[i-1] == '\n') && isMark(src[i:]) {
				return false
			}
		}
	}
	return true
}

// hasAnchors reports whether anything looks like an anchor or an alias. What follows model_list is parsed before
// its elements, and must not refer to what stands in them.
func hasAnchors(src string) bool {
	for i := range len(src) {
		if (src[i] == '&' || src[i] == '*') && (i == 0 || strings.IndexByte(" \t\n[{,:-?", src[i-1]) >= 0) {
			return true
		}
	}
	return false
}

func isMark(rest string) bool {
	return rest[0] == '%' || strings.HasPrefix(rest, "---") || strings.HasPrefix(rest, "...")
}

// list is where the elements of model_list stand: bytes start to end, indented by indent.
type list struct {
	start, end, line, endLine, indent int
	pieces                            []piece
}

// findList looks for "model_list:" on a line of its own and cuts the lines below it into pieces.
func findList(src string, pieceSize int) (list, bool) {
	l := list{indent: -1}
	offset, number, inside := 0, 0, false
	for line := range strings.Lines(src) {
		indent, text := indentation(line)
		blank := text == "" || text[0] == '#'
		switch {
		case !inside:
			if inside = isListKey(line); inside {
				l.start, l.end = offset+len(line), len(src)
			}
		case blank:
		case l.indent < 0:
			if !isDash(text) {
				return l, false
			}
			l.indent, l.line = indent, number
			l.pieces = append(l.pieces, piece{start: l.start, linesBefore: lineOf(src, l.start, offset, number)})
		case indent < l.indent || indent == l.indent && !isDash(text):
			l.end, l.endLine = offset, number
			return l.closed(indent == 0)
		case indent == l.indent && offset-l.pieces[len(l.pieces)-1].start >= pieceSize:
			l.pieces = append(l.pieces, piece{start: offset, linesBefore: number})
		}
		offset, number = offset+len(line), number+1
	}
	l.endLine = number
	return l.closed(inside && l.indent >= 0)
}

// lineOf gives the number of the line that begins at start, when the one at offset has the given number.
func lineOf(src string, start, offset, number int) int {
	return number - strings.Count(src[start:offset], "\n")
}

func (l list) closed(ok bool) (list, bool) {
	for i := range l.pieces {
		l.pieces[i].end = l.end
		if i+1 < len(l.pieces) {
			l.pieces[i].end = l.pieces[i+1].start
		}
	}
	return l, ok
}

func isListKey(line string) bool {
	rest, ok := strings.CutPrefix(line, "model_list:")
	rest = strings.TrimSpace(rest)
	return ok && (rest == "" || strings.HasPrefix(rest, "#") && line[len("model_list:")] == ' ')
}

func isDash(text string) bool {
	return text[0] == '-' && (len(text) == 1 || text[1] == ' ')
}

func indentation(line string) (spaces int, text string) {
	line = strings.TrimRight(line, "\r\n \t")
	text = strings.TrimLeft(line, " ")
	return len(line) - len(text), text
}
