package quota_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/nestor-gateway/nestor/ratelimit"
	"github.com/nestor-gateway/nestor/routing/quota"
	"github.com/nestor-gateway/nestor/routing/share"
)

// The gates of oneReference: two leaves, the reference to their group, and that group.
const (
	leafA, leafB, reference, below = 0, 1, 2, 3
)

// oneReference is a group 1 that refers to a group 0 of two leaves, all with limits.
func oneReference() *quota.State {
	leaf := func(to int32) share.Member { return share.Member{To: to, Weight: 1} }
	graph := share.NewGraph([]share.Group{
		{Tiers: []share.Tier{{Members: []share.Member{leaf(0), leaf(1)}}}},
		{Tiers: []share.Tier{{Members: []share.Member{{To: 0, Group: true, Weight: 1}}}}},
	}, make([]bool, 2))
	limit := func(name string, most int64) ratelimit.Limit {
		return ratelimit.Limit{Name: name, Most: ratelimit.Amounts{most, most, most}}
	}
	return quota.NewState(graph, quota.NewGates(
		[]ratelimit.Limit{limit("a", 5), limit("b", 9)},
		[]quota.Reference{{Place: share.Place{Group: 1}, From: "up", To: "down", Number: 1, Limit: limit("r", 7)}},
		[]quota.Group{{Group: 0, Limit: limit("g", 8)}},
	))
}

func asking(tokens int64) *ratelimit.Amounts { return &ratelimit.Amounts{1, tokens, 1} }

// TestALeafIsOpenWhenNothingKeepsItOut compares with the ends of all that does.
func TestALeafIsOpenWhenNothingKeepsItOut(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s, now := oneReference(), time.Duration(0)
		const cooling, full, spent = 0, 1, 2 // and one for every dimension
		ends := map[int]time.Duration{}
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			until := now + time.Duration(rapid.IntRange(1, 9).Draw(t, "until"))
			d := ratelimit.Dimension(rapid.IntRange(0, ratelimit.Dimensions-1).Draw(t, "dimension"))
			switch rapid.IntRange(0, 4).Draw(t, "step") {
			case 0:
				s.Cool(leafA, until)
				ends[cooling] = max(ends[cooling], until)
			case 1:
				s.Fill(leafA, d, until)
				ends[full] = max(ends[full], until)
			case 2:
				s.Exhaust(leafA, d, until)
				ends[spent+int(d)] = max(ends[spent+int(d)], until)
			case 3:
				s.Unfill(leafA)
				delete(ends, full)
			default:
				now += time.Duration(rapid.IntRange(0, 6).Draw(t, "wait"))
				s.End(now)
				for what, end := range ends {
					if end <= now {
						delete(ends, what)
					}
				}
			}
			if open := s.Shares.LeafOpen(leafA); open != (len(ends) == 0) {
				t.Fatalf("at %d open is %v, with ends %v", now, open, ends)
			}
			if !s.Shares.LeafOpen(leafB) {
				t.Fatal("the other is closed")
			}
		}
	})
}

func TestAFullReferenceOrGroupIsClosed(t *testing.T) {
	for _, gate := range []int32{reference, below} {
		s := oneReference()
		s.Fill(gate, ratelimit.Requests, 5)
		if s.Shares.Live(1) || s.Shares.Live(0) != (gate == reference) {
			t.Errorf("gate %d: the groups are live: %v, %v", gate, s.Shares.Live(0), s.Shares.Live(1))
		}
		s.End(5)
		if !s.Shares.Live(1) || !s.NothingFull() {
			t.Errorf("gate %d does not open at its time", gate)
		}
	}
}

func TestATightGateIsOpenToSmallerRequests(t *testing.T) {
	s := oneReference()
	s.Tighten(reference, quota.Amount{Dimension: ratelimit.Tokens, N: 4}, 9)
	s.Tighten(leafA, quota.Amount{Dimension: ratelimit.Tokens, N: 6}, 7)
	tight := func(tokens int64) (gates []int32) {
		s.EachTight(asking(tokens), func(gate int32) { gates = append(gates, gate) })
		return gates
	}
	if diff := cmp.Diff([][]int32{nil, {reference}, {leafA, reference}}, [][]int32{tight(3), tight(5), tight(6)}); diff != "" {
		t.Error(diff)
	}
	s.End(7)
	if s.Tight(leafA, asking(6)) || !s.Tight(reference, asking(6)) || s.NothingTight() {
		t.Error("it is not over at its time")
	}
	s.Loosen(reference)
	if !s.NothingFull() {
		t.Error("something is left")
	}
}

