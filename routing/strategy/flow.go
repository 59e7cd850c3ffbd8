package strategy

import "github.com/nestor-gateway/nestor/routing/share"

// Flow computes how the requests of a group divide, as Draw draws them with a buffer.
func (p *Pools) Flow(group int32, buffer float64) share.Flow {
	f := flowing{
		Pools: p, buffer: buffer, begin: map[int32]float64{},
		flow: share.Flow{Leaves: map[int32]float64{}, Members: map[int32][]float64{}},
	}
	p.refresh(group)
	if p.groups[group].active() != nil {
		f.begin[group] = 1
	}
	f.downFrom(group, func(g int32) {
		if mass := f.begin[g]; mass > 0 {
			f.pool(g, mass)
		}
	})
	return f.flow
}

// flowing is a Flow in the making.
type flowing struct {
	*Pools
	buffer float64
	flow   share.Flow
	// begin is how much flows to pools that begin at a group.
	begin map[int32]float64
}

// downFrom visits a group and all that may be below it, each before what it is made of.
func (f *flowing) downFrom(group int32, visit func(group int32)) {
	order := f.graph.BottomUp()
	for i := int(f.graph.Rank(group)); i >= 0; i-- {
		visit(order[i])
	}
}

// pool divides what flows to the pool that begins at a group.
func (f *flowing) pool(group int32, mass float64) {
	t := f.groups[group].active()
	if t.mean != nil {
		f.weighted(t, mass)
		return
	}
	d := drawing{Pools: f.Pools, buffer: f.buffer, most: within(f.refresh(group).low, f.buffer)}
	in := map[int32]float64{group: mass}
	f.downFrom(group, func(g int32) {
		mass, total := in[g], 0.0
		if mass == 0 {
			return
		}
		t := f.groups[g].active()
		d.eachNear(t, func(k int32, e *entry) { total += d.countNear(&t.shape.Members[k], e) })
		d.eachNear(t, func(k int32, e *entry) {
			m := &t.shape.Members[k]
			part := mass * (d.countNear(m, e) / total)
			f.give(t, k, part)
			switch {
			case !m.Group:
			case d.isWeighted(m.To):
				f.begin[m.To] += part
			default:
				in[m.To] += part
			}
		})
	})
}

// weighted divides what flows to a weighted tier: below it other pools begin.
func (f *flowing) weighted(t *tier, mass float64) {
	items := t.mean.items()
	number, total := func(i int) float64 { return t.shape.Members[i].Weight }, t.mean.root().weight
	if total == 0 {
		most := within(t.value().low, f.buffer)
		number = func(i int) float64 {
			if items[i].low.low > most {
				return 0
			}
			return items[i].all
		}
	}
	parts, sum := make([]float64, len(items)), 0.0
	for i := range items {
		if items[i].all > 0 {
			parts[i] = number(i)
			sum += parts[i]
		}
	}
	for i, part := range parts {
		if part == 0 {
			continue
		}
		f.give(t, int32(i), mass*part/sum)
		if m := &t.shape.Members[i]; m.Group {
			f.begin[m.To] += mass * part / sum
		}
	}
}

// give notes what flows to a member.
func (f *flowing) give(t *tier, k int32, part float64) {
	members := f.flow.Members[t.group]
	if members == nil {
		members = make([]float64, len(t.up))
		f.flow.Members[t.group] = members
	}
	members[k] += part
	if m := &t.shape.Members[k]; !m.Group {
		f.flow.Leaves[m.To] += part
	}
}
