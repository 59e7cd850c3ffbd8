package routing

import (
	"github.com/nestor-gateway/nestor/ratelimit"
	"github.com/nestor-gateway/nestor/routing/live"
	"github.com/nestor-gateway/nestor/routing/share"
)

// Live tells how a target stands, with the probabilities of the next request.
func (v *View) Live(t Target) live.Status {
	t = v.adopt(t)
	if t.group == none && t.leaf == none {
		return live.Status{Model: t.Name, Group: t.Group}
	}
	leaves, below := v.below(t)
	s := v.lookAt(leaves, below, func(r *live.Reader, s *live.Status) {
		if t.group == none {
			r.Alone(&s.Deployments[0], t.leaf)
			return
		}
		state := v.bent(t, r)
		r.Forecast(s, t.group, leaves, below, state, v.nextFlow(state, t.group))
	})
	s.Model, s.Group = t.Name, t.Group
	return s
}

// below is the leaves of a target, and the groups on the ways to them.
func (v *View) below(t Target) (leaves []int32, groups map[int32]bool) {
	groups = map[int32]bool{}
	if t.group != none {
		v.snapshot.graph.Walk(t.group, share.AllWays{}, func(group int32) bool {
			groups[group] = true
			return true
		})
	}
	return v.snapshot.leavesOf(t), groups
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

// lookAt reads what the store says, then under one lock what the state says of leaves and groups, and more.
func (v *View) lookAt(leaves []int32, groups map[int32]bool, more func(r *live.Reader, s *live.Status)) live.Status {
	now := v.elapsed()
	v.recover(now)
	r := live.Reader{
		Deployments: v.snapshot.deployments, Groups: v.snapshot.groups, Graph: v.snapshot.graph, Gates: v.snapshot.gates,
		State: v.state, Now: now, Usage: v.usages(leaves, groups),
		Speed: func(id string) (whole, first float64) { return v.router.speeds.Means(id, now, v.snapshot.tuning.TTL) },
	}
	v.mu.RLock()
	defer v.mu.RUnlock()
	s := r.Status(leaves, groups)
	more(&r, &s)
	return s
}

// usages is what the store says of leaves, and of all that is limited in groups, by gate.
func (v *View) usages(leaves []int32, groups map[int32]bool) map[int32]ratelimit.Usage {
	all := make(map[int32]ratelimit.Usage, len(leaves))
	for _, leaf := range leaves {
		all[leaf] = v.usage(leaf)
	}
	live.EachWay(v.snapshot.gates, groups, func(gate int32) { all[gate] = v.usage(gate) })
	return all
}

// bent is the state that the next pick makes of the view's: without what its limits will deny, and where cooldown is
// all that is in the way, with the one that comes back first.
func (v *View) bent(t Target, r *live.Reader) *share.State {
	state, out := v.state.Shares.Fork(), []int32(nil)
	r.EachStopped(func(gate int32) {
		v.snapshot.gates.Put(state, gate, false)
		if v.snapshot.gates.IsLeaf(gate) {
			out = append(out, gate)
		}
	})
	if !state.Live(t.group) {
		if leaf, ok := v.firstBack(t, state, out); ok {
			state.Set(leaf, true)
		}
	}
	return state
}
