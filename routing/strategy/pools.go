package strategy

import (
	"math"

	"github.com/nestor-gateway/nestor/routing/share"
)

// Pools finds the leaves with the lowest value in every pool of some groups. A change is noted where it happens and
// carried up when a group is drawn from: what nobody calls costs nothing. It is not safe for concurrent use.
type Pools struct {
	graph  *share.Graph
	groups []*pool // by group; nil where nothing is drawn
	values []float64
	leaves places // by leaf
	inside places // by group

	scratch []int32
}

// Value is by leaf; the lowest is drawn. It must be finite.
type Value func(leaf int32) float64

// Live reports whether a member of a tier has anything to give; share.State.MemberLive is one.
type Live func(group int32, tier, member int) bool

// NewPools returns the pools of groups, and of all that they are made of.
func NewPools(g *share.Graph, groups []int32, live Live, value Value) *Pools {
	p := &Pools{graph: g, groups: make([]*pool, len(g.BottomUp()))}
	for _, group := range groups {
		p.add(group, live)
	}
	p.leaves, p.inside = p.placesOf(false), p.placesOf(true)
	p.values = make([]float64, len(p.leaves.first)-1)
	for leaf := range p.values {
		if len(p.leaves.of(int32(leaf))) > 0 {
			p.values[leaf] = value(int32(leaf))
		}
	}
	return p
}

// Has reports whether a leaf is in any of the pools.
func (p *Pools) Has(leaf int32) bool {
	return int(leaf) < len(p.values) && len(p.leaves.of(leaf)) > 0
}

// Update gives a leaf another value.
func (p *Pools) Update(leaf int32, value float64) {
	if !p.Has(leaf) || p.values[leaf] == value {
		return
	}
	p.values[leaf] = value
	for _, at := range p.leaves.of(leaf) {
		p.mark(at)
	}
}

// SetLive says whether a member of a tier has anything to give.
func (p *Pools) SetLive(group int32, tier, member int, live bool) {
	g := p.groups[group]
	if g == nil || g.tiers[tier].up[member] == live {
		return
	}
	t := &g.tiers[tier]
	t.up[member] = live
	if live {
		t.live++
	} else {
		t.live--
	}
	p.mark(share.Place{Group: group, Tier: int32(tier), Member: int32(member)})
}

// places lists where leaves, or groups, are members.
type places struct {
	first []int32
	all   []share.Place
}

func (p *places) of(i int32) []share.Place {
	if int(i)+1 >= len(p.first) {
		return nil
	}
	return p.all[p.first[i]:p.first[i+1]]
}

// pool is what is kept of a group.
type pool struct {
	tiers []tier
	// value is that of the active tier, unless stale.
	value entry
	stale bool
}

type tier struct {
	shape *share.Tier
	// group and number say where it is.
	group, number int32
	// low summarizes the members of an unweighted tier, mean those of a weighted one; the other is nil.
	low  *tree[entry]
	mean *tree[weighed]
	// flat says that all members are leaves.
	flat bool
	up   []bool
	live int
	// changed are the members that the trees don't know yet; waiting says which they are.
	changed []int32
	waiting []bool
}

// entry is what is known of one member, or of all below a summary.
type entry struct {
	// low is the lowest value.
	low float64
	// ties is how many leaves have it, and all how many there are; 0 is none. A leaf that is reached
	// in two ways counts twice, and a weighted group as many as it has.
	ties, all float64
}

// ceiling keeps numbers finite on ladders of shared groups, where leaves double at every rung.
const ceiling = 1e300

func lowest(under []entry) entry {
	best := entry{low: math.Inf(1)}
	for i := range under {
		e := &under[i]
		if e.all == 0 {
			continue
		}
		best.all += e.all
		switch {
		case e.low < best.low:
			best.low, best.ties = e.low, e.ties
		case e.low == best.low:
			best.ties += e.ties
		}
	}
	best.ties, best.all = min(best.ties, ceiling), min(best.all, ceiling)
	return best
}

// weighed is what is known of one member of a weighted tier, or the sums over some.
type weighed struct {
	// weight is 0 where none of the live ones has any.
	weight, product, all float64
	low                  entry // of a member alone
}

func weigh(under []weighed) weighed {
	var sum weighed
	for i := range under {
		w := &under[i]
		sum.weight += w.weight
		sum.product += w.product
		sum.all += w.all
	}
	sum.all = min(sum.all, ceiling)
	return sum
}

// add makes the pool of a group and of all below it, in a state that knows nothing of any member.
func (p *Pools) add(group int32, live Live) {
	todo := []int32{group}
	for len(todo) > 0 {
		group, todo = todo[len(todo)-1], todo[:len(todo)-1]
		if p.groups[group] != nil {
			continue
		}
		shape := p.graph.Group(group)
		g := &pool{tiers: make([]tier, len(shape.Tiers)), stale: true}
		p.groups[group] = g
		for i := range g.tiers {
			g.tiers[i] = newTier(&shape.Tiers[i], func(k int) bool { return live(group, i, k) })
			g.tiers[i].group, g.tiers[i].number = group, int32(i)
			for k := range shape.Tiers[i].Members {
				if m := &shape.Tiers[i].Members[k]; m.Group {
					todo = append(todo, m.To)
				}
			}
		}
	}
}

func newTier(shape *share.Tier, live func(member int) bool) tier {
	n := len(shape.Members)
	t := tier{shape: shape, flat: true, up: make([]bool, n), waiting: make([]bool, n), changed: make([]int32, n)}
	for k := range n {
		t.changed[k], t.waiting[k] = int32(k), true
		t.flat = t.flat && !shape.Members[k].Group
		if t.up[k] = live(k); t.up[k] {
			t.live++
		}
	}
	if shape.Weighted {
		t.mean = newTree(n, weigh)
	} else {
		t.low = newTree(n, lowest)
	}
	return t
}

// placesOf finds where leaves, or groups, are members in the pools.
func (p *Pools) placesOf(groups bool) places {
	var counts []int32
	p.each(groups, func(to int32, _ share.Place) {
		for int(to)+1 >= len(counts) {
			counts = append(counts, 0)
		}
		counts[to+1]++
	})
	for i := 1; i < len(counts); i++ {
		counts[i] += counts[i-1]
	}
	found := places{first: counts}
	if len(counts) == 0 {
		found.first = []int32{0}
		return found
	}
	found.all = make([]share.Place, counts[len(counts)-1])
	next := append([]int32(nil), counts...)
	p.each(groups, func(to int32, at share.Place) {
		found.all[next[to]] = at
		next[to]++
	})
	return found
}

func (p *Pools) each(groups bool, f func(to int32, at share.Place)) {
	for i, g := range p.groups {
		if g == nil {
			continue
		}
		for j := range g.tiers {
			for k, m := range g.tiers[j].shape.Members {
				if m.Group == groups {
					f(m.To, share.Place{Group: int32(i), Tier: int32(j), Member: int32(k)})
				}
			}
		}
	}
}
