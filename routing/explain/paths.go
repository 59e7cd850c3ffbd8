package explain

import (
	"slices"

	"github.com/nestor-gateway/nestor/routing/share"
)

const (
	// maxPaths is how many paths are listed for one deployment.
	maxPaths = 100
	// maxPathNames bounds what all paths of an explanation name together:
	// in a deep chain of groups that all have deployments it would grow with the square of their number.
	maxPathNames = 1_000_000
)

// link is a path as its last group and the path before that.
type link struct {
	group  int32
	before *link
	length int
}

// pathsTo are, by group, the first paths to it.
type pathsTo struct {
	x     *Explainer
	links map[int32][]*link
}

// pathsFrom finds paths from a group to all below it, at most maxPaths to each.
func (x *Explainer) pathsFrom(group int32) pathsTo {
	p := pathsTo{x: x, links: map[int32][]*link{group: {{group: group, length: 1}}}}
	for _, g := range slices.Backward(x.Graph.Below(group, share.AllWays{})) {
		p.extend(g)
	}
	return p
}

// extend leads the paths to a group on to the groups that it is made of, once to each.
func (p *pathsTo) extend(group int32) {
	seen := map[int32]bool{}
	tiers := p.x.Graph.Group(group).Tiers
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
	for _, group := range slices.Compact(p.x.Graph.LeafParents(leaf)) {
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
		names[i] = p.x.Groups[l.group].Name
		l = l.before
	}
	return names
}
