package routing

import (
	"encoding/json"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/nestor-gateway/nestor/ratelimit"
	"github.com/nestor-gateway/nestor/routing/config"
	"github.com/nestor-gateway/nestor/routing/share"
	"github.com/nestor-gateway/nestor/routing/strategy"
)

// tuning is what routing_strategy_args say, or LiteLLM's own values.
type tuning struct {
	ttl    time.Duration
	buffer float64
	keep   int
}

func newTuning(a *config.StrategyArgs) tuning {
	t := tuning{ttl: time.Hour, keep: 10}
	if a.TTL != nil {
		t.ttl = *a.TTL
	}
	if a.LowestLatencyBuffer != nil {
		t.buffer = *a.LowestLatencyBuffer
	}
	if a.MaxLatencyListSize != nil {
		t.keep = *a.MaxLatencyListSize
	}
	return t
}

// strategyOf is the strategy of a group when it is called, and its name: its own, else the router's.
func (s *Snapshot) strategyOf(group int32) (kind strategy.Kind, name string) {
	name = s.nodes[group].settings.Strategy
	if name == "" {
		name = s.cfg.Router.Strategy
	}
	kind, _ = strategy.Parse(name)
	return kind, name
}

// metric is what a deployment is chosen by.
type metric uint8

const (
	inFlight metric = iota
	tokens
	answers // seconds for a token of an answer
	firsts  // seconds to the first token of a stream
	price

	metrics = 5
)

// metricOf is what a strategy looks at that takes the lowest.
func metricOf(k strategy.Kind, stream bool) metric {
	switch {
	case k == strategy.UsageBased:
		return tokens
	case k == strategy.CostBased:
		return price
	case k == strategy.LatencyBased && stream:
		return firsts
	case k == strategy.LatencyBased:
		return answers
	}
	return inFlight
}

// strategies chooses where a called group has a strategy that looks at more than shares.
// It is safe for concurrent use, while the view is locked for reading.
type strategies struct {
	v      *View
	kinds  []strategy.Kind   // by group
	speeds []*strategy.Speed // by leaf; nil where no strategy looks at them

	mu sync.Mutex
	// pools are by metric; nil where no strategy looks at it.
	pools [metrics]*strategy.Pools
	// promised is, by leaf, what picks have drawn that the store does not know of yet.
	promised []ratelimit.Amounts
	sweep    sweep
}

// newStrategies returns nil where shares decide everywhere.
func newStrategies(v *View) *strategies {
	s := &strategies{v: v, kinds: make([]strategy.Kind, len(v.snapshot.nodes))}
	by, looks, times := [metrics][]int32{}, false, false
	for i := range s.kinds {
		group := int32(i)
		kind, _ := v.snapshot.strategyOf(group)
		s.kinds[i] = kind
		looks = looks || kind != strategy.SimpleShuffle
		times = times || kind == strategy.Balanced || kind == strategy.LatencyBased
		if kind != strategy.SimpleShuffle && kind != strategy.Balanced {
			for _, m := range []metric{metricOf(kind, false), metricOf(kind, true)} {
				by[m] = append(by[m], group)
			}
		}
	}
	if !looks {
		return nil
	}
	s.promised = make([]ratelimit.Amounts, len(v.snapshot.deployments))
	if times {
		for _, d := range v.snapshot.deployments {
			s.speeds = append(s.speeds, v.router.speeds.of(d.ID))
		}
	}
	s.fill(by)
	v.state.Watch(s.flip)
	return s
}

// fill makes the pools of groups, by metric.
func (s *strategies) fill(by [metrics][]int32) {
	now := s.v.elapsed()
	for m, groups := range by {
		if len(groups) > 0 {
			s.pools[m] = strategy.NewPools(s.v.snapshot.graph, groups, s.v.state.MemberLive,
				func(leaf int32) float64 { return s.value(metric(m), leaf, s.usage(leaf), now) })
		}
	}
	for leaf := range int32(len(s.promised)) {
		for m, p := range s.pools {
			if p != nil && metric(m) != price && p.Has(leaf) {
				s.sweep.leaves = append(s.sweep.leaves, leaf)
				break
			}
		}
	}
	s.sweep.at = now
}

// flip follows the state of the view.
func (s *strategies) flip(at share.Place, live bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.setLive(at, live)
}

func (s *strategies) setLive(at share.Place, live bool) {
	for _, p := range s.pools {
		if p != nil {
			p.SetLive(at.Group, int(at.Tier), int(at.Member), live)
		}
	}
}

