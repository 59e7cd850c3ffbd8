package strategy

import (
	"math/rand/v2"
	"sync"
	"time"

	"github.com/nestor-gateway/nestor/routing/share"
)

// Tuning is what can be set about the strategies.
type Tuning struct {
	// TTL is how long an answer's time counts.
	TTL time.Duration
	// Buffer is by which part of the lowest latency another one may exceed it.
	Buffer float64
}

// Facts are what is known of the leaves.
type Facts struct {
	// Now is the time since any fixed moment.
	Now func() time.Duration
	// Used is the requests in flight at a leaf, and the tokens that it has used of late.
	Used func(leaf int32) (inFlight, tokens int64)
	// Speed is the same at every call.
	Speed func(leaf int32) *Speed
	// Price never changes.
	Price func(leaf int32) float64
}

// metric is what a leaf is chosen by.
type metric uint8

const (
	inFlight metric = iota
	tokens
	answers // seconds for a token of an answer
	firsts  // seconds to the first token of a stream
	prices

	metrics = 5
)

// metricOf is what a strategy looks at that takes the lowest.
func metricOf(k Kind, stream bool) metric {
	switch {
	case k == UsageBased:
		return tokens
	case k == CostBased:
		return prices
	case k == LatencyBased && stream:
		return firsts
	case k == LatencyBased:
		return answers
	}
	return inFlight
}

// Chooser draws from groups by their strategies. It is safe for concurrent use, while nobody changes the state.
type Chooser struct {
	state  *share.State
	kinds  []Kind
	tuning Tuning
	facts  Facts
	speeds []*Speed // by leaf; nil where no strategy looks at them

	mu sync.Mutex
	// pools are by metric; nil where no strategy looks at it.
	pools [metrics]*Pools
	// promised is, by leaf, what has been drawn that Used does not know of yet.
	promised []promise
	rounds   rounds
}

type promise struct{ requests, tokens int64 }

// NewChooser returns nil where all kinds, which are by group, are SimpleShuffle. It watches the state from now on.
func NewChooser(g *share.Graph, s *share.State, kinds []Kind, t Tuning, f Facts) *Chooser {
	c := &Chooser{state: s, kinds: kinds, tuning: t, facts: f, promised: make([]promise, g.Leaves())}
	by, looks, times := [metrics][]int32{}, false, false
	for i, kind := range kinds {
		looks = looks || kind != SimpleShuffle
		times = times || kind == Balanced || kind == LatencyBased
		if kind == SimpleShuffle || kind == Balanced {
			continue
		}
		by[metricOf(kind, false)] = append(by[metricOf(kind, false)], int32(i))
		if kind == LatencyBased {
			by[firsts] = append(by[firsts], int32(i))
		}
	}
	if !looks {
		return nil
	}
	if times {
		for leaf := range c.promised {
			c.speeds = append(c.speeds, f.Speed(int32(leaf)))
		}
	}
	c.fill(g, by)
	s.Watch(c.flip)
	return c
}

// fill makes the pools of groups, by metric.
func (c *Chooser) fill(g *share.Graph, by [metrics][]int32) {
	now := c.facts.Now()
	for m, groups := range by {
		if len(groups) > 0 {
			c.pools[m] = NewPools(g, groups, c.state.MemberLive, func(leaf int32) float64 {
				return c.value(metric(m), leaf, c.used(leaf), now)
			})
		}
	}
	for leaf := range int32(len(c.promised)) {
		for m, p := range c.pools {
			if p != nil && metric(m) != prices && p.Has(leaf) {
				c.rounds.leaves = append(c.rounds.leaves, leaf)
				break
			}
		}
	}
	c.rounds.at = now
}

// flip follows the state.
func (c *Chooser) flip(at share.Place, live bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, p := range c.pools {
		if p != nil {
			p.SetLive(at.Group, int(at.Tier), int(at.Member), live)
		}
	}
}

// Request is what a draw is for.
type Request struct {
	Stream bool
	Tokens int64 // an estimate
}

