package routing

import "github.com/nestor-gateway/nestor/routing/share"

// unserved are endpoints, a bit each: those that a provider below a group does not have, and those that none has.
type unserved struct{ some, all uint8 }

// and is what two members make together.
func (u unserved) and(v unserved) unserved { return unserved{u.some | v.some, u.all & v.all} }

// noMembers is the unserved to begin with.
var noMembers = unserved{all: ^uint8(0)}

// unservedBy is what a target does not serve.
func (s *Snapshot) unservedBy(t Target) unserved {
	switch {
	case t.group != none:
		return s.unserved[t.group]
	case t.leaf != none:
		l := s.deployments[t.leaf].Lacks
		return unserved{l, l}
	}
	return unserved{}
}

// Serves reports whether any deployment that the target reaches has an endpoint, which the provider table counts.
// Those that never admit anything don't matter beside others.
func (t Target) Serves(endpoint uint8) bool {
	return t.snapshot != nil && t.snapshot.unservedBy(t).all>>endpoint&1 == 0
}

// findUnserved fills in unserved, by group. Where no member ever admits anything all of them count.
func (s *Snapshot) findUnserved() {
	s.unserved = make([]unserved, len(s.groups))
	admits := make([]bool, len(s.groups))
	for _, group := range s.graph.BottomUp() {
		open, all := noMembers, noMembers
		for _, tier := range s.graph.Group(group).Tiers {
			for _, m := range tier.Members {
				to, ever := Target{group: none, leaf: m.To}, !m.Closed
				if m.Group {
					to = Target{group: m.To, leaf: none}
					ever = ever && admits[m.To] && s.graph.GroupOpen(m.To)
				} else {
					ever = ever && !s.graph.Closed(m.To)
				}
				below := s.unservedBy(to)
				all = all.and(below)
				if ever {
					open, admits[group] = open.and(below), true
				}
			}
		}
		s.unserved[group] = all
		if admits[group] {
			s.unserved[group] = open
		}
	}
}

// unservedWays are the ways to providers that don't have an endpoint.
type unservedWays struct {
	*Snapshot
	bit uint8
}

func (unservedWays) MemberOpen(share.Place) bool { return true }

func (w unservedWays) GroupOpen(group int32) bool { return w.unserved[group].some&w.bit != 0 }

// closeUnserved closes in a state the leaves below a group whose providers don't have an endpoint, and lists them.
func (s *Snapshot) closeUnserved(state *share.State, group int32, endpoint uint8) (leaves []int32) {
	s.graph.WalkLeaves(group, unservedWays{s, 1 << endpoint}, func(leaf int32) bool {
		if !s.deployments[leaf].Serves(endpoint) {
			leaves = append(leaves, leaf)
			state.Set(leaf, false)
		}
		return true
	})
	return leaves
}
