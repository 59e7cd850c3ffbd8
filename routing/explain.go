package routing

import (
	"fmt"
	"slices"

	"github.com/nestor-gateway/nestor/routing/reading"
	"github.com/nestor-gateway/nestor/routing/share"
	"github.com/nestor-gateway/nestor/routing/strategy"
)

// Explanation says where the requests for a name go, exactly.
type Explanation struct {
	Model string `json:"model"`
	Group string `json:"group"`
	// Strategy is that of the called group; empty for simple-shuffle. Under every other one the probabilities are those
	// while all deployments are equally busy, used and fast. Prices count: they are known.
	Strategy    string `json:"strategy,omitempty"`
	Deployments []Row  `json:"deployments"`
	// Tree is the called group, for drawing.
	Tree *TreeGroup `json:"-"`
}

// Row is one deployment of an Explanation.
type Row struct {
	ID string `json:"id"`
	// Model is litellm_params.model as written.
	Model       string  `json:"model"`
	APIBase     string  `json:"api_base"`
	Probability float64 `json:"probability"`
	// Paths are the ways to it, each the groups passed from the called one on; at most 100, in alphabetical order.
	Paths [][]string `json:"paths"`
	// Unavailable is why it gets nothing whatever the others do; empty when it could get some.
	Unavailable string `json:"-"`
}

const (
	// maxPaths is how many paths are listed for one deployment.
	maxPaths = 100
	// maxPathNames bounds what all paths of an explanation name together:
	// in a deep chain of groups that all have deployments it would grow with the square of their number.
	maxPathNames = 1_000_000
)

// leftOut is why a deployment of `without` gets nothing.
const leftOut = "left out"

// Explain computes with which probability a request for a name goes to each deployment while those of `without`
// are out: deployment ids, or litellm_params.model as written. Everything else counts as healthy.
// It is an error when the name means nothing, or a part of `without` names no deployment.
func (s *Snapshot) Explain(model string, without []string) (*Explanation, error) {
	t, ok := s.Resolve(model)
	if !ok {
		return nil, fmt.Errorf("no group, alias, deployment or model is called %q%s", model, s.meant(model))
	}
	out, err := s.leftOut(without)
	if err != nil {
		return nil, err
	}
	x := explaining{s: s, out: out, drawn: map[int32]bool{}}
	if t.group == none {
		return x.one(t), nil
	}
	x.state = share.NewState(s.graph, func(leaf int32) bool { return !out[leaf] })
	x.flow, x.equal = s.divide(x.state, t.group)
	e := &Explanation{Model: model, Group: t.Group, Tree: x.tree(t.group)}
	if kind, name := s.strategyOf(t.group); kind != strategy.SimpleShuffle {
		e.Strategy = name
	}
	paths := s.pathsFrom(t.group)
	budget := maxPathNames
	for _, leaf := range s.leavesOf(t) {
		row := x.row(leaf, x.flow.Leaves[leaf])
		row.Paths = paths.to(leaf, &budget)
		e.Deployments = append(e.Deployments, row)
	}
	return e, nil
}

// meant says which name was probably meant, for the end of an error.
func (s *Snapshot) meant(name string) string {
	var names []string
	for i := range s.nodes[:s.fileGroups] {
		names = append(names, s.nodes[i].name)
	}
	for _, a := range s.cfg.Router.Aliases {
		names = append(names, a.Name)
	}
	if n := reading.Nearest(name, names); n != "" {
		return fmt.Sprintf("; did you mean %q?", n)
	}
	return ""
}

// leftOut counts the deployments that are named by id or by model.
func (s *Snapshot) leftOut(without []string) (map[int32]bool, error) {
	out := map[int32]bool{}
	for _, name := range without {
		if leaf, ok := s.byID[name]; ok {
			out[leaf] = true
			continue
		}
		found := false
		for leaf, d := range s.deployments {
			if d.Written == name {
				out[int32(leaf)], found = true, true
			}
		}
		if !found {
			return nil, fmt.Errorf("no deployment has the id or model %q", name)
		}
	}
	return out, nil
}

// explaining is an Explanation in the making.
type explaining struct {
	s     *Snapshot
	out   map[int32]bool
	state *share.State
	flow  share.Flow
	// equal says that capacities don't matter.
	equal bool
	drawn map[int32]bool
}

func (x *explaining) row(leaf int32, probability float64) Row {
	d := x.s.deployments[leaf]
	return Row{ID: d.ID, Model: d.Written, APIBase: d.Base.String(), Probability: probability, Unavailable: x.reason(leaf)}
}

// reason is why a deployment gets nothing, or empty.
func (x *explaining) reason(leaf int32) string {
	if x.out[leaf] {
		return leftOut
	}
	return x.s.deployments[leaf].Refuses()
}

// one explains a target that is a single deployment.
func (x *explaining) one(t Target) *Explanation {
	row := x.row(t.leaf, 1)
	if row.Unavailable != "" {
		row.Probability = 0
	}
	row.Paths = [][]string{{t.Group}}
	d := x.s.deployments[t.leaf]
	member := TreeMember{Deployment: d, RPM: d.RPM, TPM: d.TPM, MaxParallel: d.MaxParallel,
		Share: row.Probability, Probability: row.Probability, Unavailable: row.Unavailable}
	tier := TreeTier{Active: row.Unavailable == "", Unit: "1", Members: []TreeMember{member}}
	return &Explanation{Model: t.Name, Group: t.Group, Deployments: []Row{row}, Tree: &TreeGroup{Name: t.Group, Tiers: []TreeTier{tier}}}
}

// link is a path as its last group and the path before that.
type link struct {
	group  int32
	before *link
	length int
}

// pathsTo are, by group, the first paths to it.
type pathsTo struct {
	s     *Snapshot
	links map[int32][]*link
}

// pathsFrom finds paths from a group to all below it, at most maxPaths to each.
func (s *Snapshot) pathsFrom(group int32) pathsTo {
	p := pathsTo{s: s, links: map[int32][]*link{group: {{group: group, length: 1}}}}
	var below []int32
	s.graph.Walk(group, share.AllWays{}, func(g int32) bool {
		below = append(below, g)
		return true
	})
	slices.SortFunc(below, func(a, b int32) int { return int(s.graph.Rank(b) - s.graph.Rank(a)) })
	for _, g := range below {
		p.extend(g)
	}
	return p
}

// extend leads the paths to a group on to the groups that it is made of, once to each.
func (p *pathsTo) extend(group int32) {
	seen := map[int32]bool{}
	tiers := p.s.graph.Group(group).Tiers
	for i := range tiers {
		for _, m := range tiers[i].Members {
			if !m.Group || seen[m.To] {
				continue
			}
			seen[m.To] = true
			for _, before := range p.links[group] {
				if len(p.links[m.To]) < maxPaths {
					p.links[m.To] = append(p.links[m.To], &link{m.To, before, before.length + 1})
				}
			}
		}
	}
}

// to lists paths to a deployment while the budget of names lasts.
func (p *pathsTo) to(leaf int32, budget *int) [][]string {
	paths := [][]string{}
	for _, group := range slices.Compact(p.s.graph.LeafParents(leaf)) {
		for _, l := range p.links[group] {
			if len(paths) < maxPaths && l.length <= *budget {
				*budget -= l.length
				paths = append(paths, p.names(l))
			}
		}
	}
	slices.SortFunc(paths, slices.Compare)
	return paths
}

func (p *pathsTo) names(l *link) []string {
	names := make([]string, l.length)
	for i := l.length - 1; i >= 0; i-- {
		names[i] = p.s.nodes[l.group].name
		l = l.before
	}
	return names
}
