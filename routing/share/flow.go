package share

// Flow is how the requests of one group divide.
type Flow struct {
	// Leaves is the probability of each leaf that gets any.
	Leaves map[int32]float64
	// Members is, by group that is reached, the probability of each member of its active tier.
	Members map[int32][]float64
}

// Flow computes how the requests of a group divide, without walking its paths one by one.
func (s *State) Flow(group int32) Flow {
	f := Flow{Leaves: map[int32]float64{}, Members: map[int32][]float64{}}
	if !s.Live(group) {
		return f
	}
	unit := s.Unit(group)
	w := flowing{s: s, flow: f, rates: map[int32]*[units]float64{group: {}}}
	// Everything is counted in the called group's capacity until the end,
	// so that whole numbers stay whole and paths to one leaf add up exactly.
	w.rates[group][unit] = 1
	w.queue.push(-s.graph.rank[group])
	for len(w.queue) > 0 {
		w.visit(s.graph.byRank[-w.queue.pop()])
	}
	whole := s.at(group).wholeSum(unit)
	for leaf := range f.Leaves {
		f.Leaves[leaf] /= whole
	}
	for _, members := range f.Members {
		for i := range members {
			members[i] /= whole
		}
	}
	return f
}

// flowing is a Flow in the making.
type flowing struct {
	s    *State
	flow Flow
	// rates is by group and by the unit in force there: how much flows for each unit of its capacity.
	rates map[int32]*[units]float64
	queue ranks // of negative ranks: a group comes before all that it is made of
}

func (w *flowing) visit(group int32) {
	g := w.s.at(group)
	tier, t := &w.s.graph.groups[group].Tiers[g.active], &g.tiers[g.active]
	members := make([]float64, len(tier.Members))
	w.flow.Members[group] = members
	for u, rate := range w.rates[group] {
		if rate == 0 {
			continue
		}
		by, weights := Unit(u), 0.0
		if tier.Weighted && t.sums[weight].whole() > 0 {
			by, weights = weight, t.sums[weight].whole()
		}
		for i, v := range t.sums[by].numbers() {
			if v == 0 {
				continue
			}
			mass := rate * v
			if by == weight {
				mass = rate * g.wholeSum(Unit(u)) * (v / weights)
			}
			members[i] += mass
			w.pass(tier, &tier.Members[i], Unit(u), mass, rate, v)
		}
	}
}

// pass hands on to a member what flows to it: mass, of which rate for each of its capacity units.
func (w *flowing) pass(tier *Tier, m *Member, u Unit, mass, rate, capacity float64) {
	if !m.Group {
		w.flow.Leaves[m.To] += mass
		return
	}
	child := w.s.at(m.To)
	rates, seen := w.rates[m.To]
	if !seen {
		rates = &[units]float64{}
		w.rates[m.To] = rates
		w.queue.push(-w.s.graph.rank[m.To])
	}
	anew := tier.Weighted || child.value[u] == 0
	if anew {
		u = child.value.unit()
	}
	if !anew && capacity == child.wholeSum(u) {
		rates[u] += rate
		return
	}
	rates[u] += mass / child.wholeSum(u)
}
