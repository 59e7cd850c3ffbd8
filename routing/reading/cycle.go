package reading

import (
	"fmt"
	"slices"
	"strings"

	"github.com/nestor-gateway/nestor/routing/config"
)

// edge is a reference from a group to another.
type edge struct {
	to int32
	at config.Position
}

// maxCycles is how many cycles are shown at once.
const maxCycles = 10

// cycles reports groups that contain themselves.
func (f *File) cycles() {
	edges := make([][]edge, len(f.Names))
	for i := range f.Entries {
		e := &f.cfg.Entries[i]
		if to, ok := f.Groups[f.Entries[i].Ref]; ok {
			from := f.Groups[e.Name]
			edges[from] = append(edges[from], edge{to, e.Params.ModelAt})
		}
	}
	w := cycleWalk{edges: edges, state: make([]uint8, len(edges))}
	for g := range edges {
		w.from(int32(g))
	}
	for _, found := range w.found {
		f.Problem(found[0].at, "groups that contain themselves: "+f.cyclePath(found), "take one of these references out")
	}
}

// cyclePath writes a cycle; each edge leads from the group of the one before it.
func (f *File) cyclePath(cycle []edge) string {
	var path strings.Builder
	path.WriteString(f.Names[cycle[len(cycle)-1].to])
	for _, e := range cycle {
		fmt.Fprintf(&path, " -> %s (%s)", f.Names[e.to], f.Place(e.at))
	}
	return path.String()
}

// cycleWalk is a depth-first walk without recursion: a config may nest as deep as it likes.
type cycleWalk struct {
	edges [][]edge
	state []uint8 // unseen, open, done
	stack []step
	found [][]edge
}

const (
	unseen uint8 = iota
	open
	done
)

// step is a group on the way, and the next of its edges to take.
type step struct {
	group int32
	next  int
}

func (w *cycleWalk) from(root int32) {
	if w.state[root] != unseen {
		return
	}
	w.enter(root)
	for len(w.stack) > 0 {
		top := &w.stack[len(w.stack)-1]
		if top.next == len(w.edges[top.group]) {
			w.state[top.group] = done
			w.stack = w.stack[:len(w.stack)-1]
			continue
		}
		to := w.edges[top.group][top.next].to
		top.next++
		switch w.state[to] {
		case unseen:
			w.enter(to)
		case open:
			w.report(to)
		}
	}
}

func (w *cycleWalk) enter(group int32) {
	w.state[group] = open
	w.stack = append(w.stack, step{group: group})
}

// report keeps the cycle that ends with the edge just taken.
func (w *cycleWalk) report(to int32) {
	if len(w.found) == maxCycles {
		return
	}
	first := slices.IndexFunc(w.stack, func(s step) bool { return s.group == to })
	cycle := make([]edge, 0, len(w.stack)-first)
	for _, s := range w.stack[first:] {
		cycle = append(cycle, w.edges[s.group][s.next-1])
	}
	w.found = append(w.found, cycle)
}
