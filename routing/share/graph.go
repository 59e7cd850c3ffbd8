// Package share divides requests over groups that are made of leaves and of other groups.
// It knows numbers only: which leaf and which group is meant is up to its caller.
package share

import "slices"

// Graph is the shape of all groups. It never changes; a State over it does.
type Graph struct {
	groups []Group
	closed []bool // by leaf: it never gets anything
	shapes [][]*shape
	may    [][2]bool // by group: a member can have an rpm, a tpm

	leafUses, groupUses uses
	// rank orders the groups so that a group comes after all that it is made of.
	rank, byRank []int32
}

// Group is an ordered list of tiers.
type Group struct {
	Tiers []Tier
	// Limit is the group's own rpm and tpm; 0 is none.
	Limit [2]float64
	// Closed says that the group admits nothing.
	Closed bool
}

// Tier is the members among which requests are divided while it is the first that has a live one.
type Tier struct {
	// Weighted says that members are drawn by Weight while a live one has any.
	Weighted bool
	Members  []Member
}

// Member is a leaf or a group inside a tier.
type Member struct {
	// To counts leaves, or groups where Group is set.
	To    int32
	Group bool
	// Closed says that nothing gets through this entry, whatever it leads to.
	Closed bool
	Weight float64
	// Limit is the entry's own rpm and tpm; 0 is none.
	Limit [2]float64
}

// Unit is what capacities are counted in.
type Unit uint8

// The units, in the order in which they are preferred. One counts every leaf as 1.
const (
	RPM Unit = iota
	TPM
	One
	weight
)

const units = 3

// ceiling keeps sums finite on ladders of shared groups, where capacities double at every rung.
const ceiling = 1e300

// Place is a member: the group, the tier in it and the member in that.
type Place struct{ Group, Tier, Member int32 }

// uses lists by leaf, or by group, the places where it is a member.
type uses struct {
	first  []int32
	places []Place
}

func (u *uses) of(i int32) []Place { return u.places[u.first[i]:u.first[i+1]] }

// NewGraph returns the graph of groups over the leaves that closed counts.
// The groups must not contain themselves.
func NewGraph(groups []Group, closed []bool) *Graph {
	g := &Graph{groups: groups, closed: closed}
	g.leafUses = usesOf(groups, false, len(closed))
	g.groupUses = usesOf(groups, true, len(groups))
	g.sort()
	g.shape()
	return g
}

// Without returns the same graph where further leaves never get anything.
func (g *Graph) Without(leaf func(leaf int32) bool) *Graph {
	less := *g
	less.closed = slices.Clone(g.closed)
	for i := range less.closed {
		less.closed[i] = less.closed[i] || leaf(int32(i))
	}
	return &less
}

// Group returns the shape of a group.
func (g *Graph) Group(i int32) *Group { return &g.groups[i] }

// Leaves is how many leaves there are.
func (g *Graph) Leaves() int { return len(g.closed) }

// Closed reports whether a leaf never gets anything.
func (g *Graph) Closed(leaf int32) bool { return g.closed[leaf] }

// MemberOpen reports whether a member ever lets anything through, whatever it leads to.
func (g *Graph) MemberOpen(p Place) bool { return !g.member(p).Closed }

// GroupOpen reports whether a group ever lets anything through, whatever it is made of.
func (g *Graph) GroupOpen(group int32) bool { return !g.groups[group].Closed }

// Rank is the place of a group in an order in which a group comes after all that it is made of.
func (g *Graph) Rank(group int32) int32 { return g.rank[group] }

func usesOf(groups []Group, group bool, n int) uses {
	u := uses{first: make([]int32, n+1)}
	each(groups, group, func(to int32, _ Place) { u.first[to+1]++ })
	for i := range n {
		u.first[i+1] += u.first[i]
	}
	u.places = make([]Place, u.first[n])
	next := append([]int32(nil), u.first...)
	each(groups, group, func(to int32, p Place) {
		u.places[next[to]] = p
		next[to]++
	})
	return u
}