func TestWhatIsFreedOpens(t *testing.T) {
	s := oneReference()
	s.Fill(leafA, ratelimit.Parallel, 50)
	s.Fill(leafB, ratelimit.Parallel, 50)
	s.Tighten(reference, quota.Amount{Dimension: ratelimit.Tokens, N: 4}, 50)
	usage := func(used int64) func(int32) ratelimit.Usage {
		return func(int32) ratelimit.Usage {
			return ratelimit.Usage{Used: ratelimit.Amounts{used, used, used}, Most: ratelimit.Amounts{5, 5, 5}}
		}
	}
	if !s.Freed(leafA, usage(5)).None() {
		t.Error("something opens without room")
	}
	s.Reopen(s.Freed(leafA, usage(4)))
	if !s.Shares.LeafOpen(leafA) || s.Shares.LeafOpen(leafB) || !s.Tight(reference, asking(4)) {
		t.Error("with room for one, the leaf opens alone, and what asked for more stays out")
	}
	s.Reopen(s.Freed(-1, usage(1)))
	if s.Shares.LeafOpen(leafB) || s.Tight(reference, asking(4)) {
		t.Error("with room for all, what asked for more is let in; the other leaf is not looked at")
	}
}

func TestOnlySomeFullPlacesAreTriedAtATime(t *testing.T) {
	const leaves = 40
	group := share.Group{Tiers: []share.Tier{{}}}
	for i := range int32(leaves) {
		group.Tiers[0].Members = append(group.Tiers[0].Members, share.Member{To: i, Weight: 1})
	}
	s := quota.NewState(share.NewGraph([]share.Group{group}, make([]bool, leaves)),
		quota.NewGates(make([]ratelimit.Limit, leaves), nil, nil))
	for i := range int32(leaves) {
		s.Fill(i, ratelimit.Parallel, time.Second)
	}
	open := func(now time.Duration) (n int) {
		s.End(now)
		for i := range int32(leaves) {
			if s.Shares.LeafOpen(i) {
				n++
			}
		}
		return n
	}
	got := []int{open(time.Second), open(1100 * time.Millisecond), open(1200 * time.Millisecond)}
	if diff := cmp.Diff([]int{16, 32, 40}, got); diff != "" {
		t.Error(diff)
	}
}

func TestWhatAGroupWaitsFor(t *testing.T) {
	const guess = 99
	for _, c := range []struct {
		name   string
		change func(s *quota.State)
		denied map[int32]quota.Denied
		want   quota.Wait
	}{
		{"nothing known", func(*quota.State) {}, nil, quota.Wait{Until: guess}},
		{"the first cooldown", func(s *quota.State) { s.Cool(leafA, 8); s.Cool(leafB, 6) }, nil, quota.Wait{Until: 6}},
		{"the limit of the leaf that opens first",
			func(s *quota.State) { s.Fill(leafA, ratelimit.Requests, 8); s.Fill(leafB, ratelimit.Tokens, 6) }, nil,
			quota.Wait{Until: 6, Limit: true, Gate: leafB, Dimension: ratelimit.Tokens}},
		{"the reference, where it is full for longer",
			func(s *quota.State) {
				s.Fill(leafA, ratelimit.Requests, 3)
				s.Fill(leafB, ratelimit.Requests, 4)
				s.Fill(reference, ratelimit.Parallel, 5)
			}, nil, quota.Wait{Until: 5, Limit: true, Gate: reference, Dimension: ratelimit.Parallel}},
		{"a provider's limit",
			func(s *quota.State) { s.Exhaust(leafA, ratelimit.Tokens, 5); s.Fill(leafB, ratelimit.Requests, 7) }, nil,
			quota.Wait{Until: 5, Limit: true, Gate: -1, Dimension: ratelimit.Tokens}},
		{"a full group, whatever else is known not to be", func(s *quota.State) { s.Fill(below, ratelimit.Requests, 4) }, nil,
			quota.Wait{Until: 4, Limit: true, Gate: below, Dimension: ratelimit.Requests}},
		{"the larger of limits that never admit it", func(*quota.State) {},
			map[int32]quota.Denied{leafA: {Dimension: ratelimit.Tokens, Never: true}, leafB: {Dimension: ratelimit.Tokens, Never: true}},
			quota.Wait{Until: quota.Forever, Limit: true, Gate: leafB, Dimension: ratelimit.Tokens, Never: true}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := oneReference()
			c.change(s)
			got := s.GroupWait(1, &quota.Request{Asked: asking(10), Denied: c.denied, Guess: guess})
			want := []any{c.want.Until, c.want.Limit, c.want.Gate, c.want.Dimension, c.want.Never}
			if diff := cmp.Diff(want, []any{got.Until, got.Limit, got.Gate, got.Dimension, got.Never}); diff != "" {
				t.Error(diff)
			}
		})
	}
}
