package strategy_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/nestor-gateway/nestor/routing/share"
	"github.com/nestor-gateway/nestor/routing/strategy"
)

// scene is a chooser over a random graph with what the test knows of it.
type scene struct {
	graph    *share.Graph
	state    *share.State
	chooser  *strategy.Chooser
	kind     strategy.Kind
	inFlight []int64
	tokens   []int64
	now      time.Duration
	out      map[int32]bool
	rng      *rand.PCG
}

func newScene(t *rapid.T) *scene {
	g, leaves := drawGraph(t)
	s := &scene{graph: g, state: live(g), out: map[int32]bool{}, inFlight: make([]int64, leaves), tokens: make([]int64, leaves)}
	s.kind = rapid.SampledFrom([]strategy.Kind{strategy.LeastBusy, strategy.UsageBased, strategy.CostBased}).Draw(t, "kind")
	s.rng = rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0)
	kinds := make([]strategy.Kind, len(g.BottomUp()))
	kinds[0] = s.kind
	s.chooser = strategy.NewChooser(g, s.state, kinds, strategy.Tuning{}, strategy.Facts{
		Now:   func() time.Duration { return s.now },
		Used:  func(leaf int32) (int64, int64) { return s.inFlight[leaf], s.tokens[leaf] },
		Price: price,
	})
	return s
}

func price(leaf int32) float64 { return float64(leaf % 3) }

// oracle knows what the chooser should: what is used, and what draws have promised.
func (s *scene) oracle(out map[int32]bool, promised map[int32]int64) *oracle {
	o := &oracle{graph: s.graph, live: func(leaf int32) bool { return !s.out[leaf] && !out[leaf] }}
	for leaf := range int32(len(s.inFlight)) {
		value := float64(s.inFlight[leaf] + promised[leaf])
		switch s.kind {
		case strategy.UsageBased:
			value = float64(s.tokens[leaf] + 5*promised[leaf])
		case strategy.CostBased:
			value = price(leaf)
		}
		o.values = append(o.values, value)
	}
	return o
}

// draws makes some draws with leaves out, and checks that each could be made by the definition.
func (s *scene) draws(t *rapid.T, state *share.State, out map[int32]bool) {
	promised, r := map[int32]int64{}, strategy.Request{Tokens: 5}
	for range rapid.IntRange(1, 4).Draw(t, "draws") {
		want := map[int32]float64{}
		o := s.oracle(out, promised)
		if members, _ := o.active(0); members != nil {
			o.spread(0, 1, want)
		}
		leaf, path, kept, ok := s.chooser.Draw(state, 0, r, s.rng, nil)
		if ok != (len(want) > 0) || ok && want[leaf] == 0 || kept != ok {
			t.Fatalf("drew %d, %v, promised %v; want one of %v", leaf, ok, kept, want)
		}
		if ok {
			checkPath(t, s.graph, path, leaf)
			promised[leaf]++
		}
	}
	for leaf, n := range promised {
		for range n {
			s.chooser.Keep([]int32{leaf}, r)
		}
	}
}

func TestChooserFollowsStateForksAndFacts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := newScene(t)
		leaf := rapid.Int32Range(0, int32(len(s.inFlight)-1))
		t.Repeat(map[string]func(*rapid.T){
			"cool": func(t *rapid.T) {
				l := leaf.Draw(t, "leaf")
				s.out[l] = !s.out[l]
				s.state.Set(l, !s.out[l])
			},
			"look": func(t *rapid.T) {
				l := leaf.Draw(t, "leaf")
				s.inFlight[l], s.tokens[l] = rapid.Int64Range(0, 3).Draw(t, "in flight"), rapid.Int64Range(0, 20).Draw(t, "tokens")
				s.chooser.Look(l)
			},
			"time": func(t *rapid.T) {
				l := leaf.Draw(t, "leaf")
				s.inFlight[l], s.tokens[l] = 0, 0
				s.now += time.Second // the next draw goes round all of so few
			},
			"draw": func(t *rapid.T) { s.draws(t, s.state, nil) },
			"fork": func(t *rapid.T) {
				fork, out := s.state.Fork(), map[int32]bool{}
				for range rapid.IntRange(1, 3).Draw(t, "out") {
					l := leaf.Draw(t, "leaf")
					out[l] = true
					fork.Set(l, false)
				}
				s.draws(t, fork, out)
			},
		})
	})
}

func TestRoundsSeeAllInTime(t *testing.T) {
	const n = 1000
	s := &scene{graph: crowd(n), inFlight: make([]int64, n)}
	s.state = live(s.graph)
	looked := map[int32]bool{}
	c := strategy.NewChooser(s.graph, s.state, []strategy.Kind{strategy.LeastBusy}, strategy.Tuning{}, strategy.Facts{
		Now: func() time.Duration { return s.now },
		Used: func(leaf int32) (int64, int64) {
			looked[leaf] = true
			return 0, 0
		},
	})
	clear(looked)
	rng := rand.NewPCG(1, 2)
	for range 200 {
		s.now += time.Millisecond
		c.Draw(s.state, 0, strategy.Request{}, rng, nil)
	}
	if len(looked) < n*9/10 {
		t.Errorf("%d of %d looked at in 200 ms", len(looked), n)
	}
}

func TestNoChooserWhereSharesDecide(t *testing.T) {
	if c := strategy.NewChooser(crowd(3), live(crowd(3)), []strategy.Kind{strategy.SimpleShuffle}, strategy.Tuning{}, strategy.Facts{}); c != nil {
		t.Error("a chooser for simple-shuffle")
	}
}
