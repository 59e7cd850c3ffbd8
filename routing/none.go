package routing

import (
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/nestor-gateway/nestor/ratelimit"
	"github.com/nestor-gateway/nestor/routing/live"
	"github.com/nestor-gateway/nestor/routing/quota"
	"github.com/nestor-gateway/nestor/routing/share"
)

// NoneError says that no deployment of a target can be picked: all are excluded, full or admit nothing.
type NoneError struct {
	// Model is as called.
	Model string
	// Unserved says that none of its deployments has the endpoint; nothing else is then said.
	Unserved bool
	// RetryAfter is when trying again makes sense.
	RetryAfter time.Duration
	// Limit is the limit that stands in the way; nil where it is something else.
	Limit *Obstacle
	// Caller says that the limit is one of who asks (see Query.Also), the one that Entity stands for: no other deployment helps.
	Caller bool
	Entity ratelimit.Entity
}

// Obstacle is a limit that keeps all deployments of a target from a request.
type Obstacle struct {
	Dimension ratelimit.Dimension
	// Never says that the request is larger than any of its deployments' limits.
	Never bool
	// Room is that limit: of several the one that gives way first, and where Never holds the largest.
	// Its Limit is ratelimit.None where it is the provider's own, and not known; 0 where all ways have a limit of 0.
	Room ratelimit.Room
	// Closed says that the limit admits nothing whatever is used: what was used is not known.
	Closed bool
}

func (e *NoneError) Error() string {
	if e.Unserved {
		return fmt.Sprintf("no deployment of model %q has the endpoint", e.Model)
	}
	return fmt.Sprintf("No deployments available for selected model, Try again in %d seconds. Passed model=%s.",
		int(math.Ceil(e.RetryAfter.Seconds())), e.Model)
}

// firstBack is the deployment of a target whose cooldown ends first, of those that nothing else keeps out:
// no quota, no closed way of the state, no query. The first of the file wins a tie.
func (v *View) firstBack(t Target, state *share.State, out []int32) (leaf int32, ok bool) {
	leaf = none
	at := time.Duration(math.MaxInt64)
	v.snapshot.eachOpenLeaf(t, state, func(l int32) bool {
		end := v.state.CoolingUntil(l)
		if end > 0 && !state.Graph().Closed(l) && (end < at || end == at && l < leaf) && v.state.OutUntil(l) == 0 && !slices.Contains(out, l) {
			leaf, at = l, end
		}
		return true
	})
	return leaf, leaf != none
}

// refused is the error of a pick that a limit of who asks ends.
func (p *picking) refused(d *ratelimit.Denial) error {
	u := p.v.router.limits.Usage(d.Entity)
	e := &NoneError{Model: p.t.Name, RetryAfter: max(d.RetryAfter, u.Closed), Caller: true, Entity: d.Entity}
	e.Limit = &Obstacle{Dimension: d.Dimension, Never: d.Never, Room: room(u, d.Dimension), Closed: u.Closed > 0}
	return e
}

// givenUp is the error of a pick that has tried for long enough.
func (p *picking) givenUp() *NoneError {
	p.v.mu.RLock()
	defer p.v.mu.RUnlock()
	return p.nothing()
}

// nothing is the error of a pick that found no way: the soonest that any of them can succeed.
func (p *picking) nothing() *NoneError {
	v := p.v
	e := &NoneError{Model: p.t.Name, RetryAfter: v.snapshot.cooldown.Time}
	if p.t.group == none && p.t.leaf == none {
		return e
	}
	now := v.elapsed()
	w := p.soonest(now)
	if w.Until != 0 && w.Until != quota.Forever {
		e.RetryAfter = max(w.Until-now, 0)
	}
	if w.Limit {
		e.Limit = &Obstacle{Dimension: w.Dimension, Never: w.Never, Room: ratelimit.Room{Limit: ratelimit.None, Reset: max(w.Until-now, 0)}}
		if w.Gate >= 0 {
			u := v.usage(w.Gate)
			e.Limit.Room, e.Limit.Closed = room(u, w.Dimension), u.Closed > 0
			e.RetryAfter = max(e.RetryAfter, u.Closed)
		}
	} else if w.Until == quota.Forever {
		e.Limit = v.zero(p.t)
	}
	return e
}

// zero is the limit of 0 by which a target never admits anything; nil where it is not by a limit.
func (v *View) zero(t Target) *Obstacle {
	leaves, below := v.below(t)
	found := (*Obstacle)(nil)
	look := func(gate int32) {
		for d, most := range v.snapshot.gates.Limit(gate).Most {
			if most == 0 && found == nil {
				found = &Obstacle{Dimension: ratelimit.Dimension(d), Never: true}
			}
		}
	}
	for _, leaf := range leaves {
		look(leaf)
	}
	live.EachWay(v.snapshot.gates, below, look)
	return found
}

// room is what a limit admits in a dimension.
func room(u ratelimit.Usage, d ratelimit.Dimension) ratelimit.Room {
	return ratelimit.Room{Limit: u.Most[d], Remaining: max(u.Most[d]-u.Used[d], 0), Reset: u.Reset[d]}
}

// soonest is what has to be waited for on the way of the target that opens first.
func (p *picking) soonest(now time.Duration) quota.Wait {
	r := quota.Request{Asked: &p.q.Hold.Amounts, Denied: p.denied, Out: p.from.out, Guess: now + p.v.snapshot.cooldown.Time}
	if p.t.group == none {
		return p.v.state.LeafWait(p.t.leaf, &r)
	}
	return p.v.state.GroupWait(p.t.group, &r)
}

// Others reports whether a target has a deployment that is not excluded, has the endpoint and takes requests at all,
// cooling or not.
func (v *View) Others(t Target, endpoint uint8, exclude []string) bool {
	t = v.adopt(t)
	found := false
	if t.group == none && t.leaf == none {
		return false
	}
	v.snapshot.eachOpenLeaf(t, v.snapshot.graph, func(leaf int32) bool {
		d := v.snapshot.deployments[leaf]
		found = d.Serves(endpoint) && !slices.Contains(exclude, d.ID)
		return !found
	})
	return found
}
