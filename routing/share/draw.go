package share

import "math/rand/v2"

// Draw draws one entry of a live group's pool: a leaf, or a group whose active tier is weighted. Of a group that is
// weighted itself it draws a member. p is the probability with which it is drawn. Draw appends the members chosen on the
// way to path. Done again with the group that it returns, until it returns a leaf, it draws as Pick does.
func (s *State) Draw(group int32, rng *rand.PCG, path []Place) (m *Member, p float64, passed []Place) {
	unit, p := s.Unit(group), 1.0
	for {
		g := s.at(group)
		tier, t := &s.graph.groups[group].Tiers[g.active], &g.tiers[g.active]
		if g.value[unit] == 0 {
			unit = g.value.unit()
		}
		by := unit
		if tier.Weighted && t.sums[weight].whole() > 0 {
			by = weight
		}
		numbers := &t.sums[by]
		i, _ := numbers.find(uniform(rng) * numbers.whole())
		p *= numbers.number(i) / numbers.whole()
		path = append(path, Place{group, g.active, i})
		m = &tier.Members[i]
		if !m.Group || tier.Weighted || s.Weighted(m.To) {
			return m, p, path
		}
		group = m.To
	}
}

// Weighted reports whether the active tier of a live group is weighted.
func (s *State) Weighted(group int32) bool {
	return s.graph.groups[group].Tiers[s.at(group).active].Weighted
}
