package routing

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/nestor-gateway/nestor/ratelimit"
	"github.com/nestor-gateway/nestor/routing/share"
)

// NoneError says that no deployment of a target can be picked: all are excluded, full or admit nothing.
type NoneError struct {
	// Model is as called.
	Model string
	// RetryAfter is when trying again makes sense.
	RetryAfter time.Duration
	// Limit is the limit that stands in the way; nil where it is something else.
	Limit *Obstacle
}

// Obstacle is a limit that keeps all deployments of a target from a request.
type Obstacle struct {
	Dimension ratelimit.Dimension
	// Never says that the request is larger than any of its deployments' limits.
	Never bool
	// Room is that limit: of several the one that gives way first, and where Never holds the largest.
	// Its Limit is ratelimit.None where it is the provider's own, and not known.
	Room ratelimit.Room
}

func (e *NoneError) Error() string {
	return fmt.Sprintf("No deployments available for selected model, Try again in %d seconds. Passed model=%s.",
		int(math.Ceil(e.RetryAfter.Seconds())), e.Model)
}

// firstBack is the deployment of a target whose cooldown ends first, of those that nothing else keeps out:
// no quota, no closed way of the state, no query. The first of the file wins a tie.
func (v *View) firstBack(t Target, state *share.State, out []int32) (leaf int32, ok bool) {
	leaf = none
	at := time.Duration(math.MaxInt64)
	v.snapshot.eachOpenLeaf(t, state, func(l int32) bool {
		end := v.cooling.End(l)
		if end > 0 && (end < at || end == at && l < leaf) && v.outUntil(l) == 0 && !slices.Contains(out, l) {
			leaf, at = l, end
		}
		return true
	})
	return leaf, leaf != none
}

// wait is what a request must wait for.
type wait struct {
	// until is 0 where there is nothing to wait for, and forever where waiting does not help.
	until time.Duration
	// limit says that it is a limit: of the gate, or of the provider where gate is none.
	limit     bool
	gate      int32
	dimension ratelimit.Dimension
	never     bool
	most      int64
	// guess: nothing is known to stand in the way, so what is known counts instead.
	guess bool
}

const forever = time.Duration(math.MaxInt64)

// before orders by what is over first; of what never is, the largest limit comes first.
func (w wait) before(o wait) bool {
	if w.until == forever && o.until == forever {
		return w.never && (!o.never || w.most > o.most)
	}
	return w.until < o.until
}

// sooner is what one has to wait for when either will do, and later when both are needed.
func sooner(a, b wait) wait {
	if b.before(a) {
		return b
	}
	return a
}

func later(a, b wait) wait {
	if a.guess && b.until != 0 || a.before(b) {
		return b
	}
	return a
}

// nothing is the error of a pick that found no way: the soonest that any of them can succeed.
func (p *picking) nothing() error {
	v := p.v
	v.mu.RLock()
	defer v.mu.RUnlock()
	e := &NoneError{Model: p.t.Name, RetryAfter: v.snapshot.cooldown.Time}
	if p.t.group == none && p.t.leaf == none {
		return e
	}
	w := p.soonest()
	now := v.elapsed()
	if w.until != 0 && w.until != forever {
		e.RetryAfter = max(w.until-now, 0)
	}
	if w.limit {
		e.Limit = &Obstacle{Dimension: w.dimension, Never: w.never, Room: ratelimit.Room{Limit: ratelimit.None, Reset: max(w.until-now, 0)}}
		if w.gate != none {
			e.Limit.Room = room(v.router.limits.Usage(v.entities[w.gate]), w.dimension)
		}
	}
	return e
}

// room is what a limit admits in a dimension.
func room(u ratelimit.Usage, d ratelimit.Dimension) ratelimit.Room {
	return ratelimit.Room{Limit: u.Most[d], Remaining: max(u.Most[d]-u.Used[d], 0), Reset: u.Reset[d]}
}

