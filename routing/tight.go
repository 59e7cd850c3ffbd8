package routing

import (
	"time"

	"github.com/nestor-gateway/nestor/ratelimit"
	"github.com/nestor-gateway/nestor/routing/cooldown"
)

// tight knows which gates have something left, but too little for large requests: these need not ask the store
// again and again, of which one pick does not ask for ever.
type tight struct {
	first int32
	// leaves is by gate up to first, ways from there on.
	leaves, ways *cooldown.Calendar
	// least is, by gate, the smallest request that was denied.
	least []amount
}

// amount is of one dimension.
type amount struct {
	dimension ratelimit.Dimension
	n         int64
}

func newTight(leaves, all int) tight {
	return tight{int32(leaves), cooldown.NewCalendar(leaves), cooldown.NewCalendar(all - leaves), make([]amount, all)}
}

func (t *tight) calendarOf(gate int32) (*cooldown.Calendar, int32) {
	if gate >= t.first {
		return t.ways, gate - t.first
	}
	return t.leaves, gate
}

// set remembers that a gate has denied an amount, which it will have at a time.
func (t *tight) set(gate int32, a amount, until time.Duration) {
	calendar, i := t.calendarOf(gate)
	calendar.Clear(i)
	calendar.Set(i, until)
	t.least[gate] = a
}

func (t *tight) clear(gate int32) {
	calendar, i := t.calendarOf(gate)
	calendar.Clear(i)
}

// until is when a gate will have what a request asks for; 0 where nothing is known against it.
func (t *tight) until(gate int32, asked *ratelimit.Amounts) time.Duration {
	calendar, i := t.calendarOf(gate)
	end, least := calendar.End(i), t.least[gate]
	if end > 0 && asked[least.dimension] >= least.n {
		return end
	}
	return 0
}

// each calls f for every gate that has too little for a request.
func (t *tight) each(asked *ratelimit.Amounts, f func(gate int32)) {
	visit := func(gate int32) {
		if t.until(gate, asked) > 0 {
			f(gate)
		}
	}
	t.leaves.Each(visit)
	t.ways.Each(func(way int32) { visit(t.first + way) })
}

func (t *tight) empty() bool { return t.leaves.Empty() && t.ways.Empty() }

func (t *tight) due(now time.Duration) bool { return t.leaves.Due(now) || t.ways.Due(now) }

func (t *tight) end(now time.Duration) {
	t.leaves.Ended(now, func(int32) {})
	t.ways.Ended(now, func(int32) {})
}

// tighten remembers that an entity has denied an amount.
func (v *View) tighten(e ratelimit.Entity, a amount, until time.Duration) {
	gate, ok := v.byEntity[e]
	if !ok {
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.end(v.elapsed())
	v.tight.set(gate, a, until)
}

// loosen forgets what an entity has denied.
func (v *View) loosen(e ratelimit.Entity) {
	if gate, ok := v.byEntity[e]; ok {
		v.mu.Lock()
		defer v.mu.Unlock()
		v.tight.clear(gate)
	}
}

// loosened lists the gates on the ways to a leaf that have again what they denied.
func (v *View) loosened(leaf int32) (gates []int32) {
	look := func(gate int32) {
		least := v.tight.least[gate]
		if u := v.router.limits.Usage(v.entities[gate]); u.Most[least.dimension]-u.Used[least.dimension] >= least.n {
			gates = append(gates, gate)
		}
	}
	if leaf != none && v.tight.leaves.End(leaf) > 0 {
		look(leaf)
	}
	v.tight.ways.Each(func(way int32) { look(v.tight.first + way) })
	return gates
}

// tighten tells all views that an entity has too little left, unless something has been given back since
// the store was asked; see fill.
func (r *Router) tighten(e ratelimit.Entity, a amount, until time.Duration, freed uint64) {
	r.each(func(v *View) { v.tighten(e, a, until) })
	if r.freed.Load() == freed {
		return
	}
	if u := r.limits.Usage(e); u.Most[a.dimension]-u.Used[a.dimension] >= a.n {
		r.each(func(v *View) { v.loosen(e) })
	}
}

// tightOn reports whether the way that was drawn passes a gate that has too little for this request.
func (p *picking) tightOn(leaf int32) bool {
	if p.v.tight.empty() {
		return false
	}
	p.gates = p.v.snapshot.gatesOn(leaf, p.path, p.gates[:0])
	for _, gate := range p.gates {
		if p.v.tight.until(gate, &p.q.Hold.Amounts) > 0 {
			return true
		}
	}
	return false
}
