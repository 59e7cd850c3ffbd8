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
	return cmp.Diff(all(a), all(b), cmp.AllowUnexported(groupState{}, tierState{}))
}

func TestChangesGiveTheSameStateAsMakingItAnew(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g, leaves := drawGraph(t)
		up := make([]bool, leaves)
		for i := range up {
			up[i] = rapid.Bool().Draw(t, "up")
		}
		s := NewState(g, func(leaf int32) bool { return up[leaf] })
		for range rapid.IntRange(1, 30).Draw(t, "changes") {
			leaf := rapid.IntRange(0, leaves-1).Draw(t, "leaf")
			up[leaf] = rapid.Bool().Draw(t, "to")
			s.Set(int32(leaf), up[leaf])
		}
		if d := diff(NewState(g, func(leaf int32) bool { return up[leaf] }), s); d != "" {
			t.Fatal(d)
		}
	})
}

func TestForkIsTheStateWithTheSameLeavesOut(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g, leaves := drawGraph(t)
		base := NewState(g, func(int32) bool { return true })
		before := NewState(g, func(int32) bool { return true })
		out := map[int32]bool{}
		fork := base.Fork()
		for range rapid.IntRange(1, 5).Draw(t, "out") {
			leaf := int32(rapid.IntRange(0, leaves-1).Draw(t, "leaf"))
			out[leaf] = true
			fork.Set(leaf, false)
		}
		if d := diff(NewState(g, func(leaf int32) bool { return !out[leaf] }), fork); d != "" {
			t.Fatalf("the fork: %s", d)
		}
		if d := diff(before, base); d != "" {
			t.Fatalf("the state it was made from: %s", d)
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
		sums := make([]float64, shape.size)
		copy(shape.leaves(sums), numbers)
		shape.fill(sums)
		if sums[0] == 0 {
			return
		}
		x := float64(rapid.IntRange(0, int(sums[0])-1).Draw(t, "x")) + 0.5
		want, before := int32(0), 0.0
		for ; before+numbers[want] <= x; want++ {
			before += numbers[want]
		}
		got, rest := shape.find(sums, x)
		if got != want || rest != x-before {
			t.Fatalf("got %d with %v left, want %d with %v", got, rest, want, x-before)
		}
	})
}

func TestFindNeverGivesAnEmptyNumber(t *testing.T) {
	numbers := []float64{0.1, 0, 0.2, 0.7, 0, 0}
	shape := newShape(len(numbers))
	sums := make([]float64, shape.size)
	copy(shape.leaves(sums), numbers)
	shape.fill(sums)
	if got, rest := shape.find(sums, 2); got != 3 || rest >= 0.7 {
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
