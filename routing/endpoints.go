package routing

import (
	"github.com/nestor-gateway/nestor/routing/share"
	"github.com/nestor-gateway/nestor/routing/strategy"
)

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

// sources are the states from which a view picks: one for the endpoints that everybody has, and one for each that
// only some in a group have.
type sources struct {
	all source
	// some are by endpoint; nil where nobody needs one.
	some [8]*source
}

// source is a state without the deployments that don't have an endpoint.
type source struct {
	shares *share.State
	// chooser is nil where shares decide everywhere.
	chooser *strategy.Chooser
	// out says which deployments those are; nil is none.
	out func(leaf int32) bool
}

func newSources(v *View) (s sources) {
	s.all = source{shares: v.state.Shares, chooser: newChooser(v, v.state.Shares)}
	var mixed uint8
	for _, u := range v.snapshot.unserved {
		mixed |= u.some &^ u.all
	}
	for endpoint := range s.some {
		if mixed>>endpoint&1 != 0 {
			out := func(leaf int32) bool { return !v.snapshot.deployments[leaf].Serves(uint8(endpoint)) }
			shares := v.state.Apart(v.snapshot.graph.Without(out))
			s.some[endpoint] = &source{shares, newChooser(v, shares), out}
		}
	}
	return s
}

// source is what requests for an endpoint are picked from below a target that serves it.
func (v *View) source(t Target, endpoint uint8) *source {
	if t.group != none && v.snapshot.unservedBy(t).some>>endpoint&1 != 0 {
		return v.sources.some[endpoint]
	}
	return &v.sources.all
}

// eachChooser calls f for the choosers.
func (s *sources) eachChooser(f func(c *strategy.Chooser)) {
	if s.all.chooser == nil {
		return
	}
	f(s.all.chooser)
	for _, some := range s.some {
		if some != nil {
			f(some.chooser)
		}
	}
}
