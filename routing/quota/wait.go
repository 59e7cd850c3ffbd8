package quota

import (
	"math"
	"time"

	"github.com/nestor-gateway/nestor/ratelimit"
	"github.com/nestor-gateway/nestor/routing/share"
)

// Request is one that found no way.
type Request struct {
	Asked  *ratelimit.Amounts
	Denied map[int32]Denied
	// Out are the leaves that the request can't use; nil is none.
	Out func(leaf int32) bool
	// Guess is the time to wait until where nothing that is known stands in the way.
	Guess time.Duration
}

// Denied is what the store said of a gate that a request can't pass before a time.
type Denied struct {
	Until     time.Duration
	Dimension ratelimit.Dimension
	// Never: the request asks for more than the limit.
	Never bool
}

// Wait is what a request must wait for.
type Wait struct {
	// Until is 0 where there is nothing to wait for, and Forever where waiting does not help.
	Until time.Duration
	// Limit says that it is a limit: of the Gate, or the provider's where Gate is negative.
	Limit     bool
	Gate      int32
	Dimension ratelimit.Dimension
	Never     bool

	most int64
	// guess: nothing is known to stand in the way, so what is known counts instead.
	guess bool
}

// Forever is a time that does not come.
const Forever = time.Duration(math.MaxInt64)

// providers is the gate of a limit that a provider has announced.
const providers = -1

// before orders by what is over first; of what never is, the largest limit comes first.
func (w Wait) before(o Wait) bool {
	if w.Until == Forever && o.Until == Forever {
		return w.Never && (!o.Never || w.most > o.most)
	}
	return w.Until < o.Until
}

// sooner is what one has to wait for when either will do, and later when both are needed.
func sooner(a, b Wait) Wait {
	if b.before(a) {
		return b
	}
	return a
}

func later(a, b Wait) Wait {
	if a.guess && b.Until != 0 || a.before(b) {
		return b
	}
	return a
}

// GroupWait finds the way through a group that opens first, group by group from the bottom up.
func (s *State) GroupWait(group int32, r *Request) Wait {
	below := s.graph.Below(group, s.graph)
	waits := make(map[int32]Wait, len(below))
	for _, group := range below {
		waits[group] = s.groupWait(group, waits, r)
	}
	return waits[group]
}

func (s *State) groupWait(group int32, waits map[int32]Wait, r *Request) Wait {
	best := Wait{Until: Forever}
	g := s.graph.Group(group)
	if g.Closed {
		return best
	}
	for i, tier := range g.Tiers {
		for k := range tier.Members {
			m := &tier.Members[k]
			if m.Closed || !m.Group && (r.Out != nil && r.Out(m.To) || best.Until <= s.OutUntil(m.To)) {
				continue // it can't be the one, or not sooner, as in most of a large group that is full
			}
			w := s.memberWait(m, waits, r)
			if gate, limited := s.gates.AtPlace(share.Place{Group: group, Tier: int32(i), Member: int32(k)}); limited {
				w = later(w, s.gateWait(gate, r))
			}
			best = sooner(best, w)
		}
	}
	if gate, limited := s.gates.OfGroup(group); limited {
		best = later(best, s.gateWait(gate, r))
	}
	return best
}

func (s *State) memberWait(m *share.Member, waits map[int32]Wait, r *Request) Wait {
	switch {
	case !m.Group:
		return s.LeafWait(m.To, r)
	case s.graph.GroupOpen(m.To):
		return waits[m.To]
	}
	return Wait{Until: Forever}
}

// LeafWait is for a leaf: its quota; where none is in the way, its cooldown, which the request's own
// exclusions have kept from bending; and where nothing is, the guess.
func (s *State) LeafWait(leaf int32, r *Request) Wait {
	if s.graph.Closed(leaf) {
		return Wait{Until: Forever}
	}
	w := s.gateWait(leaf, r)
	for d := range ratelimit.Dimension(ratelimit.Dimensions) {
		if end := s.SpentUntil(leaf, d); end > 0 {
			w = later(w, Wait{Until: end, Limit: true, Gate: providers, Dimension: d})
		}
	}
	switch {
	case w.Limit:
		return w
	case s.cooling.End(leaf) > 0:
		return Wait{Until: s.cooling.End(leaf)}
	}
	return Wait{Until: r.Guess, guess: true}
}

// gateWait is until when a gate is full, or too full for this request.
func (s *State) gateWait(gate int32, r *Request) (w Wait) {
	if d, no := r.Denied[gate]; no {
		until := d.Until
		if d.Never {
			until = Forever
		}
		w = Wait{Until: until, Limit: true, Gate: gate, Dimension: d.Dimension, Never: d.Never, most: s.gates.limits[gate].Most[d.Dimension]}
	}
	if end := s.tight.until(gate, r.Asked); end > 0 {
		w = later(w, Wait{Until: end, Limit: true, Gate: gate, Dimension: s.tight.least[gate].Dimension})
	}
	if end := s.full.end(gate); end > 0 {
		w = later(w, Wait{Until: end, Limit: true, Gate: gate, Dimension: s.fullIn[gate]})
	}
	return w
}
