package strategy

import (
	"math/rand/v2"

	"github.com/nestor-gateway/nestor/routing/share"
)

// Draw chooses the leaf with the lowest value of a group's pool: among equal ones each as often as the others,
// and, with a buffer, among all whose value exceeds the lowest by no more than that part of it.
// It appends the members chosen on the way to path, the leaf last. ok is false when nothing is live.
func (p *Pools) Draw(group int32, buffer float64, rng *rand.PCG, path []share.Place) (leaf int32, passed []share.Place, ok bool) {
	p.refresh(group)
	if p.groups[group].active() == nil {
		return 0, path, false
	}
	d := drawing{Pools: p, rng: rng, buffer: buffer, path: path, pool: true}
	for {
		m := d.next(group)
		if !m.Group {
			return m.To, d.path, true
		}
		group = m.To
	}
}

// within is the highest value that a buffer admits.
func within(low, buffer float64) float64 { return low + max(low*buffer, 0) }

// drawing is a Draw under way.
type drawing struct {
	*Pools
	rng    *rand.PCG
	buffer float64
	path   []share.Place
	// pool says that another pool begins; most is then the highest value of it that may be drawn.
	pool bool
	most float64
	near map[int32]float64 // see within.go
}

// next draws a member of a group, or of one further down.
func (d *drawing) next(group int32) *share.Member {
	t := d.groups[group].active()
	if t.mean != nil {
		d.pool = true
		return d.pass(t, d.weighted(t.mean))
	}
	if d.pool {
		d.pool, d.most, d.near = false, within(d.refresh(group).low, d.buffer), nil
		if m := d.try(group); m != nil {
			return m
		}
	}
	if d.buffer > 0 {
		return d.pass(t, d.nearMember(t))
	}
	return d.pass(t, d.lowest(t.low))
}

// pass notes that a member was chosen.
func (d *drawing) pass(t *tier, k int32) *share.Member {
	d.path = append(d.path, share.Place{Group: t.group, Tier: t.number, Member: k})
	return &t.shape.Members[k]
}

// uniform is in [0, of).
func (d *drawing) uniform(of float64) float64 { return float64(d.rng.Uint64()>>11) / (1 << 53) * of }

// walk finds the number at which the running sum passes what is left of a draw.
type walk struct {
	left float64
	last int
}

// next takes the next number, and reports whether it is the one. The last positive one is, whatever rounding does.
func (w *walk) next(i int, number float64) bool {
	if number <= 0 {
		return false
	}
	w.last = i
	if w.left < number {
		return true
	}
	w.left -= number
	return false
}

func (d *drawing) weighted(t *tree[weighed]) int32 {
	sum := t.root().weight
	if sum <= 0 {
		return d.unweighed(t.items())
	}
	w := walk{left: d.uniform(sum)}
	return t.descend(func(under []weighed) int {
		for i := range under {
			if w.next(i, under[i].weight) {
				break
			}
		}
		return w.last
	})
}

// unweighed draws from a weighted tier of which all that is live has the weight 0: as from an unweighted one.
func (d *drawing) unweighed(items []weighed) int32 {
	entries := make([]entry, len(items))
	for i := range items {
		entries[i] = items[i].low
	}
	best := lowest(entries)
	most := within(best.low, d.buffer)
	return int32(d.among(entries, func(e *entry) float64 {
		if e.low > most {
			return 0
		}
		return e.all
	}))
}

// among draws an entry in proportion to a number.
func (d *drawing) among(entries []entry, number func(*entry) float64) int {
	total := 0.0
	for i := range entries {
		total += number(&entries[i])
	}
	w := walk{left: d.uniform(total)}
	for i := range entries {
		if w.next(i, number(&entries[i])) {
			break
		}
	}
	return w.last
}

func (d *drawing) lowest(t *tree[entry]) int32 {
	low := t.root().low
	return t.descend(func(under []entry) int {
		return d.among(under, func(e *entry) float64 {
			if e.all == 0 || e.low != low {
				return 0
			}
			return e.ties
		})
	})
}
