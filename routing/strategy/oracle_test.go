package strategy_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/nestor-gateway/nestor/routing/share"
	"github.com/nestor-gateway/nestor/routing/strategy"
)

// oracle follows the definition of pools word by word, slowly: it walks every path.
type oracle struct {
	graph  *share.Graph
	live   func(leaf int32) bool
	values []float64
	buffer float64
}

// item is an entry of a pool: a leaf, or a weighted group.
type item struct {
	to    int32
	group bool
	value float64
	count float64
}

func (o *oracle) gives(m share.Member) bool {
	if m.Closed {
		return false
	}
	if !m.Group {
		return o.live(m.To) && !o.graph.Closed(m.To)
	}
	members, _ := o.active(m.To)
	return !o.graph.Group(m.To).Closed && members != nil
}

func (o *oracle) active(group int32) (live []share.Member, weighted bool) {
	for _, t := range o.graph.Group(group).Tiers {
		for _, m := range t.Members {
			if o.gives(m) {
				live = append(live, m)
			}
		}
		if live != nil {
			return live, t.Weighted
		}
	}
	return nil, false
}

func (o *oracle) item(m share.Member) []item {
	if !m.Group {
		return []item{{m.To, false, o.values[m.To], 1}}
	}
	members, weighted := o.active(m.To)
	if !weighted {
		return o.pool(members)
	}
	return []item{{m.To, true, o.mean(members), o.count(members)}}
}

func (o *oracle) pool(members []share.Member) (all []item) {
	for _, m := range members {
		all = append(all, o.item(m)...)
	}
	return all
}

func (o *oracle) count(members []share.Member) (n float64) {
	for _, i := range o.pool(members) {
		n += i.count
	}
	return n
}

func least(items []item) float64 {
	low := math.Inf(1)
	for _, i := range items {
		low = min(low, i.value)
	}
	return low
}

// mean is that of a weighted tier; without any weight its lowest value.
func (o *oracle) mean(members []share.Member) float64 {
	sum, weights := 0.0, 0.0
	for _, m := range members {
		sum += m.Weight * least(o.item(m))
		weights += m.Weight
	}
	if weights == 0 {
		return least(o.pool(members))
	}
	return sum / weights
}

// spread adds to the probabilities of leaves what a group with a probability gives them.
func (o *oracle) spread(group int32, p float64, to map[int32]float64) {
	members, weighted := o.active(group)
	weights := 0.0
	for _, m := range members {
		weights += m.Weight
	}
	if weighted && weights > 0 {
		for _, m := range members {
			o.give(m.To, m.Group, p*m.Weight/weights, to)
		}
		return
	}
	o.lowest(members, weighted, p, to)
}

// lowest draws from a pool.
func (o *oracle) lowest(members []share.Member, apart bool, p float64, to map[int32]float64) {
	var items []item
	if apart { // of a weighted tier each member is an entry
		for _, m := range members {
			items = append(items, item{m.To, m.Group, least(o.item(m)), o.count([]share.Member{m})})
		}
	} else {
		items = o.pool(members)
	}
	most, sum := least(items)*(1+o.buffer), 0.0
	for _, i := range items {
		if i.value <= most {
			sum += i.count
		}
	}
	for _, i := range items {
		if i.value <= most {
			o.give(i.to, i.group, p*i.count/sum, to)
		}
	}
}

func (o *oracle) give(to int32, group bool, p float64, leaves map[int32]float64) {
	switch {
	case p == 0:
	case group:
		o.spread(to, p, leaves)
	default:
		leaves[to] += p
	}
}

func drawGraph(t *rapid.T) (*share.Graph, int) {
	leaves := rapid.IntRange(1, 12).Draw(t, "leaves")
	groups := make([]share.Group, rapid.IntRange(1, 5).Draw(t, "groups"))
	for g := range groups {
		for range rapid.IntRange(1, 2).Draw(t, "tiers") {
			tier := share.Tier{Weighted: rapid.IntRange(0, 2).Draw(t, "weighted") == 0}
			for range rapid.IntRange(1, 6).Draw(t, "members") {
				m := share.Member{To: int32(rapid.IntRange(0, leaves-1).Draw(t, "leaf"))}
				m.Weight = rapid.SampledFrom([]float64{0, 1, 3}).Draw(t, "weight")
				m.Closed = rapid.IntRange(0, 9).Draw(t, "closed") == 0
				if g+1 < len(groups) && rapid.IntRange(0, 2).Draw(t, "kind") == 0 {
					m.To, m.Group = int32(rapid.IntRange(g+1, len(groups)-1).Draw(t, "group")), true
				}
				tier.Members = append(tier.Members, m)
			}
			groups[g].Tiers = append(groups[g].Tiers, tier)
		}
	}
	return share.NewGraph(groups, make([]bool, leaves)), leaves
}