// draw chooses a leaf of the called group. What it draws counts as in flight from now on, so that of two picks
// at once the second sees the first; keep ends that.
func (s *strategies) draw(state *share.State, p *picking, rng *rand.PCG, path []share.Place) (leaf int32, passed []share.Place, ok bool) {
	kind := s.kinds[p.t.group]
	switch kind {
	case strategy.SimpleShuffle:
		return state.Pick(p.t.group, rng, path)
	case strategy.Balanced:
		now := s.v.elapsed()
		return strategy.Balance(state, p.t.group, func(leaf int32) float64 { return s.load(leaf, now, p.q.Stream) }, rng, path)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.catchUp(s.v.elapsed())
	pools, buffer := s.pools[metricOf(kind, p.q.Stream)], 0.0
	if kind == strategy.LatencyBased {
		buffer = s.v.snapshot.tuning.buffer
	}
	if state != s.v.state {
		for _, at := range state.Flipped() {
			pools.SetLive(at.Group, int(at.Tier), int(at.Member), state.MemberLive(at.Group, int(at.Tier), int(at.Member)))
		}
		defer s.revert(pools, state)
	}
	if leaf, path, ok = pools.Draw(p.t.group, buffer, rng, path); ok {
		p.promised = append(p.promised, leaf)
		s.promise(leaf, p.q.Hold.Amounts[ratelimit.Tokens], 1)
	}
	return leaf, path, ok
}

// revert gives the pools back what a fork of the state changed.
func (s *strategies) revert(pools *strategy.Pools, fork *share.State) {
	for _, at := range fork.Flipped() {
		pools.SetLive(at.Group, int(at.Tier), int(at.Member), s.v.state.MemberLive(at.Group, int(at.Tier), int(at.Member)))
	}
}

func (s *strategies) promise(leaf int32, tokens, sign int64) {
	s.promised[leaf][ratelimit.Parallel] += sign
	s.promised[leaf][ratelimit.Tokens] += sign * tokens
	s.refresh(leaf, s.v.elapsed())
}

// keep ends what a pick has promised: by now the store holds it, or it is not wanted.
func (s *strategies) keep(p *picking) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, leaf := range p.promised {
		s.promise(leaf, p.q.Hold.Amounts[ratelimit.Tokens], -1)
	}
}

// look takes into account what has changed about a deployment.
func (s *strategies) look(id string) {
	if s == nil {
		return
	}
	leaf, ok := s.v.snapshot.byID[id]
	if !ok {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refresh(leaf, s.v.elapsed())
}

// refresh takes into account how a leaf stands. The lock must be held.
func (s *strategies) refresh(leaf int32, now time.Duration) {
	u := s.usage(leaf)
	for m, p := range s.pools {
		if p != nil && metric(m) != price && p.Has(leaf) {
			p.Update(leaf, s.value(metric(m), leaf, u, now))
		}
	}
}

// usage is what a leaf has used and holds, promises included. The lock must be held.
func (s *strategies) usage(leaf int32) ratelimit.Amounts {
	used := s.stored(leaf)
	for d := range used {
		used[d] += s.promised[leaf][d]
	}
	return used
}

// stored is what the store says that a leaf has used and holds; nothing without one.
func (s *strategies) stored(leaf int32) (used ratelimit.Amounts) {
	if s.v.entities != nil {
		used = s.v.router.limits.Usage(s.v.entities[leaf]).Used
	}
	return used
}

func (s *strategies) value(m metric, leaf int32, used ratelimit.Amounts, now time.Duration) float64 {
	switch m {
	case tokens:
		return float64(used[ratelimit.Tokens])
	case answers, firsts:
		return s.speeds[leaf].Latency(now, s.v.snapshot.tuning.ttl, used[ratelimit.Parallel], m == firsts)
	case price:
		return priceOf(s.v.snapshot.deployments[leaf])
	}
	return float64(used[ratelimit.Parallel])
}

// load is what the strategy balanced compares.
func (s *strategies) load(leaf int32, now time.Duration, stream bool) float64 {
	return s.speeds[leaf].Load(now, s.stored(leaf)[ratelimit.Parallel], stream)
}

// unpriced is the USD for a token where nobody says what it costs. LiteLLM's.
const unpriced = 5.0

// priceOf is the USD for a token in and one out: by litellm_params, else by model_info.
func priceOf(d *Deployment) float64 {
	var info struct {
		Input  *float64 `json:"input_cost_per_token"`
		Output *float64 `json:"output_cost_per_token"`
	}
	if (d.InputCost == nil || d.OutputCost == nil) && d.Info.All != nil {
		// What is no number is no price: model_info may hold anything.
		_ = json.Unmarshal(d.Info.All, &info)
	}
	return priced(d.InputCost, info.Input) + priced(d.OutputCost, info.Output)
}

func priced(choices ...*float64) float64 {
	for _, c := range choices {
		if c != nil && *c >= 0 {
			return *c
		}
	}
	return unpriced
}

const (
	// sweepTime is how long it takes at most until what time alone changes is seen, while picks are frequent:
	// tokens that left the window, times that are too old, reservations that ended by themselves.
	sweepTime = 200 * time.Millisecond
	// sweepMost is how many leaves one pick looks at for that.
	sweepMost = 16
)

// sweep goes round the leaves as time passes.
type sweep struct {
	leaves []int32
	next   int
	at     time.Duration
}

// due says how many leaves it is time to look at.
func (w *sweep) due(now time.Duration) int {
	each := sweepTime / time.Duration(max(len(w.leaves), 1))
	n := min(int((now-w.at)/max(each, 1)), len(w.leaves), sweepMost)
	if n > 0 {
		w.at = max(w.at+time.Duration(n)*each, now-sweepTime)
	}
	return n
}

// catchUp looks at the leaves whose turn it is. The lock must be held.
func (s *strategies) catchUp(now time.Duration) {
	for range s.sweep.due(now) {
		s.refresh(s.sweep.leaves[s.sweep.next], now)
		s.sweep.next = (s.sweep.next + 1) % len(s.sweep.leaves)
	}
}
