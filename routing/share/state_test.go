package share

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// drawGraph makes groups of which each refers only to later ones, over a few leaves.
func drawGraph(t *rapid.T) (*Graph, int) {
	leaves := rapid.IntRange(1, 25).Draw(t, "leaves")
	groups := make([]Group, rapid.IntRange(1, 5).Draw(t, "groups"))
	for g := range groups {
		for range rapid.IntRange(1, 3).Draw(t, "tiers") {
			tier := Tier{Weighted: rapid.Bool().Draw(t, "weighted")}
			for range rapid.IntRange(1, 20).Draw(t, "members") {
				tier.Members = append(tier.Members, drawMember(t, g, len(groups), leaves))
			}
			groups[g].Tiers = append(groups[g].Tiers, tier)
		}
	}
	closed := make([]bool, leaves)
	closed[0] = leaves > 1
	return NewGraph(groups, closed), leaves
}

func drawMember(t *rapid.T, g, groups, leaves int) Member {
	m := Member{To: int32(rapid.IntRange(0, leaves-1).Draw(t, "leaf")), Weight: rapid.SampledFrom([]float64{0, 0.1, 1, 3}).Draw(t, "weight")}
	if g+1 < groups && rapid.IntRange(0, 3).Draw(t, "kind") == 0 {
		m.To, m.Group = int32(rapid.IntRange(g+1, groups-1).Draw(t, "group")), true
	}
	for u := range m.Limit {
		m.Limit[u] = rapid.SampledFrom([]float64{0, 1, 5, 30, 1e6}).Draw(t, "limit")
	}
	m.Closed = rapid.IntRange(0, 9).Draw(t, "closed") == 0
	return m
}

// all is everything that a state keeps.
func all(s *State) []groupState {
	groups := make([]groupState, len(s.graph.groups))
	for i := range groups {
		groups[i] = *s.at(int32(i))
	}
	return groups
}

func diff(a, b *State) string {
	merged := cmp.Transformer("merged", func(s sums) []float64 { return s.merged() })
	return cmp.Diff(all(a), all(b), cmp.AllowUnexported(groupState{}, tierState{}), merged)
}

// closures is what is closed of a graph.
type closures struct {
	leaves, groups map[int32]bool
	members        map[Place]bool
}

func noClosures() closures {
	return closures{map[int32]bool{}, map[int32]bool{}, map[Place]bool{}}
}

// change opens or closes something at random, in a state and in c.
func (c closures) change(t *rapid.T, s *State, leaves int) {
	open := rapid.Bool().Draw(t, "open")
	group := int32(rapid.IntRange(0, len(s.graph.groups)-1).Draw(t, "group"))
	switch rapid.IntRange(0, 3).Draw(t, "what") {
	case 0:
		c.groups[group] = !open
		s.SetGroup(group, open)
	case 1:
		tier := rapid.IntRange(0, len(s.graph.groups[group].Tiers)-1).Draw(t, "tier")
		member := rapid.IntRange(0, len(s.graph.groups[group].Tiers[tier].Members)-1).Draw(t, "member")
		p := Place{group, int32(tier), int32(member)}
		c.members[p] = !open
		s.SetMember(p, open)
	default:
		leaf := int32(rapid.IntRange(0, leaves-1).Draw(t, "leaf"))
		c.leaves[leaf] = !open
		s.Set(leaf, open)
	}
}

// anew is the state of a graph that was made with everything closed from the beginning.
func (c closures) anew(g *Graph) *State {
	groups := make([]Group, len(g.groups))
	for i := range groups {
		groups[i] = g.groups[i]
		groups[i].Closed = groups[i].Closed || c.groups[int32(i)]
		groups[i].Tiers = nil
		for j, tier := range g.groups[i].Tiers {
			tier.Members = append([]Member(nil), tier.Members...)
			for k := range tier.Members {
				m := &tier.Members[k]
				m.Closed = m.Closed || c.members[Place{int32(i), int32(j), int32(k)}]
			}
			groups[i].Tiers = append(groups[i].Tiers, tier)
		}
	}
	return NewState(NewGraph(groups, g.closed), func(leaf int32) bool { return !c.leaves[leaf] })
}

// same compares what two states keep, and what they say of their groups.
func same(t *rapid.T, want, got *State) {
	t.Helper()
	if d := diff(want, got); d != "" {
		t.Fatal(d)
	}
	for i := range int32(len(want.graph.groups)) {
		if want.Live(i) != got.Live(i) {
			t.Fatalf("group %d: live %v, want %v", i, got.Live(i), want.Live(i))
		}
	}
}

func TestChangesGiveTheSameStateAsMakingItAnew(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g, leaves := drawGraph(t)
		c := noClosures()
		for i := range leaves {
			c.leaves[int32(i)] = rapid.Bool().Draw(t, "down")
		}
		s := NewState(g, func(leaf int32) bool { return !c.leaves[leaf] })
		for range rapid.IntRange(1, 30).Draw(t, "changes") {
			c.change(t, s, leaves)
		}
		same(t, c.anew(g), s)
	})
}

