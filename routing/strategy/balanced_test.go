package strategy_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"

	"github.com/nestor-gateway/nestor/routing/share"
	"github.com/nestor-gateway/nestor/routing/strategy"
)

func live(g *share.Graph) *share.State {
	return share.NewState(g, func(int32) bool { return true })
}

func balance(t *testing.T, s *share.State, n int, load strategy.Load) map[int32]int {
	t.Helper()
	rng := rand.NewPCG(3, 4)
	got := map[int32]int{}
	for range n {
		leaf, _, ok := strategy.Balance(s, 0, load, rng, nil)
		if !ok {
			t.Fatal("nothing is live")
		}
		got[leaf]++
	}
	return got
}

func TestBalanceAvoidsTheLoaded(t *testing.T) {
	s := live(crowd(5))
	got := balance(t, s, 2000, func(leaf int32) float64 {
		if leaf == 4 {
			return 10
		}
		return 1
	})
	// With four redraws the loaded one stands alone once in 5^5 draws.
	if got[4] > 10 {
		t.Errorf("%v: the loaded one gets %d", got, got[4])
	}
}

// Loads that follow the picks end up in proportion to the shares.
func TestBalanceFillsByShare(t *testing.T) {
	members := leavesFrom(0, 3)
	for i, rpm := range []float64{30, 5, 5} {
		members[i].Limit[share.RPM] = rpm
	}
	s := live(share.NewGraph([]share.Group{{Tiers: []share.Tier{{Members: members}}}}, make([]bool, 3)))
	held := map[int32]float64{}
	rng := rand.NewPCG(3, 4)
	for range 4000 {
		leaf, _, _ := strategy.Balance(s, 0, func(leaf int32) float64 { return held[leaf] + 1 }, rng, nil)
		held[leaf]++
	}
	for leaf, want := range map[int32]float64{0: 3000, 1: 500, 2: 500} {
		if math.Abs(held[leaf]-want) > 20 {
			t.Errorf("%v, want 3000, 500, 500", held)
		}
	}
}

// What is loaded inside a weighted group changes how much the group gets, and never how it divides that.
func TestBalanceKeepsWeights(t *testing.T) {
	weighted := []share.Member{{To: 0, Weight: 9}, {To: 1, Weight: 1}}
	top := append(leavesFrom(2, 2), share.Member{To: 1, Group: true})
	s := live(share.NewGraph([]share.Group{
		{Tiers: []share.Tier{{Members: top}}}, {Tiers: []share.Tier{{Weighted: true, Members: weighted}}},
	}, make([]bool, 4)))
	light := balance(t, s, 20_000, func(leaf int32) float64 { return 1 })
	loaded := balance(t, s, 20_000, func(leaf int32) float64 { return []float64{20, 0.1, 1, 1}[leaf] })
	if of := func(m map[int32]int) int { return m[0] + m[1] }; of(loaded) > of(light)*2/3 {
		t.Errorf("the group gets %d when it is loaded, %d when not", of(loaded), of(light))
	}
	for _, got := range []map[int32]int{light, loaded} {
		n := float64(got[0] + got[1])
		if math.Abs(float64(got[0])-0.9*n) > 6*math.Sqrt(n*0.09) {
			t.Errorf("%v: not nine to one", got)
		}
	}
}

// Draw step by step is Pick.
func TestDrawsAddUpToPick(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g, leaves := drawGraph(t)
		s := share.NewState(g, func(leaf int32) bool { return leaf%3 != 1 })
		if !s.Live(0) {
			t.Skip("nothing is live")
		}
		const n = 400
		want, got := s.Flow(0).Leaves, make([]int, leaves)
		rng := rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0)
		for range n {
			m, p, path := s.Draw(0, rng, nil)
			for m.Group {
				var part float64
				m, part, path = s.Draw(m.To, rng, path)
				p *= part
			}
			if checkPath(t, g, path, m.To); p <= 0 || p > 1+1e-9 {
				t.Fatalf("drawn with probability %v", p)
			}
			got[m.To]++
		}
		for leaf, count := range got {
			p := want[int32(leaf)]
			if math.Abs(float64(count)-n*p) > 6*math.Sqrt(n*p*(1-p))+1e-9 {
				t.Fatalf("leaf %d: %d of %d, want %v", leaf, count, n, want)
			}
		}
	})
}
