package share

import (
	"cmp"
	"slices"
)

// Ways says which members and groups let requests through: a Graph those that ever do, a State those that do now.
type Ways interface {
	MemberOpen(p Place) bool
	GroupOpen(group int32) bool
}

// AllWays are all of them, closed or not.
type AllWays struct{}

// MemberOpen is true.
func (AllWays) MemberOpen(Place) bool { return true }

// GroupOpen is true.
func (AllWays) GroupOpen(int32) bool { return true }

// Walk visits a group, open or not, and every group below it to which open ways lead, once, until f returns false.
func (g *Graph) Walk(group int32, w Ways, f func(group int32) bool) {
	seen := map[int32]bool{group: true}
	for stack := []int32{group}; len(stack) > 0; {
		top := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		if !f(top) {
			return
		}
		g.eachOpen(top, true, w, func(group int32) bool {
			if !seen[group] && w.GroupOpen(group) {
				seen[group] = true
				stack = append(stack, group)
			}
			return true
		})
	}
}

// Below lists a group and every group below it to which open ways lead, each after all that it is made of.
func (g *Graph) Below(group int32, w Ways) (groups []int32) {
	g.Walk(group, w, func(group int32) bool {
		groups = append(groups, group)
		return true
	})
	slices.SortFunc(groups, func(a, b int32) int { return cmp.Compare(g.rank[a], g.rank[b]) })
	return groups
}

// WalkLeaves visits the leaves to which open ways lead from a group, each at least once, until f returns false.
func (g *Graph) WalkLeaves(group int32, w Ways, f func(leaf int32) bool) {
	if !w.GroupOpen(group) {
		return
	}
	g.Walk(group, w, func(group int32) bool { return g.eachOpen(group, false, w, f) })
}

// LeavesBelow lists the leaves below a group, closed or not, each once and in order.
func (g *Graph) LeavesBelow(group int32) (leaves []int32) {
	g.WalkLeaves(group, AllWays{}, func(leaf int32) bool {
		leaves = append(leaves, leaf)
		return true
	})
	slices.Sort(leaves)
	return slices.Compact(leaves)
}

// eachOpen calls f for the open members of a group that are groups, or for those that are leaves, until it returns false.
// It reports whether it never did.
func (g *Graph) eachOpen(group int32, groups bool, w Ways, f func(to int32) bool) bool {
	for i, tier := range g.groups[group].Tiers {
		for k := range tier.Members {
			m := &tier.Members[k]
			if m.Group == groups && w.MemberOpen(Place{group, int32(i), int32(k)}) && !f(m.To) {
				return false
			}
		}
	}
	return true
}

// Depth is how many groups the longest way from a group to a leaf passes.
func (g *Graph) Depth() int {
	depths, deepest := make([]int, len(g.groups)), 0
	for _, group := range g.BottomUp() {
		depths[group]++
		deepest = max(deepest, depths[group])
		for _, parent := range g.Parents(group) {
			depths[parent] = max(depths[parent], depths[group])
		}
	}
	return deepest
}
