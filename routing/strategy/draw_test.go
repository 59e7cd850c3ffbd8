package strategy_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/nestor-gateway/nestor/routing/share"
	"github.com/nestor-gateway/nestor/routing/strategy"
)

// leavesFrom are members for n leaves.
func leavesFrom(first, n int) (members []share.Member) {
	for i := range n {
		members = append(members, share.Member{To: int32(first + i), Weight: 1})
	}
	return members
}

func pools(g *share.Graph, values []float64) *strategy.Pools {
	s := share.NewState(g, func(int32) bool { return true })
	return strategy.NewPools(g, []int32{0}, s.MemberLive, func(leaf int32) float64 { return values[leaf] })
}

// spread counts, by leaf, n draws from group 0.
func spread(p *strategy.Pools, n int, buffer float64) map[int32]int {
	rng := rand.NewPCG(1, 2)
	got := map[int32]int{}
	for range n {
		leaf, _, _ := p.Draw(0, buffer, rng, nil)
		got[leaf]++
	}
	return got
}

// Few of many are near the lowest, so that blind tries don't find them: leaf 5 of the group itself,
// leaf 700 that is reached in two ways, and a weighted group of three leaves.
func TestBufferSpreadsOverFewOfMany(t *testing.T) {
	sub := share.Group{Tiers: []share.Tier{{Members: leavesFrom(600, 200)}}}
	weighted := share.Group{Tiers: []share.Tier{{Weighted: true, Members: []share.Member{
		{To: 800, Weight: 8}, {To: 801, Weight: 1}, {To: 802, Weight: 1}}}}}
	top := append(leavesFrom(0, 600), share.Member{To: 1, Group: true}, share.Member{To: 1, Group: true}, share.Member{To: 2, Group: true})
	g := share.NewGraph([]share.Group{{Tiers: []share.Tier{{Members: top}}}, sub, weighted}, make([]bool, 803))
	values := make([]float64, 803)
	for i := range values {
		values[i] = 100
	}
	values[5], values[700] = 10, 11.5
	values[800], values[801], values[802] = 10, 20, 20 // 12 by weight

	got := spread(pools(g, values), 6000, 0.2)
	for leaf, want := range map[int32]float64{5: 1000, 700: 2000, 800: 2400, 801: 300, 802: 300} {
		if math.Abs(float64(got[leaf])-want) > 6*math.Sqrt(want) {
			t.Errorf("leaf %d: %d of 6000, want about %v", leaf, got[leaf], want)
		}
	}
	if len(got) != 5 {
		t.Errorf("%v: leaves that are not near were drawn", got)
	}
}

func TestBufferSpreadsOverFewOfManyLeaves(t *testing.T) {
	values := make([]float64, 1003)
	near := map[int32]bool{0: true, 17: true, 18: true, 500: true, 1002: true}
	for i := range values {
		values[i] = 100
		if near[int32(i)] {
			values[i] = 10
		}
	}
	got := spread(pools(crowd(len(values)), values), 5000, 0.1)
	for leaf := range near {
		if n := got[leaf]; n < 850 || n > 1150 {
			t.Errorf("leaf %d: %d of 5000, want about 1000", leaf, n)
		}
	}
	if len(got) != len(near) {
		t.Errorf("%v: leaves that are not near were drawn", got)
	}
}

// Each rung doubles the ways; numbers must stay finite and the draw must end.
func TestLadderOfSharedGroups(t *testing.T) {
	const rungs = 3000
	groups := make([]share.Group, rungs)
	for i := range groups {
		m := share.Member{To: int32(i + 1), Group: true}
		if i == rungs-1 {
			m = share.Member{}
		}
		groups[i].Tiers = []share.Tier{{Members: []share.Member{m, m}}}
	}
	g := share.NewGraph(groups, make([]bool, 1))
	for _, buffer := range []float64{0, 1} {
		p := pools(g, []float64{3})
		if leaf, path, ok := p.Draw(0, buffer, rand.NewPCG(1, 2), nil); !ok || leaf != 0 || len(path) != rungs {
			t.Errorf("buffer %v: leaf %d by %d places, %v", buffer, leaf, len(path), ok)
		}
	}
}

// crowd is a group of n leaves.
func crowd(n int) *share.Graph {
	return share.NewGraph([]share.Group{{Tiers: []share.Tier{{Members: leavesFrom(0, n)}}}}, make([]bool, n))
}

// A pick changes the value of what is picked, its end that of another.
func BenchmarkDrawOf10000(b *testing.B) {
	const n = 10_000
	for _, near := range []int{0, 1, 20, 100, 200, 500, 1000, 5000} {
		b.Run(fmt.Sprintf("near=%d", near), func(b *testing.B) {
			rng := rand.NewPCG(1, 2)
			values, buffer := make([]float64, n), 0.5
			for i := range values {
				values[i] = 10 + rand.New(rng).Float64()
				if i*7919%n < near { // scattered
					values[i] = 1 + rand.New(rng).Float64()/4
				}
			}
			if near == 0 {
				buffer = 0
			}
			p := pools(crowd(n), values)
			b.ReportAllocs()
			for b.Loop() {
				var room [4]share.Place
				leaf, _, _ := p.Draw(0, buffer, rng, room[:0])
				p.Update(leaf, values[leaf]+1e-9)
				p.Update(leaf/2, values[leaf/2])
			}
		})
	}
}

func BenchmarkBalanceOf10000(b *testing.B) {
	s := share.NewState(crowd(10_000), func(int32) bool { return true })
	rng := rand.NewPCG(1, 2)
	load := func(leaf int32) float64 { return float64(leaf) }
	b.ReportAllocs()
	for b.Loop() {
		var room [4]share.Place
		strategy.Balance(s, 0, load, rng, room[:0])
	}
}
