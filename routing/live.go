package routing

import (
	"github.com/nestor-gateway/nestor/routing/live"
	"github.com/nestor-gateway/nestor/routing/share"
)

// Live tells how a target stands, with the probabilities of the next request.
func (v *View) Live(t Target) live.Status {
	t = v.adopt(t)
	if t.group == none && t.leaf == none {
		return live.Status{Model: t.Name, Group: t.Group}
	}
	leaves, below := v.snapshot.leavesOf(t), map[int32]bool{}
	if t.group != none {
		v.snapshot.graph.Walk(t.group, share.AllWays{}, func(group int32) bool {
			below[group] = true
			return true
		})
	}
	s := v.lookAt(leaves, below, func(r *live.Reader, s *live.Status) {
		if t.group == none {
			r.Alone(&s.Deployments[0], t.leaf)
			return
		}
		state := v.bent(t)
		r.Forecast(s, t.group, leaves, below, state, v.nextFlow(state, t.group))
	})
	s.Model, s.Group = t.Name, t.Group
	return s
}

// LiveAll tells how all deployments stand, whatever leads to them.
func (v *View) LiveAll() live.Status {
	leaves, groups := make([]int32, len(v.snapshot.deployments)), map[int32]bool{}
	for i := range leaves {
		leaves[i] = int32(i)
	}
	for i := range v.snapshot.groups {
		groups[int32(i)] = true
	}
	return v.lookAt(leaves, groups, func(*live.Reader, *live.Status) {})
}

// lookAt reads what the state says of leaves and groups, and more, under one lock; then what the store says.
func (v *View) lookAt(leaves []int32, groups map[int32]bool, more func(r *live.Reader, s *live.Status)) live.Status {
	now := v.elapsed()
	v.recover(now)
	r := live.Reader{
		Deployments: v.snapshot.deployments, Groups: v.snapshot.groups, Graph: v.snapshot.graph, Gates: v.snapshot.gates,
		State: v.state, Now: now, Usage: v.usage,
		Speed: func(id string) (whole, first float64) { return v.router.speeds.Means(id, now, v.snapshot.tuning.TTL) },
	}
	v.mu.RLock()
	s := r.Status(leaves, groups)
	more(&r, &s)
	v.mu.RUnlock()
	r.Limits(&s, leaves)
	return s
}

// bent is the state, or where cooldown is all that is in the way, the state that a pick then makes of it.
func (v *View) bent(t Target) *share.State {
	if v.state.Shares.Live(t.group) {
		return v.state.Shares
	}
	state := v.state.Shares.Fork()
	if leaf, ok := v.firstBack(t, state, nil); ok {
		state.Set(leaf, true)
	}
	return state
}
