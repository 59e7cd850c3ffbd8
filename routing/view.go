package routing

import (
	"sync"
	"time"

	"github.com/nestor-gateway/nestor/ratelimit"
	"github.com/nestor-gateway/nestor/routing/quota"
)

// View is a snapshot with the live state of its deployments. It is safe for concurrent use.
type View struct {
	snapshot *Snapshot
	router   *Router
	// entities are by gate, and byEntity leads back; nil without limits.
	entities []ratelimit.Entity
	byEntity map[ratelimit.Entity]int32

	mu      sync.RWMutex
	state   *quota.State
	sources sources
}

func newView(s *Snapshot, r *Router, entities []ratelimit.Entity) *View {
	v := &View{snapshot: s, router: r, entities: entities, state: quota.NewState(s.graph, s.gates)}
	if entities != nil {
		v.byEntity = make(map[ratelimit.Entity]int32, len(entities))
	}
	for gate, e := range entities {
		v.byEntity[e] = int32(gate)
	}
	v.sources = newSources(v)
	return v
}

// Snapshot returns what the view is of.
func (v *View) Snapshot() *Snapshot { return v.snapshot }

func (v *View) elapsed() time.Duration { return v.router.tracker.Elapsed() }

// change changes the state. What has ended by now goes with it: of a view that nobody picks from any more it would only grow.
func (v *View) change(f func(s *quota.State)) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.state.End(v.elapsed())
	f(v.state)
}

// cool leaves a deployment alone until a time; one that the view does not have is nothing to it.
func (v *View) cool(id string, until time.Duration) {
	if leaf, ok := v.snapshot.byID[id]; ok {
		v.change(func(s *quota.State) { s.Cool(leaf, until) })
	}
}

// exhaust keeps a deployment out until a time, because its provider admits nothing more to it in a dimension.
func (v *View) exhaust(id string, d ratelimit.Dimension, until time.Duration) {
	if leaf, ok := v.snapshot.byID[id]; ok {
		v.change(func(s *quota.State) { s.Exhaust(leaf, d, until) })
	}
}

// changeGate is change for what an entity stands for; one that the view does not have is nothing to it.
func (v *View) changeGate(e ratelimit.Entity, f func(s *quota.State, gate int32)) {
	if gate, ok := v.byEntity[e]; ok {
		v.change(func(s *quota.State) { f(s, gate) })
	}
}

// lack closes an entity that has too little left: to all requests where it is full, else to those as large as what it denied.
func (v *View) lack(e ratelimit.Entity, l lack) {
	v.changeGate(e, func(s *quota.State, gate int32) {
		if l.full {
			s.Fill(gate, l.Dimension, l.until)
		} else {
			s.Tighten(gate, l.Amount, l.until)
		}
	})
}

// regain ends a lack.
func (v *View) regain(e ratelimit.Entity, l lack) {
	v.changeGate(e, func(s *quota.State, gate int32) {
		if l.full {
			s.Unfill(gate)
		} else {
			s.Loosen(gate)
		}
	})
}

// fullness is what a gate lacks while it is full.
func (v *View) fullness(gate int32) lack {
	v.mu.RLock()
	defer v.mu.RUnlock()
	d, until := v.state.FullUntil(gate)
	return lack{Amount: quota.Amount{Dimension: d, N: 1}, full: until > 0, until: until}
}

// reopen opens what is full on the ways to a deployment and has room again.
func (v *View) reopen(id string) {
	if v.state.NothingFull() {
		return
	}
	leaf, ok := v.snapshot.byID[id]
	if !ok {
		leaf = none
	}
	v.mu.RLock()
	freed := v.state.Freed(leaf, v.usage)
	v.mu.RUnlock()
	if !freed.None() {
		v.change(func(s *quota.State) { s.Reopen(freed) })
	}
}

// usage is what the store says of a gate; nothing used without one.
func (v *View) usage(gate int32) ratelimit.Usage {
	if v.entities == nil {
		return ratelimit.Usage{Most: v.snapshot.gates.Limit(gate).Most}
	}
	return v.router.limits.Usage(v.entities[gate])
}

// recover opens everything whose time has come.
func (v *View) recover(now time.Duration) {
	if v.state.Due(now) {
		v.change(func(*quota.State) {})
	}
}

// adopt makes a target of another snapshot one of this view's.
func (v *View) adopt(t Target) Target {
	if t.snapshot == v.snapshot {
		return t
	}
	own, ok := v.snapshot.Resolve(t.Name)
	if !ok {
		own.group, own.leaf = none, none
	}
	return own
}
