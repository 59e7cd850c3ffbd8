package strategy

import "github.com/nestor-gateway/nestor/routing/share"

// tries is how often a leaf is drawn blindly before those with a value near the lowest are looked for.
const tries = 16

// try draws a leaf of a pool, or a weighted group in it, each as often as the others, until its value is near the lowest.
// It returns nil when there is no buffer, or after some tries.
func (d *drawing) try(pool int32) *share.Member {
	if d.buffer <= 0 {
		return nil
	}
	before := len(d.path)
	for range tries {
		m, low := d.blindly(pool)
		if low <= d.most {
			return m
		}
		d.path = d.path[:before]
	}
	return nil
}

func (d *drawing) blindly(group int32) (*share.Member, float64) {
	for {
		t := d.groups[group].active()
		w := walk{left: d.uniform(t.low.root().all)}
		k := t.low.descend(func(under []entry) int {
			for i := range under {
				if w.next(i, under[i].all) {
					break
				}
			}
			return w.last
		})
		m := d.pass(t, k)
		if !m.Group || d.isWeighted(m.To) {
			return m, t.low.items()[k].low
		}
		group = m.To
	}
}

func (d *drawing) isWeighted(group int32) bool { return d.groups[group].active().mean != nil }

// nearMember draws a member of a tier in proportion to how many leaves with a value near the lowest it leads to.
func (d *drawing) nearMember(t *tier) int32 {
	if t.flat && len(t.low.first) > 1 {
		return d.nearLeaf(t.low)
	}
	chosen, total := int32(0), 0.0
	d.eachNear(t, func(k int32, e *entry) {
		n := d.countNear(&t.shape.Members[k], e)
		if total = min(total+n, ceiling); d.uniform(total) < n {
			chosen = k
		}
	})
	return chosen
}

// nearLeaf is nearMember where all members are leaves. It draws one of the lowest summaries that have something near,
// and then an item of it, near or not, until that is near: so each is drawn as often as the others.
func (d *drawing) nearLeaf(t *tree[entry]) int32 {
	level := len(t.first) - 1
	d.scratch = d.scratch[:0]
	for i, e := range t.nodes[t.first[level-1]:t.first[level]] {
		if e.all > 0 && e.low <= d.most {
			d.scratch = append(d.scratch, int32(i))
		}
	}
	for {
		i := d.scratch[int(d.uniform(float64(len(d.scratch))))]
		k := int(d.uniform(fan))
		if items := t.under(level, i); k < len(items) && items[k].all > 0 && items[k].low <= d.most {
			return i*fan + int32(k)
		}
	}
}

// countNear counts the leaves with a value near the lowest that a member leads to, each group once.
func (d *drawing) countNear(m *share.Member, e *entry) float64 {
	if !m.Group || d.isWeighted(m.To) {
		return e.all
	}
	if n, known := d.near[m.To]; known {
		return n
	}
	n := 0.0
	t := d.groups[m.To].active()
	d.eachNear(t, func(k int32, e *entry) { n += d.countNear(&t.shape.Members[k], e) })
	if d.near == nil {
		d.near = map[int32]float64{}
	}
	n = min(n, ceiling)
	d.near[m.To] = n
	return n
}

// eachNear visits the members of a tier that lead to a value near the lowest.
func (d *drawing) eachNear(t *tier, f func(k int32, e *entry)) { d.nearUnder(t.low, 0, 0, f) }

func (d *drawing) nearUnder(t *tree[entry], level int, i int32, f func(k int32, e *entry)) {
	e := &t.nodes[t.first[level]+i]
	switch {
	case e.all == 0 || e.low > d.most:
	case level == len(t.first)-1:
		f(i, e)
	default:
		for k := range t.under(level+1, i) {
			d.nearUnder(t, level+1, i*fan+int32(k), f)
		}
	}
}
