package routing

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/nestor-gateway/nestor/ratelimit"
	"github.com/nestor-gateway/nestor/routing/cooldown"
	"github.com/nestor-gateway/nestor/routing/share"
)

// View is a snapshot with the live state of its deployments. It is safe for concurrent use.
type View struct {
	snapshot *Snapshot
	elapsed  func() time.Duration

	mu       sync.RWMutex
	state    *share.State
	calendar *cooldown.Calendar
}

func newView(s *Snapshot, elapsed func() time.Duration) *View {
	return &View{
		snapshot: s, elapsed: elapsed, calendar: cooldown.NewCalendar(len(s.deployments)),
		state: share.NewState(s.graph, func(int32) bool { return true }),
	}
}

// Snapshot returns what the view is of.
func (v *View) Snapshot() *Snapshot { return v.snapshot }

// cool leaves a deployment alone until a time; one that the view does not have is nothing to it.
func (v *View) cool(id string, until time.Duration) {
	leaf, ok := v.snapshot.byID[id]
	if !ok {
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.end(v.elapsed()) // of a view that nobody picks from any more the calendar would only grow
	if v.calendar.Set(leaf, until) {
		v.state.Set(leaf, false)
	}
}

// recover ends the cooldowns whose time has come.
func (v *View) recover(now time.Duration) {
	if !v.calendar.Due(now) {
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.end(now)
}

// end is recover for who holds the lock.
func (v *View) end(now time.Duration) {
	v.calendar.Ended(now, func(leaf int32) { v.state.Set(leaf, true) })
}

// Query says how to pick. The pick is a function of the query and the live state:
// another process with the same state picks the same.
type Query struct {
	Seed uint64
	// Skip draws that many deployments first and excludes them.
	// Exclude lists ids, each once; unknown ones don't matter. With the same Seed, skipping n picks
	// is the same as excluding what they gave.
	Skip    int
	Exclude []string

	// Hold is what the attempt reserves of everything that limits its pick; its Entities are left to the pick.
	Hold ratelimit.Reservation
}

// Pick is a deployment chosen for one attempt.
type Pick struct {
	Deployment *Deployment
	// Model is the provider's model, with a wildcard filled in.
	Model string
	// Path is the groups passed, the called one first. It must not be changed.
	Path []string
	// Standing is how much the tightest limit on the way admits after this attempt.
	Standing ratelimit.Standing
}

// NoneError says that no deployment of a target can be picked: all are excluded or admit nothing.
type NoneError struct {
	// Model is as called.
	Model string
	// RetryAfter is when trying again makes sense.
	RetryAfter time.Duration
	// Limit is the limit that stands in the way; nil where it is something else.
	Limit *Obstacle
}

func (e *NoneError) Error() string {
	return fmt.Sprintf("No deployments available for selected model, Try again in %d seconds. Passed model=%s.",
		int(math.Ceil(e.RetryAfter.Seconds())), e.Model)
}

// Pick chooses a deployment of a target. Where cooldown is all that stands in the way, the one whose cooldown
// ends first counts as available. The error is a *NoneError.
func (v *View) Pick(ctx context.Context, t Target, q Query) (Pick, error) {
	t = v.adopt(t)
	v.recover(v.elapsed())
	v.mu.RLock()
	defer v.mu.RUnlock()
	if t.group == none {
		return v.pickOne(t, q)
	}
	if len(q.Exclude) > 0 || q.Skip > 0 {
		return v.pickApart(t, q)
	}
	var passed [32]int32
	rng := v.draw(t, q.Seed, 0)
	leaf, path, ok := v.state.Pick(t.group, &rng, passed[:0])
	if !ok {
		return v.pickApart(t, q)
	}
	return v.picked(t, leaf, path), nil
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

// draw is the source of the n-th draw for a target. Draws of one seed are independent of each other,
// in one group and in others: what is picked after a failure does not depend on what failed.
func (v *View) draw(t Target, seed uint64, n int) rand.PCG {
	var rng rand.PCG
	rng.Seed(seed^v.snapshot.nodes[t.group].salt, uint64(n))
	return rng
}

func (v *View) picked(t Target, leaf int32, path []int32) Pick {
	d := v.snapshot.deployments[leaf]
	p := Pick{Deployment: d, Model: t.model(d), Path: v.snapshot.nodes[path[0]].path}
	if len(path) > 1 {
		p.Path = make([]string, len(path))
		for i, group := range path {
			p.Path[i] = v.snapshot.nodes[group].name
		}
	}
	return p
}

// pickOne is for a target that is one deployment: cooling or not, there is no other.
func (v *View) pickOne(t Target, q Query) (Pick, error) {
	if t.leaf == none || q.Skip > 0 || v.snapshot.graph.Closed(t.leaf) || slices.Contains(q.Exclude, v.snapshot.deployments[t.leaf].ID) {
		return Pick{}, v.nothing(t)
	}
	d := v.snapshot.deployments[t.leaf]
	return Pick{Deployment: d, Model: t.model(d), Path: []string{t.Group}}, nil
}

// pickApart picks in a copy of the state that is changed for this query.
func (v *View) pickApart(t Target, q Query) (Pick, error) {
	state := v.state.Fork()
	excluded := make([]int32, 0, len(q.Exclude)+q.Skip)
	for _, id := range q.Exclude {
		if leaf, ok := v.snapshot.byID[id]; ok {
			excluded = append(excluded, leaf)
			state.Set(leaf, false)
		}
	}
	for n := len(q.Exclude); ; n++ {
		if !state.Live(t.group) {
			leaf, _, ok := v.firstBack(t, excluded)
			if !ok {
				return Pick{}, v.nothing(t)
			}
			if path, only := v.snapshot.graph.OnlyPath(t.group, leaf); only && n == len(q.Exclude)+q.Skip {
				return v.picked(t, leaf, path), nil
			}
			state.Set(leaf, true)
		}
		rng := v.draw(t, q.Seed, n)
		leaf, path, ok := state.Pick(t.group, &rng, nil)
		if !ok {
			return Pick{}, v.nothing(t)
		}
		if n == len(q.Exclude)+q.Skip {
			return v.picked(t, leaf, path), nil
		}
		excluded = append(excluded, leaf)
		state.Set(leaf, false)
	}
}

// firstBack is the deployment of a target whose cooldown ends first, of those that nothing else keeps out,
// and when it ends. The first of the file wins a tie.
func (v *View) firstBack(t Target, excluded []int32) (leaf int32, at time.Duration, ok bool) {
	leaf, at = none, math.MaxInt64
	v.snapshot.eachOpenLeaf(t, func(l int32) bool {
		end := v.calendar.End(l)
		if end > 0 && (end < at || end == at && l < leaf) && !slices.Contains(excluded, l) {
			leaf, at = l, end
		}
		return true
	})
	return leaf, at, leaf != none
}

// nothing is the error for a target of which nothing can be picked.
func (v *View) nothing(t Target) error {
	e := &NoneError{Model: t.Name, RetryAfter: v.snapshot.cooldown.Time}
	if t.group == none && t.leaf == none {
		return e
	}
	if _, at, ok := v.firstBack(t, nil); ok {
		e.RetryAfter = max(at-v.elapsed(), 0)
	}
	return e
}

// Others reports whether a target has a deployment that is not excluded and takes requests at all, cooling or not.
func (v *View) Others(t Target, exclude []string) bool {
	t = v.adopt(t)
	found := false
	if t.group == none && t.leaf == none {
		return false
	}
	v.snapshot.eachOpenLeaf(t, func(leaf int32) bool {
		found = !slices.Contains(exclude, v.snapshot.deployments[leaf].ID)
		return !found
	})
	return found
}

// eachOpenLeaf visits the leaves of a target to which a way leads on which every limit admits something,
// each at least once, until f returns false.
func (s *Snapshot) eachOpenLeaf(t Target, f func(leaf int32) bool) {
	open := func(leaf int32) bool { return s.graph.Closed(leaf) || f(leaf) }
	if t.group == none {
		open(t.leaf)
		return
	}
	if s.graph.Group(t.group).Closed {
		return
	}
	s.walkThrough(t.group, func(group int32, tier, member int) bool {
		m := s.graph.Group(group).Tiers[tier].Members[member]
		return !m.Closed && !s.graph.Group(m.To).Closed
	}, func(group int32) bool { return s.leavesIn(group, true, open) })
}
