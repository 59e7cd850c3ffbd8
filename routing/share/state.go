package share

// State says which leaves, members and groups of a graph are open, and keeps every sum that a pick needs.
// It is not safe for concurrent use; a fork reads the state that it was made from.
type State struct {
	graph  *Graph
	groups []groupState
	base   *State // of a fork
	own    map[int32]*groupState
	queue  ranks

	leaves, shutGroups shut[int32]
	members            shut[Place]

	watch   func(p Place, live bool)
	flipped []Place
}

// value is the capacity of a member or a group by unit. 0 in RPM or TPM: it has none.
// 0 in One: it is not live, and all are 0.
type value [units]float64

type groupState struct {
	tiers []tierState
	// active is the first tier with a live member; -1 is none.
	active int32
	value  value
}

type tierState struct {
	// sums are trees by unit and by weight; nil where no member can have any.
	sums [units + 1]sums
	// live counts the live members, have those of them that have an rpm, a tpm.
	live int32
	have [2]int32
}

// NewState returns a state in which the leaves are open that up says, and all members and groups.
func NewState(g *Graph, up func(leaf int32) bool) *State {
	s := &State{graph: g, groups: make([]groupState, len(g.groups)),
		leaves: shut[int32]{}, shutGroups: shut[int32]{}, members: shut[Place]{}}
	for i := range int32(len(g.closed)) {
		if !up(i) {
			s.leaves[i] = true
		}
	}
	for _, i := range g.byRank {
		s.fill(i)
	}
	return s
}

// Graph is what the state is over.
func (s *State) Graph() *Graph { return s.graph }

// Fork returns a state that changes apart from s. It is cheap: it copies of the groups that change what changes.
// It must not be used after s has changed.
func (s *State) Fork() *State {
	return &State{graph: s.graph, base: s, own: map[int32]*groupState{},
		leaves: shut[int32]{}, shutGroups: shut[int32]{}, members: shut[Place]{}}
}

// Live reports whether a group is open and has anything to give.
func (s *State) Live(group int32) bool { return s.at(group).value[One] > 0 && s.GroupOpen(group) }

// Active is the tier of a group that is drawn from; -1 is none.
func (s *State) Active(group int32) int { return int(s.at(group).active) }

// Unit is what the capacities of a group are counted in when it is called.
func (s *State) Unit(group int32) Unit { return s.at(group).value.unit() }

// Weighs reports whether the members of a tier are drawn by weight: some live one has a weight above 0.
func (s *State) Weighs(group int32, tier int) bool {
	weights := &s.at(group).tiers[tier].sums[weight]
	return weights.tree != nil && weights.whole() > 0
}

// Shares are what the members of the active tier are drawn by when the group is called; nil when none is live.
func (s *State) Shares(group int32) []float64 {
	g := s.at(group)
	if g.active < 0 {
		return nil
	}
	by := g.value.unit()
	if s.Weighs(group, int(g.active)) {
		by = weight
	}
	return g.tiers[g.active].sums[by].numbers()
}

// MemberLive reports whether a member has anything to give, in its tier's turn or not.
func (s *State) MemberLive(group int32, tier, member int) bool {
	t := &s.at(group).tiers[tier]
	return t.sums[One].number(int32(member)) > 0
}

func (g *Graph) member(p Place) *Member { return &g.groups[p.Group].Tiers[p.Tier].Members[p.Member] }

// value is what a member gives now.
func (s *State) value(p Place) value {
	m := s.graph.member(p)
	switch {
	case m.Closed || !s.MemberOpen(p):
		return value{}
	case m.Group:
		return s.groupValue(m)
	case s.graph.closed[m.To] || !s.LeafOpen(m.To):
		return value{}
	}
	return value{m.Limit[RPM], m.Limit[TPM], 1}
}

// groupValue is what a reference gives: the sum over its group, or a limit on the way where that is smaller
// or where the group has none.
func (s *State) groupValue(m *Member) value {
	g := &s.graph.groups[m.To]
	v := s.at(m.To).value
	if v[One] == 0 || !s.GroupOpen(m.To) {
		return value{}
	}
	for u := range g.Limit {
		v[u] = smaller(smaller(v[u], m.Limit[u]), g.Limit[u])
	}
	return v
}

// smaller is the smaller of two limits of which 0 is none.
func smaller(a, b float64) float64 {
	if a == 0 || b > 0 && b < a {
		return b
	}
	return a
}

// put writes a member's value, and queues the group when its own value changed by it.
func (s *State) put(p Place) {
	v := s.value(p)
	if s.at(p.Group).tiers[p.Tier].get(p.Member) == v {
		return
	}
	if live := v[One] > 0; live != s.MemberLive(p.Group, int(p.Tier), int(p.Member)) {
		s.flip(p, live)
	}
	g := s.owned(p.Group)
	g.tiers[p.Tier].set(p.Member, v, s.graph.member(p).Weight)
	if before := g.value; g.refresh() != before {
		s.queue.push(s.graph.rank[p.Group])
	}
}