// soonest finds the way of the target that opens first, group by group from the bottom up.
func (p *picking) soonest() wait {
	v, t := p.v, p.t
	if t.group == none {
		return p.leafWait(t.leaf)
	}
	var below []int32
	v.snapshot.walkAlong(t.group, v.snapshot.graph, func(group int32) bool {
		below = append(below, group)
		return true
	})
	slices.SortFunc(below, func(a, b int32) int {
		return cmp.Compare(v.snapshot.graph.Rank(a), v.snapshot.graph.Rank(b))
	})
	waits := make(map[int32]wait, len(below))
	for _, group := range below {
		waits[group] = p.groupWait(group, waits)
	}
	return waits[t.group]
}

func (p *picking) groupWait(group int32, waits map[int32]wait) wait {
	s, best := p.v.snapshot, wait{until: forever}
	g := s.graph.Group(group)
	if g.Closed {
		return best
	}
	for i, tier := range g.Tiers {
		for k := range tier.Members {
			m, w := &tier.Members[k], wait{until: forever}
			switch {
			case m.Closed:
				continue
			case !m.Group && best.until <= p.v.outUntil(m.To):
				continue // it can't be sooner, as in most of a large group that is full
			case !m.Group:
				w = p.leafWait(m.To)
			case !s.graph.Group(m.To).Closed:
				w = waits[m.To]
			}
			if gate, limited := s.gates.atPlace[share.Place{Group: group, Tier: int32(i), Member: int32(k)}]; limited {
				w = later(w, p.gateWait(gate))
			}
			best = sooner(best, w)
		}
	}
	if gate, limited := s.gates.ofGroup[group]; limited {
		best = later(best, p.gateWait(gate))
	}
	return best
}

// leafWait is for a leaf: its quota; where none is in the way, its cooldown, which the request's own
// exclusions have kept from bending; and where nothing is, the time that LiteLLM gives.
func (p *picking) leafWait(leaf int32) wait {
	v := p.v
	if v.snapshot.graph.Closed(leaf) {
		return wait{until: forever}
	}
	w := p.gateWait(leaf)
	for d := range int32(ratelimit.Dimensions) {
		if end := v.spent.End(leaf*ratelimit.Dimensions + d); end > 0 {
			w = later(w, wait{until: end, limit: true, gate: none, dimension: ratelimit.Dimension(d)})
		}
	}
	switch {
	case w.limit:
		return w
	case v.cooling.End(leaf) > 0:
		return wait{until: v.cooling.End(leaf)}
	}
	return wait{until: v.elapsed() + v.snapshot.cooldown.Time, guess: true}
}

// gateWait is until when a gate is full, or too full for this request.
func (p *picking) gateWait(gate int32) (w wait) {
	if d, no := p.denied[gate]; no {
		until := d.until
		if d.never {
			until = forever
		}
		w = later(w, wait{until: until, limit: true, gate: gate, dimension: d.dimension, never: d.never, most: p.v.snapshot.gates.limits[gate].Most[d.dimension]})
	}
	if end := p.v.tight.until(gate, &p.q.Hold.Amounts); end > 0 {
		w = later(w, wait{until: end, limit: true, gate: gate, dimension: p.v.tight.least[gate].dimension})
	}
	calendar, i := p.v.calendarOf(gate)
	if end := calendar.End(i); end > 0 {
		w = later(w, wait{until: end, limit: true, gate: gate, dimension: p.v.fullIn[gate]})
	}
	return w
}

// Others reports whether a target has a deployment that is not excluded and takes requests at all, cooling or not.
func (v *View) Others(t Target, exclude []string) bool {
	t = v.adopt(t)
	found := false
	if t.group == none && t.leaf == none {
		return false
	}
	v.snapshot.eachOpenLeaf(t, v.snapshot.graph, func(leaf int32) bool {
		found = !slices.Contains(exclude, v.snapshot.deployments[leaf].ID)
		return !found
	})
	return found
}
