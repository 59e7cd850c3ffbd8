package routing

import (
	"slices"
	"time"

	"github.com/nestor-gateway/nestor/ratelimit"
	"github.com/nestor-gateway/nestor/routing/quota"
)

// Limits is the store that keeps the limits of deployments, references and groups, and counts what is in flight.
type Limits interface {
	ratelimit.Limiter
	// Declare puts limits in force, and returns their entities in the same order. An entity that was declared
	// before, by its name, keeps what it has used; one that is no longer declared is forgotten once nothing of it counts.
	Declare(limits []ratelimit.Limit) []ratelimit.Entity
	// Renew has a reservation held for a time from now on at least: it is still in use. It reports whether the
	// reservation was held.
	Renew(id ratelimit.ID, life time.Duration) bool
	Usage(e ratelimit.Entity) ratelimit.Usage
}

// Sample is what one attempt taught about the speed of a deployment.
type Sample struct {
	Deployment string
	// Failed attempts have no times.
	Failed bool
	// Whole is the time of the whole answer; FirstToken that of the first byte of a stream, 0 for others.
	Whole, FirstToken time.Duration
	// Completion is the tokens of the answer; 0 when they are not known.
	Completion int64
}

// Settle replaces what the attempt at a deployment holds by what was used. See ratelimit.Limiter.
func (r *Router) Settle(deployment string, id ratelimit.ID, used ratelimit.Amounts) bool {
	if r.limits == nil || !r.limits.Settle(id, used) {
		return false
	}
	r.reopen(deployment)
	r.look(deployment)
	return true
}

// Refund gives back what the attempt at a deployment holds. See ratelimit.Limiter.
func (r *Router) Refund(deployment string, id ratelimit.ID) bool {
	if r.limits == nil || !r.limits.Refund(id) {
		return false
	}
	r.reopen(deployment)
	r.look(deployment)
	return true
}

// Renew has the reservation of an attempt in flight held for a time from now on at least. See Limits.
func (r *Router) Renew(id ratelimit.ID, life time.Duration) bool {
	return r.limits != nil && r.limits.Renew(id, life)
}

// reopen opens what was full and has room, now that something at a deployment was given back.
func (r *Router) reopen(deployment string) {
	r.freed.Add(1)
	r.each(func(v *View) { v.reopen(deployment) })
}

// lack is what a limit has too little of until a time: nothing at all where it is full, else less than the amount.
type lack struct {
	quota.Amount
	full  bool
	until time.Duration
}

// lacks closes an entity in all views. Had anything been freed since the store was asked, and freed counts up to then,
// it may have room again that nobody else would find: who gave it back may have looked before it was closed.
func (r *Router) lacks(e ratelimit.Entity, l lack, freed uint64) {
	r.each(func(v *View) { v.lack(e, l) })
	if r.freed.Load() != freed && l.Left(r.limits.Usage(e)) {
		r.each(func(v *View) { v.regain(e, l) })
	}
}

// declare puts the limits of a snapshot in force, and those of older views, which go on, that it does not have.
func (r *Router) declare(s *Snapshot, older []*View) []ratelimit.Entity {
	if r.limits == nil {
		return nil
	}
	all := slices.Clip(s.gates.Limits())
	known := make(map[string]bool, len(all))
	for i := range all {
		known[all[i].Name] = true
	}
	for _, v := range older {
		for _, l := range v.snapshot.gates.Limits() {
			if !known[l.Name] {
				known[l.Name] = true
				all = append(all, l)
			}
		}
	}
	return r.limits.Declare(all)[:len(s.gates.Limits())]
}

// carryOver gives a new view what was known in the one before it: which limits are full, unless they have
// changed, and what providers have announced. The lock must be held.
func (r *Router) carryOver(v *View) {
	now := r.tracker.Elapsed()
	for id, spent := range r.spent {
		known := false
		for d, until := range spent {
			if until > now {
				known = true
				v.exhaust(id, ratelimit.Dimension(d), until)
			}
		}
		if _, ok := v.snapshot.byID[id]; !ok || !known {
			delete(r.spent, id)
		}
	}
	old := r.view.Load()
	if old == nil || v.entities == nil {
		return
	}
	for gate, e := range v.entities {
		was, ok := old.byEntity[e]
		if !ok {
			continue
		}
		if l := old.fullness(was); l.full && *old.snapshot.gates.Limit(was) == *v.snapshot.gates.Limit(int32(gate)) {
			v.lack(e, l)
		}
	}
}