// Draw chooses a leaf of a group in the state, or in a fork of it, by the way of places that it appends to path.
// promised says that the leaf counts from now on as having the request, so that of two draws at once
// the second sees the first; Keep ends that. ok is false when nothing is live.
func (c *Chooser) Draw(s *share.State, group int32, r Request, rng *rand.PCG, path []share.Place) (leaf int32, passed []share.Place, promised, ok bool) {
	switch c.kinds[group] {
	case SimpleShuffle:
		leaf, path, ok = s.Pick(group, rng, path)
		return leaf, path, false, ok
	case Balanced:
		leaf, path, ok = Balance(s, group, c.load(r), rng, path)
		return leaf, path, false, ok
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.catchUp(c.facts.Now())
	leaf, path, ok = c.lowest(s, group, r, rng, path)
	if ok {
		c.promise(leaf, 1, r.Tokens)
	}
	return leaf, path, ok, ok
}

// lowest draws from the pools, in which what a fork changes is changed for this draw. The lock must be held.
func (c *Chooser) lowest(s *share.State, group int32, r Request, rng *rand.PCG, path []share.Place) (leaf int32, passed []share.Place, ok bool) {
	p, buffer := c.poolsOf(c.kinds[group], r)
	if s != c.state {
		p.follow(s, s.Flipped())
		defer p.follow(c.state, s.Flipped())
	}
	return p.Draw(group, buffer, rng, path)
}

// follow takes over from a state whether some members are live.
func (p *Pools) follow(s *share.State, places []share.Place) {
	for _, at := range places {
		p.SetLive(at.Group, int(at.Tier), int(at.Member), s.MemberLive(at.Group, int(at.Tier), int(at.Member)))
	}
}

// Flow computes how the next requests for a group in the state, or in a fork of it, divide, all before any of them
// changes what is known; for Balanced by shares alone.
func (c *Chooser) Flow(s *share.State, group int32, r Request) share.Flow {
	kind := c.kinds[group]
	if kind == SimpleShuffle || kind == Balanced {
		return s.Flow(group)
	}
	if !s.Live(group) {
		return share.Flow{}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	p, buffer := c.poolsOf(kind, r)
	if s != c.state {
		p.follow(s, s.Flipped())
		defer p.follow(c.state, s.Flipped())
	}
	return p.Flow(group, buffer)
}

// poolsOf is what a strategy draws from.
func (c *Chooser) poolsOf(kind Kind, r Request) (p *Pools, buffer float64) {
	if kind == LatencyBased {
		buffer = c.tuning.Buffer
	}
	return c.pools[metricOf(kind, r.Stream)], buffer
}

// load is what the strategy balanced compares.
func (c *Chooser) load(r Request) Load {
	now := c.facts.Now()
	return func(leaf int32) float64 {
		inFlight, _ := c.facts.Used(leaf)
		return c.speeds[leaf].Load(now, inFlight, r.Stream)
	}
}

func (c *Chooser) promise(leaf int32, requests, tokens int64) {
	c.promised[leaf].requests += requests
	c.promised[leaf].tokens += tokens
	c.refresh(leaf, c.facts.Now())
}

// Keep ends that some leaves count as having a request: by now Used knows it, or it went nowhere.
func (c *Chooser) Keep(leaves []int32, r Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, leaf := range leaves {
		c.promise(leaf, -1, -r.Tokens)
	}
}

// Look takes into account what has changed about a leaf.
func (c *Chooser) Look(leaf int32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.refresh(leaf, c.facts.Now())
}

// refresh takes into account how a leaf stands. The lock must be held.
func (c *Chooser) refresh(leaf int32, now time.Duration) {
	if len(c.rounds.leaves) == 0 {
		return // nothing that changes is looked at
	}
	used := c.used(leaf)
	for m, p := range c.pools {
		if p != nil && metric(m) != prices && p.Has(leaf) {
			p.Update(leaf, c.value(metric(m), leaf, used, now))
		}
	}
}

// used is what a leaf has, promises included.
func (c *Chooser) used(leaf int32) promise {
	requests, tokens := c.facts.Used(leaf)
	return promise{requests + c.promised[leaf].requests, tokens + c.promised[leaf].tokens}
}

func (c *Chooser) value(m metric, leaf int32, used promise, now time.Duration) float64 {
	switch m {
	case tokens:
		return float64(used.tokens)
	case answers, firsts:
		return c.speeds[leaf].Latency(now, c.tuning.TTL, used.requests, m == firsts)
	case prices:
		return c.facts.Price(leaf)
	}
	return float64(used.requests)
}
