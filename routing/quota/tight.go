package quota

import (
	"time"

	"github.com/nestor-gateway/nestor/ratelimit"
	"github.com/nestor-gateway/nestor/routing/cooldown"
)

// Amount is of one dimension.
type Amount struct {
	Dimension ratelimit.Dimension
	N         int64
}

// Left reports whether a limit has at least the amount left.
func (a Amount) Left(u ratelimit.Usage) bool {
	return u.Closed == 0 && u.Most[a.Dimension]-u.Used[a.Dimension] >= a.N
}

// tight knows which gates have something left, but too little for large requests: these need not ask the store
// again and again, of which one pick does not ask for ever.
type tight struct {
	// gates says until when, of leaves and ways apart.
	gates ends
	// least is, by gate, the smallest request that was denied.
	least []Amount
}

func newTight(leaves, all int) tight { return tight{newEnds(leaves, all), make([]Amount, all)} }

// set remembers that a gate has denied an amount, which it will have at a time.
func (t *tight) set(gate int32, a Amount, until time.Duration) {
	t.gates.clear(gate)
	t.gates.set(gate, until)
	t.least[gate] = a
}

// until is when a gate will have what a request asks for; 0 where nothing is known against it.
func (t *tight) until(gate int32, asked *ratelimit.Amounts) time.Duration {
	end, least := t.gates.end(gate), t.least[gate]
	if end > 0 && asked[least.Dimension] >= least.N {
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
	t.gates.leaves.Each(visit)
	t.gates.eachWay(visit)
}

// ends says by gate until when something holds. Leaves and ways are apart, because of all ways, which are few,
// one looks at every one that is closed.
type ends struct {
	first        int32
	leaves, ways *cooldown.Calendar
}

func newEnds(leaves, all int) ends {
	return ends{int32(leaves), cooldown.NewCalendar(leaves), cooldown.NewCalendar(all - leaves)}
}

func (e *ends) of(gate int32) (*cooldown.Calendar, int32) {
	if gate >= e.first {
		return e.ways, gate - e.first
	}
	return e.leaves, gate
}

func (e *ends) end(gate int32) time.Duration {
	calendar, i := e.of(gate)
	return calendar.End(i)
}

func (e *ends) set(gate int32, until time.Duration) (changed bool) {
	calendar, i := e.of(gate)
	return calendar.Set(i, until)
}

func (e *ends) clear(gate int32) {
	calendar, i := e.of(gate)
	calendar.Clear(i)
}

func (e *ends) eachWay(f func(gate int32)) {
	e.ways.Each(func(way int32) { f(e.first + way) })
}

func (e *ends) empty() bool { return e.leaves.Empty() && e.ways.Empty() }

func (e *ends) due(now time.Duration) bool { return e.leaves.Due(now) || e.ways.Due(now) }

// ended calls f for every gate whose time has come.
func (e *ends) ended(now time.Duration, f func(gate int32)) {
	e.leaves.Ended(now, f)
	e.ways.Ended(now, func(way int32) { f(e.first + way) })
}
