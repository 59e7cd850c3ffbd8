package routing

import (
	"fmt"
	"slices"
	"strings"

	"github.com/nestor-gateway/nestor/routing/config"
)

// reading is what an entry was taken for.
type reading struct {
	// ref is the name of the group that the entry refers to, after aliases; empty for a deployment.
	ref string
	// leaf counts the deployments; used when ref is empty.
	leaf int32
	// invalid: something is wrong with the entry, and has been said.
	invalid bool
}

// read decides entry by entry what is a reference and what a deployment.
func (c *compiler) read() {
	c.readings = make([]reading, len(c.cfg.Entries))
	for i := range c.cfg.Entries {
		c.readings[i] = c.reading(&c.cfg.Entries[i])
	}
}

func (c *compiler) reading(e *config.Entry) reading {
	model := e.Params.Model
	to, alias := c.ends[model]
	if _, group := c.groups[model]; !alias && !group || model == e.Name || strings.Contains(model, "*") {
		return reading{}
	}
	if !alias {
		to = model
	}
	if to == e.Name {
		c.note(e.Params.ModelAt, fmt.Sprintf("%q is an alias of the entry's own group: read as a deployment", model), "")
		return reading{}
	}
	if len(e.Params.Others) > 0 {
		return reading{invalid: !c.extraKey(e, model)}
	}
	if _, _, err := c.providers.Split(model, ""); err == nil {
		c.note(e.Params.ModelAt, fmt.Sprintf("%q is read as a reference to the group, not as a provider's model", model),
			"any further key, for example api_base, makes it a deployment")
	}
	if e.Info.ID != "" {
		c.note(e.Position, fmt.Sprintf("model_info of this reference to %q is not used", model), "give it to the entries of that group")
	}
	return reading{ref: to}
}

// extraKey is about an entry that names another group and is a deployment because of a key that references don't have.
// It is one only where a provider is named too.
func (c *compiler) extraKey(e *config.Entry, model string) bool {
	key := e.Params.Others[0]
	prefix, _, cut := strings.Cut(model, "/")
	if cut && c.providers.IsPrefix(prefix) || e.Params.Provider != "" {
		c.note(e.Params.ModelAt, fmt.Sprintf("%q is read as a provider's model, not as a reference to the group, because the entry has %s",
			model, key.Name), fmt.Sprintf("take %s out to make it a reference", key.Name))
		return true
	}
	c.problem(key.At, fmt.Sprintf("%q is a group, and a reference to a group can't have %s", model, key.Name),
		fmt.Sprintf("take %s out, or write the provider before the model, for example openai/%s", key.Name, model))
	return false
}

// follow finds where every alias leads: to a group, or else to a name that is no alias.
func (c *compiler) follow() {
	for i := range c.cfg.Router.Aliases {
		c.aliases[c.cfg.Router.Aliases[i].Name] = &c.cfg.Router.Aliases[i]
	}
	for i := range c.cfg.Router.Aliases {
		c.followOne(&c.cfg.Router.Aliases[i])
	}
}

func (c *compiler) followOne(a *config.Alias) {
	var chain []*config.Alias
	at := map[string]int{}
	to := a.Name
	for {
		if end, done := c.ends[to]; done {
			to = end
			break
		}
		next := c.aliases[to]
		at[to] = len(chain)
		chain = append(chain, next)
		to = next.Target
		if _, group := c.groups[to]; group || c.aliases[to] == nil {
			break
		}
		if first, met := at[to]; met {
			c.aliasCycle(chain[first:])
			to = ""
			break
		}
	}
	for _, link := range chain {
		c.ends[link.Name] = to
	}
}

func (c *compiler) aliasCycle(chain []*config.Alias) {
	var path strings.Builder
	for _, a := range chain {
		fmt.Fprintf(&path, "%s (%s) -> ", a.Name, c.place(a.At))
	}
	path.WriteString(chain[0].Name)
	c.problem(chain[0].At, "aliases that name only each other: "+path.String(), "let one of them name a group")
}

// place is a position in a text: the main file goes without its name.
func (c *compiler) place(at config.Position) string {
	if len(c.cfg.Files) > 0 && at.File != c.cfg.Files[0] {
		return fmt.Sprintf("%s:%d", at.File, at.Line)
	}
	return fmt.Sprintf("line %d", at.Line)
}

// edge is a reference from a group to another.
type edge struct {
	to int32
	at config.Position
}

// maxCycles is how many cycles are shown at once.
const maxCycles = 10

// cycles reports groups that contain themselves.
func (c *compiler) cycles() {
	edges := make([][]edge, len(c.names))
	for i := range c.readings {
		e := &c.cfg.Entries[i]
		if to, ok := c.groups[c.readings[i].ref]; ok {
			from := c.groups[e.Name]
			edges[from] = append(edges[from], edge{to, e.Params.ModelAt})
		}
	}
	w := cycleWalk{edges: edges, state: make([]uint8, len(edges))}
	for g := range edges {
		w.from(int32(g))
	}
	for _, found := range w.found {
		c.problem(found[0].at, "groups that contain themselves: "+c.cyclePath(found), "take one of these references out")
	}
}

// cyclePath writes a cycle; each edge leads from the group of the one before it.
func (c *compiler) cyclePath(cycle []edge) string {
	var path strings.Builder
	path.WriteString(c.names[cycle[len(cycle)-1].to])
	for _, e := range cycle {
		fmt.Fprintf(&path, " -> %s (%s)", c.names[e.to], c.place(e.at))
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