func TestForkIsTheStateWithTheSameChanges(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g, leaves := drawGraph(t)
		c := noClosures()
		base := NewState(g, func(int32) bool { return true })
		for range rapid.IntRange(0, 10).Draw(t, "before") {
			c.change(t, base, leaves)
		}
		before := c.anew(g)
		fork := base.Fork()
		for range rapid.IntRange(1, 10).Draw(t, "changes") {
			c.change(t, fork, leaves)
		}
		same(t, c.anew(g), fork)
		same(t, before, base)
	})
}

// A fork of a fork shares with both, and neither sees what it changes.
func TestForksOfSumsChangeApart(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		numbers := make([]float64, rapid.IntRange(1, 600).Draw(t, "n"))
		shape := newShape(len(numbers))
		anew := func() []float64 {
			s := newSums(shape)
			copy(s.numbers(), numbers)
			s.sumUp()
			return s.tree
		}
		chain, want := []sums{newSums(shape)}, [][]float64{anew()}
		for range rapid.IntRange(1, 3).Draw(t, "forks") {
			s := chain[len(chain)-1].fork()
			for range rapid.IntRange(0, 40).Draw(t, "changes") {
				i := rapid.IntRange(0, len(numbers)-1).Draw(t, "i")
				numbers[i] = float64(rapid.IntRange(0, 9).Draw(t, "number"))
				s.set(int32(i), numbers[i])
				if got := s.number(int32(i)); got != numbers[i] {
					t.Fatalf("number %d is %v, not %v", i, got, numbers[i])
				}
			}
			chain, want = append(chain, s), append(want, anew())
		}
		for i := range chain {
			if diff := cmp.Diff(want[i], chain[i].merged()); diff != "" {
				t.Fatalf("after %d forks: %s", i, diff)
			}
		}
		if last := chain[len(chain)-1]; last.whole() > 0 {
			for _, x := range []float64{0, last.whole() / 3, last.whole() * 2} {
				flat := newSums(shape)
				flat.tree = last.merged()
				i, rest := last.find(x)
				if k, left := flat.find(x); i != k || rest != left {
					t.Fatalf("%v is found at %d, not %d", x, i, k)
				}
			}
		}
	})
}

func TestFlowOfALiveGroupIsWhole(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g, _ := drawGraph(t)
		s := NewState(g, func(leaf int32) bool { return leaf%3 != 1 })
		for group := range int32(len(g.groups)) {
			total := 0.0
			for _, p := range s.Flow(group).Leaves {
				total += p
			}
			want := 0.0
			if s.Live(group) {
				want = 1
			}
			if math.Abs(total-want) > 1e-12 {
				t.Fatalf("group %d gives %v of its requests", group, total)
			}
		}
	})
}

func TestFindGivesTheNumberThatHoldsX(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		numbers := rapid.SliceOfN(rapid.SampledFrom([]float64{0, 0, 1, 2, 7}), 1, 600).Draw(t, "numbers")
		shape := newShape(len(numbers))
		sums := newSums(shape)
		copy(sums.numbers(), numbers)
		sums.sumUp()
		if sums.whole() == 0 {
			return
		}
		x := float64(rapid.IntRange(0, int(sums.whole())-1).Draw(t, "x")) + 0.5
		want, before := int32(0), 0.0
		for ; before+numbers[want] <= x; want++ {
			before += numbers[want]
		}
		got, rest := sums.find(x)
		if got != want || rest != x-before {
			t.Fatalf("got %d with %v left, want %d with %v", got, rest, want, x-before)
		}
	})
}

func TestFindNeverGivesAnEmptyNumber(t *testing.T) {
	numbers := []float64{0.1, 0, 0.2, 0.7, 0, 0}
	shape := newShape(len(numbers))
	sums := newSums(shape)
	copy(sums.numbers(), numbers)
	sums.sumUp()
	if got, rest := sums.find(2); got != 3 || rest >= 0.7 {
		t.Errorf("got %d with %v left, want 3 with less than 0.7", got, rest)
	}
}

// ladder makes groups of which each holds the next one twice, and the last a leaf.
func ladder(rungs int) *Graph {
	groups := make([]Group, rungs)
	for i := range groups {
		m := Member{To: int32(i + 1), Group: true, Limit: [2]float64{0, 0}}
		if i == rungs-1 {
			m = Member{Limit: [2]float64{7, 0}}
		}
		groups[i].Tiers = []Tier{{Members: []Member{m, m}}}
	}
	return NewGraph(groups, make([]bool, 1))
}

func TestCapacitiesOfALongLadderStayFinite(t *testing.T) {
	s := NewState(ladder(3000), func(int32) bool { return true })
	if got := s.Flow(0).Leaves[0]; math.Abs(got-1) > 1e-9 {
		t.Errorf("the only leaf gets %v", got)
	}
	var rng rand.PCG
	if leaf, path, ok := s.Pick(0, &rng, nil); !ok || leaf != 0 || len(path) != 3000 {
		t.Errorf("got leaf %d by %d groups, %v", leaf, len(path), ok)
	}
	s.Set(0, false)
	if s.Live(0) {
		t.Error("live without its only leaf")
	}
}
