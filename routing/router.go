package routing

import (
	"sync"
	"sync/atomic"
	"time"
	"weak"
)

// Router holds the current View and keeps all that are in use up to date. It is safe for concurrent use.
type Router struct {
	tracker *Tracker
	limits  Limits
	view    atomic.Pointer[View]

	mu sync.Mutex
	// views are the current one and those that requests began with and still hold.
	views []weak.Pointer[View]
}

// NewRouter returns a router that begins with a snapshot. Without limits, which may be nil, none is kept.
func NewRouter(t *Tracker, l Limits, s *Snapshot) *Router {
	r := &Router{tracker: t, limits: l}
	r.Swap(s)
	return r
}

// View returns the current view. A request keeps the one it began with.
func (r *Router) View() *View { return r.view.Load() }

// Swap makes a snapshot the current one. What is known of its deployments stays; the rest is forgotten.
func (r *Router) Swap(s *Snapshot) {
	v := newView(s, r.tracker.Elapsed)
	r.mu.Lock()
	defer r.mu.Unlock()
	for id, until := range r.tracker.Cooling() {
		v.cool(id, until)
	}
	r.prune()
	r.views = append(r.views, weak.Make(v))
	r.view.Store(v)
	r.tracker.Retain(func(id string) bool { _, ok := s.byID[id]; return ok })
}

// prune drops the views that nobody holds. The lock must be held.
func (r *Router) prune() {
	kept := r.views[:0]
	for _, p := range r.views {
		if p.Value() != nil {
			kept = append(kept, p)
		}
	}
	r.views = kept
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
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, p := range r.views {
		if v := p.Value(); v != nil {
			v.cool(d.ID, until)
		}
	}
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