// each calls f for every member that is a group, or for every one that is a leaf.
func each(groups []Group, group bool, f func(to int32, p Place)) {
	for i := range groups {
		for j := range groups[i].Tiers {
			for k, m := range groups[i].Tiers[j].Members {
				if m.Group == group {
					f(m.To, Place{int32(i), int32(j), int32(k)})
				}
			}
		}
	}
}

// sort finds the ranks: a group is next as soon as all that it is made of have been.
func (g *Graph) sort() {
	waits := make([]int32, len(g.groups))
	each(g.groups, true, func(_ int32, p Place) { waits[p.Group]++ })
	g.rank = make([]int32, len(g.groups))
	g.byRank = make([]int32, 0, len(g.groups))
	for i := range g.groups {
		if waits[i] == 0 {
			g.byRank = append(g.byRank, int32(i))
		}
	}
	for at := 0; at < len(g.byRank); at++ {
		done := g.byRank[at]
		g.rank[done] = int32(at)
		for _, p := range g.groupUses.of(done) {
			if waits[p.Group]--; waits[p.Group] == 0 {
				g.byRank = append(g.byRank, p.Group)
			}
		}
	}
}

// shape finds which sums each tier needs.
func (g *Graph) shape() {
	bySize := map[int]*shape{}
	g.shapes = make([][]*shape, len(g.groups))
	g.may = make([][2]bool, len(g.groups))
	for _, i := range g.byRank {
		for j := range g.groups[i].Tiers {
			n := len(g.groups[i].Tiers[j].Members)
			if bySize[n] == nil {
				bySize[n] = newShape(n)
			}
			g.shapes[i] = append(g.shapes[i], bySize[n])
			may := g.tierMay(&g.groups[i].Tiers[j])
			g.may[i] = [2]bool{g.may[i][0] || may[0], g.may[i][1] || may[1]}
		}
	}
}

// tierMay says whether any member of a tier can have an rpm, a tpm.
func (g *Graph) tierMay(t *Tier) (may [2]bool) {
	for k := range t.Members {
		m := &t.Members[k]
		for u := range may {
			may[u] = may[u] || m.Limit[u] > 0 ||
				m.Group && (g.may[m.To][u] || g.groups[m.To].Limit[u] > 0)
		}
	}
	return may
}

// BottomUp lists the groups so that each comes after all that it is made of.
func (g *Graph) BottomUp() []int32 { return g.byRank }

// Parents lists the groups that a group is a member of, once for each entry.
func (g *Graph) Parents(group int32) []int32 { return parents(g.groupUses.of(group)) }

// LeafParents lists the groups that a leaf is a member of, once for each entry, equal ones together.
func (g *Graph) LeafParents(leaf int32) []int32 { return parents(g.leafUses.of(leaf)) }

func parents(places []Place) []int32 {
	groups := make([]int32, len(places))
	for i, p := range places {
		groups[i] = p.Group
	}
	return groups
}

// OnlyPath returns, in the space of path, the places on the way from a group down to a leaf when nothing else leads to the leaf
// or to one of them, so that there is nothing to draw. Members that are closed lead nowhere.
func (g *Graph) OnlyPath(group, leaf int32, path []Place) ([]Place, bool) {
	path = path[:0]
	up, only := g.onlyUse(g.leafUses.of(leaf))
	for only {
		path = append(path, up)
		if up.Group == group {
			slices.Reverse(path)
			return path, true
		}
		if g.groups[up.Group].Closed {
			break
		}
		up, only = g.onlyUse(g.groupUses.of(up.Group))
	}
	return path[:0], false
}

// onlyUse is the only place that is not closed.
func (g *Graph) onlyUse(places []Place) (use Place, only bool) {
	for _, p := range places {
		if g.member(p).Closed {
			continue
		}
		if only {
			return Place{}, false
		}
		use, only = p, true
	}
	return use, only
}