func sync(p *strategy.Pools, s *share.State, g *share.Graph) {
	for _, group := range g.BottomUp() {
		for i, tier := range g.Group(group).Tiers {
			for k := range tier.Members {
				p.SetLive(group, i, k, s.MemberLive(group, i, k))
			}
		}
	}
}

func TestDrawsAsTheDefinitionSays(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g, leaves := drawGraph(t)
		out := map[int32]bool{}
		value := rapid.SampledFrom([]float64{0, 1, 2, 2.5, 4})
		o := oracle{graph: g, live: func(leaf int32) bool { return !out[leaf] }, values: make([]float64, leaves)}
		o.buffer = rapid.SampledFrom([]float64{0, 0, 0.3, 1}).Draw(t, "buffer")
		for i := range o.values {
			o.values[i] = value.Draw(t, "value")
		}
		s := share.NewState(g, func(leaf int32) bool { return !out[leaf] })
		p := strategy.NewPools(g, []int32{0}, s.MemberLive, func(leaf int32) float64 { return o.values[leaf] })
		rng := rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0)
		for range rapid.IntRange(1, 6).Draw(t, "rounds") {
			compare(t, &o, p, rng)
			for range rapid.IntRange(1, 4).Draw(t, "changes") {
				leaf := int32(rapid.IntRange(0, leaves-1).Draw(t, "leaf"))
				o.values[leaf] = value.Draw(t, "value")
				p.Update(leaf, o.values[leaf])
				if rapid.Bool().Draw(t, "flip") {
					out[leaf] = !out[leaf]
				}
			}
			sync(p, share.NewState(g, func(leaf int32) bool { return !out[leaf] }), g)
		}
	})
}

func compare(t *rapid.T, o *oracle, p *strategy.Pools, rng *rand.PCG) {
	want := map[int32]float64{}
	if members, _ := o.active(0); members != nil {
		o.spread(0, 1, want)
	}
	flow := p.Flow(0, o.buffer)
	if diff := cmp.Diff(want, flow.Leaves, cmpopts.EquateApprox(0, 1e-9), cmpopts.EquateEmpty()); diff != "" {
		t.Fatal("the flow: ", diff)
	}
	if sum := total(flow.Members[0]); len(want) > 0 && math.Abs(sum-1) > 1e-9 {
		t.Fatalf("the members of the called group get %v", sum)
	}
	const draws = 400
	got := map[int32]int{}
	for range draws {
		leaf, path, ok := p.Draw(0, o.buffer, rng, nil)
		if ok != (len(want) > 0) {
			t.Fatalf("ok is %v, want %v", ok, want)
		}
		if !ok {
			return
		}
		checkPath(t, o.graph, path, leaf)
		got[leaf]++
	}
	for leaf := range int32(len(o.values)) {
		expected := want[leaf] * draws
		// Six standard deviations of what comes out of so many draws.
		if math.Abs(float64(got[leaf])-expected) > 6*math.Sqrt(expected*(1-want[leaf]))+1e-9 {
			t.Fatalf("leaf %d: %d of %d, want %v", leaf, got[leaf], draws, want)
		}
	}
}

func total(numbers []float64) (sum float64) {
	for _, n := range numbers {
		sum += n
	}
	return sum
}

func checkPath(t *rapid.T, g *share.Graph, path []share.Place, leaf int32) {
	at := int32(0)
	for i, p := range path {
		m := g.Group(p.Group).Tiers[p.Tier].Members[p.Member]
		if p.Group != at || m.Group != (i < len(path)-1) {
			t.Fatalf("no path: %v", path)
		}
		at = m.To
	}
	if at != leaf {
		t.Fatalf("%v leads to %d, not %d", path, at, leaf)
	}
}
