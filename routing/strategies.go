package routing

import (
	"time"

	"github.com/nestor-gateway/nestor/ratelimit"
	"github.com/nestor-gateway/nestor/routing/config"
	"github.com/nestor-gateway/nestor/routing/share"
	"github.com/nestor-gateway/nestor/routing/strategy"
)

// tuning is what routing_strategy_args say, or LiteLLM's own values.
type tuning struct {
	strategy.Tuning
	// keep is how many answers of a deployment count.
	keep int
}

func newTuning(a *config.StrategyArgs) tuning {
	t := tuning{Tuning: strategy.Tuning{TTL: time.Hour}, keep: 10}
	if a.TTL != nil {
		t.TTL = *a.TTL
	}
	if a.LowestLatencyBuffer != nil {
		t.Buffer = *a.LowestLatencyBuffer
	}
	if a.MaxLatencyListSize != nil {
		t.keep = *a.MaxLatencyListSize
	}
	return t
}

// strategyOf is the strategy of a group when it is called, and its name: its own, else the router's.
func (s *Snapshot) strategyOf(group int32) (kind strategy.Kind, name string) {
	name = s.groups[group].Settings.Strategy
	if name == "" {
		name = s.cfg.Router.Strategy
	}
	kind, _ = strategy.Parse(name)
	return kind, name
}

// newChooser returns nil where shares decide everywhere.
func newChooser(v *View, shares *share.State) *strategy.Chooser {
	s := v.snapshot
	kinds := make([]strategy.Kind, len(s.groups))
	for i := range kinds {
		kinds[i], _ = s.strategyOf(int32(i))
	}
	return strategy.NewChooser(shares.Graph(), shares, kinds, s.tuning.Tuning, strategy.Facts{
		Now: v.elapsed, Used: v.used,
		Speed: func(leaf int32) *strategy.Speed { return v.router.speeds.Of(s.deployments[leaf].ID) },
		Price: func(leaf int32) float64 { return s.deployments[leaf].Price() },
	})
}

// divide computes how the requests for a group divide by its strategy while nothing is known of its deployments
// but their prices. equal says that it draws among equals, whatever their capacities.
func (s *Snapshot) divide(state *share.State, group int32) (f share.Flow, equal bool) {
	value := func(int32) float64 { return 0 }
	switch kind, _ := s.strategyOf(group); kind {
	case strategy.SimpleShuffle, strategy.Balanced:
		return state.Flow(group), false
	case strategy.CostBased:
		value = func(leaf int32) float64 { return s.deployments[leaf].Price() }
	}
	if !state.Live(group) {
		return share.Flow{}, true
	}
	return strategy.NewPools(s.graph, []int32{group}, state.MemberLive, value).Flow(group, 0), true
}

// nextFlow computes how the next requests for a group divide, in a state or in a fork of it.
func (v *View) nextFlow(state *share.State, group int32) share.Flow {
	chooser := v.sources.all.chooser
	if chooser == nil {
		return state.Flow(group)
	}
	return chooser.Flow(state, group, strategy.Request{})
}

// used is what the store says that a leaf has in flight and has used; nothing without one.
func (v *View) used(leaf int32) (inFlight, tokens int64) {
	if v.entities == nil {
		return 0, 0
	}
	u := v.usage(leaf).Used
	return u[ratelimit.Parallel], u[ratelimit.Tokens]
}

// draw chooses a leaf of the called group in a state, by the way of places that it appends to path. Every draw is one of these.
// The view is locked for reading.
func (p *picking) draw(state *share.State, path []share.Place) (leaf int32, passed []share.Place, ok bool) {
	if p.from.chooser == nil {
		return state.Pick(p.t.group, &p.rng, path)
	}
	leaf, path, promised, ok := p.from.chooser.Draw(state, p.t.group, p.request(), &p.rng, path)
	if promised {
		p.promised = append(p.promised, leaf)
	}
	return leaf, path, ok
}

func (p *picking) request() strategy.Request {
	return strategy.Request{Stream: p.q.Stream, Tokens: p.q.Hold.Amounts[ratelimit.Tokens]}
}

// keep ends what the draws have promised: the store counts it now, as the other choosers see then.
func (p *picking) keep() {
	if len(p.promised) == 0 {
		return
	}
	p.from.chooser.Keep(p.promised, p.request())
	p.v.sources.eachChooser(func(c *strategy.Chooser) {
		for _, leaf := range p.promised {
			if c != p.from.chooser {
				c.Look(leaf)
			}
		}
	})
}

// look lets the strategies see what has changed about a deployment. Older views see it when they go round.
func (r *Router) look(deployment string) {
	v := r.View()
	if leaf, ok := v.snapshot.byID[deployment]; ok {
		v.sources.eachChooser(func(c *strategy.Chooser) { c.Look(leaf) })
	}
}

// Observe takes the speed of an attempt into account. A deployment that the current snapshot no longer has is left out.
func (r *Router) Observe(s Sample) {
	v := r.View()
	if _, ok := v.snapshot.byID[s.Deployment]; !ok {
		return
	}
	sample := strategy.Sample{Failed: s.Failed, Whole: s.Whole, FirstToken: s.FirstToken, Completion: s.Completion}
	r.speeds.Of(s.Deployment).Observe(v.elapsed(), sample, v.snapshot.tuning.keep)
	r.look(s.Deployment)
}
