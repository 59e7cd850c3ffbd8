package strategy

import (
	"math"

	"github.com/nestor-gateway/nestor/routing/share"
)

// mark notes that a member changed, and so does every group above it: each once, until it is drawn from.
func (p *Pools) mark(at share.Place) {
	g := p.groups[at.Group]
	t := &g.tiers[at.Tier]
	if t.waiting[at.Member] {
		return
	}
	t.waiting[at.Member] = true
	t.changed = append(t.changed, at.Member)
	if g.stale {
		return
	}
	g.stale = true
	for _, above := range p.inside.of(at.Group) {
		p.mark(above)
	}
}

// refresh takes into account what changed below a group, and returns its value.
func (p *Pools) refresh(group int32) entry {
	g := p.groups[group]
	if !g.stale {
		return g.value
	}
	for i := range g.tiers {
		p.refreshTier(&g.tiers[i])
	}
	g.stale, g.value = false, entry{}
	if t := g.active(); t != nil {
		g.value = t.value()
	}
	return g.value
}

// active is the first tier with a live member.
func (g *pool) active() *tier {
	for i := range g.tiers {
		if g.tiers[i].live > 0 {
			return &g.tiers[i]
		}
	}
	return nil
}

func (p *Pools) refreshTier(t *tier) {
	if len(t.changed) == 0 {
		return
	}
	// From some number on it costs less to make all summaries anew than those above each.
	anew := len(t.changed) > 1 && len(t.changed) >= len(t.up)/4
	for _, k := range t.changed {
		t.waiting[k] = false
		t.put(k, p.member(t, k), anew)
	}
	t.changed = t.changed[:0]
	switch {
	case !anew:
	case t.mean != nil:
		t.mean.fill()
	default:
		t.low.fill()
	}
}

// member is what is known of a member.
func (p *Pools) member(t *tier, k int32) entry {
	m := &t.shape.Members[k]
	switch {
	case !t.up[k]:
		return entry{}
	case m.Group:
		return p.refresh(m.To)
	}
	return entry{low: p.values[m.To], ties: 1, all: 1}
}

func (t *tier) put(k int32, e entry, later bool) {
	if t.mean != nil {
		w := weighed{low: e, all: e.all}
		if e.all > 0 {
			w.weight = t.shape.Members[k].Weight
			w.product = w.weight * e.low
		}
		put(t.mean, k, w, later)
		return
	}
	put(t.low, k, e, later)
}

func put[T any](t *tree[T], k int32, item T, later bool) {
	if later {
		t.items()[k] = item
		return
	}
	t.set(k, item)
}

// value is a tier as one member of another one.
func (t *tier) value() entry {
	if t.mean == nil {
		return t.low.root()
	}
	sum := t.mean.root()
	e := entry{ties: sum.all, all: sum.all}
	if sum.weight > 0 {
		e.low = sum.product / sum.weight
		return e
	}
	e.low = math.Inf(1)
	items := t.mean.items()
	for i := range items {
		if items[i].all > 0 {
			e.low = min(e.low, items[i].low.low)
		}
	}
	return e
}