func (t *tierState) get(i int32) (v value) {
	for u := range v {
		if t.sums[u].tree != nil {
			v[u] = t.sums[u].number(i)
		}
	}
	return v
}

func (t *tierState) set(i int32, v value, w float64) {
	t.count(t.get(i), -1)
	t.count(v, 1)
	for u := range v {
		if t.sums[u].tree != nil {
			t.sums[u].set(i, v[u])
		}
	}
	if v[One] == 0 {
		w = 0
	}
	if t.sums[weight].tree != nil {
		t.sums[weight].set(i, w)
	}
}

func (t *tierState) count(v value, by int32) {
	if v[One] == 0 {
		return
	}
	t.live += by
	for u := range t.have {
		if v[u] > 0 {
			t.have[u] += by
		}
	}
}

// refresh finds the active tier and returns the group's value.
func (g *groupState) refresh() value {
	g.active, g.value = -1, value{}
	for i := range g.tiers {
		if g.tiers[i].live > 0 {
			g.active, g.value = int32(i), g.tiers[i].value()
			break
		}
	}
	return g.value
}

// value is the sum over the live members, of a unit that all of them have.
func (t *tierState) value() (v value) {
	for u := range v {
		if u == int(One) || t.have[u] == t.live {
			v[u] = min(t.sums[u].whole(), ceiling)
		}
	}
	return v
}

func (v value) unit() Unit {
	for u := range One {
		if v[u] > 0 {
			return u
		}
	}
	return One
}

func (s *State) at(group int32) *groupState {
	if s.base == nil {
		return &s.groups[group]
	}
	if g, ok := s.own[group]; ok {
		return g
	}
	return s.base.at(group)
}

// owned is the group's state for writing.
func (s *State) owned(group int32) *groupState {
	if s.base == nil {
		return &s.groups[group]
	}
	g, ok := s.own[group]
	if !ok {
		g = s.base.at(group).fork()
		s.own[group] = g
	}
	return g
}

func (g *groupState) fork() *groupState {
	c := *g
	c.tiers = append([]tierState(nil), g.tiers...)
	for i := range c.tiers {
		for u := range c.tiers[i].sums {
			c.tiers[i].sums[u] = g.tiers[i].sums[u].fork()
		}
	}
	return &c
}

// fill makes the state of one group whose parts have theirs.
func (s *State) fill(i int32) {
	g := &s.groups[i]
	g.tiers = make([]tierState, len(s.graph.groups[i].Tiers))
	for j := range g.tiers {
		s.fillTier(i, j)
	}
	g.refresh()
}

func (s *State) fillTier(i int32, j int) {
	tier, shape, t := &s.graph.groups[i].Tiers[j], s.graph.shapes[i][j], &s.groups[i].tiers[j]
	t.allocate(shape, s.graph.tierMay(tier), tier.Weighted)
	for k := range tier.Members {
		v := s.value(Place{i, int32(j), int32(k)})
		t.count(v, 1)
		for u := range v {
			if t.sums[u].tree != nil {
				t.sums[u].numbers()[k] = v[u]
			}
		}
		if tier.Weighted && v[One] > 0 {
			t.sums[weight].numbers()[k] = tier.Members[k].Weight
		}
	}
	for u := range t.sums {
		if t.sums[u].tree != nil {
			t.sums[u].sumUp()
		}
	}
}

func (t *tierState) allocate(s *shape, may [2]bool, weighted bool) {
	needed := [units + 1]bool{RPM: may[0], TPM: may[1], One: true, weight: weighted}
	for u, need := range needed {
		if need {
			t.sums[u] = newSums(s)
		}
	}
}

// ranks is a heap of groups by rank, the lowest first.
type ranks []int32

func (r *ranks) push(rank int32) {
	h := append(*r, rank)
	for i := len(h) - 1; i > 0; {
		up := (i - 1) / 2
		if h[up] <= h[i] {
			break
		}
		h[up], h[i] = h[i], h[up]
		i = up
	}
	*r = h
}

func (r *ranks) pop() int32 {
	h := *r
	top, last := h[0], len(h)-1
	h[0] = h[last]
	h = h[:last]
	for i := 0; ; {
		down := 2*i + 1
		if down >= last {
			break
		}
		if down+1 < last && h[down+1] < h[down] {
			down++
		}
		if h[i] <= h[down] {
			break
		}
		h[i], h[down] = h[down], h[i]
		i = down
	}
	*r = h
	return top
}
