package routing

import "github.com/nestor-gateway/nestor/routing/share"

// lacks are endpoints, a bit each: those that a provider below a group does not have, and those that none has.
type lacks struct{ some, all uint8 }

// lacksOf is what a target lacks.
func (s *Snapshot) lacksOf(t Target) lacks {
	switch {
	case t.group != none:
		return s.lacks[t.group]
	case t.leaf != none:
		l := s.deployments[t.leaf].Lacks
		return lacks{l, l}
	}
	return lacks{}
}

// Serves reports whether any deployment that the target reaches has an endpoint, which the provider table counts.
func (t Target) Serves(endpoint uint8) bool {
	return t.snapshot != nil && t.snapshot.lacksOf(t).all>>endpoint&1 == 0
}

// findLacks fills in lacks, by group.
func (s *Snapshot) findLacks() {
	s.lacks = make([]lacks, len(s.groups))
	for _, group := range s.graph.BottomUp() {
		l := lacks{all: ^uint8(0)}
		for _, tier := range s.graph.Group(group).Tiers {
			for _, m := range tier.Members {
				to := Target{group: none, leaf: m.To}
				if m.Group {
					to = Target{group: m.To, leaf: none}
				}
				below := s.lacksOf(to)
				l.some, l.all = l.some|below.some, l.all&below.all
			}
		}
		s.lacks[group] = l
	}
}

// lacking are the ways to providers that lack an endpoint.
type lacking struct {
	*Snapshot
	bit uint8
}

func (lacking) MemberOpen(share.Place) bool { return true }

func (l lacking) GroupOpen(group int32) bool { return l.lacks[group].some&l.bit != 0 }

// closeLacking closes in a state the leaves below a group whose providers lack an endpoint, and lists them.
func (s *Snapshot) closeLacking(state *share.State, group int32, endpoint uint8) (leaves []int32) {
	s.graph.WalkLeaves(group, lacking{s, 1 << endpoint}, func(leaf int32) bool {
		if !s.deployments[leaf].Serves(endpoint) {
			leaves = append(leaves, leaf)
			state.Set(leaf, false)
		}
		return true
	})
	return leaves
}
