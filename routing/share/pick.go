package share

import "math/rand/v2"

// Pick draws a leaf of a live group. It appends the members chosen on the way to path, that of the given group first
// and the leaf last. ok is false when the group is not live.
func (s *State) Pick(group int32, rng *rand.PCG, path []Place) (leaf int32, passed []Place, ok bool) {
	if !s.Live(group) {
		return 0, path, false
	}
	unit := s.Unit(group)
	x, drawn := 0.0, false
	for {
		g := s.at(group)
		tier, t := &s.graph.groups[group].Tiers[g.active], &g.tiers[g.active]
		if g.value[unit] == 0 {
			unit, drawn = g.value.unit(), false
		}
		by := unit
		if tier.Weighted && t.sums[weight].whole() > 0 {
			by, drawn = weight, false
		}
		if !drawn {
			x = uniform(rng) * t.sums[by].whole()
		}
		i, rest := t.sums[by].find(x)
		path = append(path, Place{group, g.active, i})
		m := &tier.Members[i]
		if !m.Group {
			return m.To, path, true
		}
		group = m.To
		if tier.Weighted {
			unit, drawn = s.Unit(group), false
			continue
		}
		// A group that nothing limits takes its members' places in this pool:
		// what is left of the draw chooses among them as if they stood here.
		x = rest
		drawn = t.sums[unit].number(i) == s.at(group).wholeSum(unit)
	}
}

// wholeSum is the sum over the active tier's live members, unlimited; 0 where a live member lacks the unit.
func (g *groupState) wholeSum(u Unit) float64 {
	if g.value[u] == 0 {
		return 0
	}
	return g.tiers[g.active].sums[u].whole()
}

// uniform is in [0, 1).
func uniform(rng *rand.PCG) float64 { return float64(rng.Uint64()>>11) / (1 << 53) }
