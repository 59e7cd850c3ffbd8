package routing

import (
	"sync"
	"sync/atomic"
	"time"
	"weak"

	"github.com/nestor-gateway/nestor/ratelimit"
	"github.com/nestor-gateway/nestor/routing/strategy"
)

// Router holds the current View and keeps all that are in use up to date. It is safe for concurrent use.
type Router struct {
	tracker *Tracker
	limits  Limits
	view    atomic.Pointer[View]
	notify  atomic.Pointer[func(Notice)]

	// freed counts what was given back.
	freed  atomic.Uint64
	speeds strategy.Speeds
	// pickings are spare, so that a pick allocates nothing.
	pickings sync.Pool

	mu sync.Mutex
	// views are the current one and those that requests began with and still hold.
	views []weak.Pointer[View]
	// spent is what providers have announced, by deployment id.
	spent map[string][ratelimit.Dimensions]time.Duration
}

// NewRouter returns a router that begins with a snapshot. Without limits, which may be nil, none is kept.
func NewRouter(t *Tracker, l Limits, s *Snapshot) *Router {
	r := &Router{tracker: t, limits: l, spent: map[string][ratelimit.Dimensions]time.Duration{}}
	r.pickings.New = func() any { return new(picking) }
	r.Swap(s)
	return r
}

// View returns the current view. A request keeps the one it began with.
func (r *Router) View() *View { return r.view.Load() }

// Swap puts a snapshot and its limits in force. What is known of its deployments, and what was used of limits,
// stays; the rest is forgotten.
func (r *Router) Swap(s *Snapshot) {
	r.mu.Lock()
	defer r.mu.Unlock()
	views := r.live()
	v := newView(s, r, r.declare(s, views))
	for id, until := range r.tracker.Cooling() {
		v.cool(id, until)
	}
	known := func(id string) bool { _, ok := s.byID[id]; return ok }
	r.tracker.Retain(known)
	r.speeds.Retain(known)
	r.carryOver(v)
	r.views = append(r.views, weak.Make(v))
	r.view.Store(v)
}

// live returns the views that somebody holds, and drops the others. The lock must be held.
func (r *Router) live() []*View {
	var views []*View
	kept := r.views[:0]
	for _, p := range r.views {
		if v := p.Value(); v != nil {
			kept, views = append(kept, p), append(views, v)
		}
	}
	r.views = kept
	return views
}

// each calls f for every view in use.
func (r *Router) each(f func(v *View)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, p := range r.views {
		if v := p.Value(); v != nil {
			f(v)
		}
	}
}

// Failed counts a failed attempt, and returns for how long the deployment is now left alone: 0 when it is not.
// A deployment that the current snapshot no longer has is not counted.
func (r *Router) Failed(d *Deployment, f Failure) (cooled time.Duration) {
	s := r.View().snapshot
	if _, ok := s.byID[d.ID]; !ok {
		return 0
	}
	length, until := r.tracker.Failed(d.ID, d.CooldownTime, f, s.cooldown)
	if length == 0 {
		return 0
	}
	r.each(func(v *View) { v.cool(d.ID, until) })
	r.tell(Notice{Deployment: d.ID, Cooldown: true, Wait: length})
	return length
}

// Succeeded counts a successful attempt.
func (r *Router) Succeeded(id string) {
	if _, ok := r.View().snapshot.byID[id]; ok {
		r.tracker.Succeeded(id)
	}
}

// CoolingUntil says until when a deployment is left alone; false when it is not.
func (r *Router) CoolingUntil(id string) (time.Time, bool) { return r.tracker.Until(id) }

// picking takes a spare one for a pick, and picked gives it back.
func (r *Router) picking(v *View, t Target, q Query) *picking {
	p := r.pickings.Get().(*picking)
	p.v, p.t, p.q = v, t, q
	return p
}

func (r *Router) picked(p *picking) {
	p.keep()
	*p = picking{path: p.path[:0], gates: p.gates[:0], entities: p.entities[:0], promised: p.promised[:0]}
	r.pickings.Put(p)
}
