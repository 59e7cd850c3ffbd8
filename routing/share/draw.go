package share

import "math/rand/v2"

// Draw draws one entry of a live group's pool: a leaf, or a group whose active tier is weighted. Of a group that is
// weighted itself it draws a member. p is the probability with which it is drawn. Draw appends the members chosen on the
// way to path. Done again with the group that it returns, until it returns a leaf, it draws as Pick does.
func (s *State) Draw(group int32, rng *rand.PCG, path []Place) (m *Member, p float64, passed []Place) {
	unit, p := s.Unit(group), 1.0
	for {
		g := s.at(group)
		tier, t, shape := &s.graph.groups[group].Tiers[g.active], &g.tiers[g.active], s.graph.shapes[group][g.active]
		if g.value[unit] == 0 {
			unit = g.value.unit()
		}
		by := unit
		if tier.Weighted && t.sums[weight][0] > 0 {
			by = weight
		}
		i, _ := shape.find(t.sums[by], uniform(rng)*t.sums[by][0])
		p *= shape.leaves(t.sums[by])[i] / t.sums[by][0]
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
