package quota

import (
	"time"

	"github.com/nestor-gateway/nestor/ratelimit"
	"github.com/nestor-gateway/nestor/routing/cooldown"
	"github.com/nestor-gateway/nestor/routing/share"
)

// State says which gates are closed, and until when. It is not safe for concurrent use; only Due, NothingFull and
// NothingTight may be called while another goroutine changes it. Times count from the start of the process.
type State struct {
	// Shares is kept in step: there a gate is open when nothing here closes it for all requests.
	Shares *share.State
	// apart are further states that are kept in step: see Apart.
	apart []*share.State

	graph *share.Graph
	gates *Gates
	// cooling is by leaf, spent by leaf and dimension.
	cooling, spent *cooldown.Calendar
	full           ends
	// fullIn is, by gate, the dimension in which it is full.
	fullIn []ratelimit.Dimension
	tight  tight
}

// NewState returns a state in which everything is open.
func NewState(graph *share.Graph, gates *Gates) *State {
	leaves, all := int(gates.leaves), len(gates.limits)
	return &State{
		Shares: share.NewState(graph, func(int32) bool { return true }), graph: graph, gates: gates,
		cooling: cooldown.NewCalendar(leaves), spent: cooldown.NewCalendar(leaves * ratelimit.Dimensions),
		full: newEnds(leaves, all), fullIn: make([]ratelimit.Dimension, all), tight: newTight(leaves, all),
	}
}

// Apart makes a further state in which the same gates are open as in Shares, over another graph of the same shape.
// It is for the time before anything is closed.
func (s *State) Apart(graph *share.Graph) *share.State {
	apart := share.NewState(graph, func(int32) bool { return true })
	s.apart = append(s.apart, apart)
	return apart
}

// put opens or closes a gate.
func (s *State) put(gate int32, open bool) {
	s.gates.Put(s.Shares, gate, open)
	for _, apart := range s.apart {
		s.gates.Put(apart, gate, open)
	}
}

// Cool leaves a leaf alone until a time.
func (s *State) Cool(leaf int32, until time.Duration) {
	if s.cooling.Set(leaf, until) {
		s.put(leaf, false)
	}
}

// Exhaust keeps a leaf out until a time, because its provider admits nothing more to it in a dimension.
func (s *State) Exhaust(leaf int32, d ratelimit.Dimension, until time.Duration) {
	if s.spent.Set(spentAt(leaf, d), until) {
		s.put(leaf, false)
	}
}

func spentAt(leaf int32, d ratelimit.Dimension) int32 { return leaf*ratelimit.Dimensions + int32(d) }

// Fill closes a gate until a time: nothing is left of it in a dimension.
func (s *State) Fill(gate int32, d ratelimit.Dimension, until time.Duration) {
	if s.full.set(gate, until) {
		s.fullIn[gate] = d
		s.put(gate, false)
	}
}

// Unfill ends that a gate is full.
func (s *State) Unfill(gate int32) {
	s.full.clear(gate)
	s.refresh(gate)
}

// Tighten remembers that a gate has denied an amount, which it will have at a time. It stays open to smaller requests.
func (s *State) Tighten(gate int32, a Amount, until time.Duration) { s.tight.set(gate, a, until) }

// Loosen forgets what a gate has denied.
func (s *State) Loosen(gate int32) { s.tight.gates.clear(gate) }

// refresh opens a gate that nothing keeps closed any more.
func (s *State) refresh(gate int32) {
	if !s.gates.IsLeaf(gate) || s.cooling.End(gate) == 0 && s.OutUntil(gate) == 0 {
		s.put(gate, true)
	}
}

// CoolingUntil is until when a leaf is left alone; 0 when it is not.
func (s *State) CoolingUntil(leaf int32) time.Duration { return s.cooling.End(leaf) }

// SpentUntil is until when the provider of a leaf admits nothing more in a dimension; 0 when it does.
func (s *State) SpentUntil(leaf int32, d ratelimit.Dimension) time.Duration {
	return s.spent.End(spentAt(leaf, d))
}

// FullUntil says in which dimension a gate is full and until when; 0 when it is not.
func (s *State) FullUntil(gate int32) (ratelimit.Dimension, time.Duration) {
	return s.fullIn[gate], s.full.end(gate)
}

// OutUntil is until when quota keeps a leaf out, its own or its provider's; 0 when none does.
func (s *State) OutUntil(leaf int32) time.Duration {
	until := s.full.leaves.End(leaf)
	if s.spent.Empty() {
		return until
	}
	for d := range ratelimit.Dimension(ratelimit.Dimensions) {
		until = max(until, s.SpentUntil(leaf, d))
	}
	return until
}

// Tight reports whether a gate is known to have too little for a request.
func (s *State) Tight(gate int32, asked *ratelimit.Amounts) bool {
	return s.tight.until(gate, asked) > 0
}

// EachTight calls f for the gates that are known to have too little for a request.
func (s *State) EachTight(asked *ratelimit.Amounts, f func(gate int32)) { s.tight.each(asked, f) }

// NothingTight reports whether every gate that is not full has enough for all that has been asked for.
func (s *State) NothingTight() bool { return s.tight.gates.empty() }

// NothingFull reports whether every limit has something left, and enough for all that has been asked for.
func (s *State) NothingFull() bool { return s.full.empty() && s.NothingTight() }

// Due reports whether End has something to do.
func (s *State) Due(now time.Duration) bool {
	return s.cooling.Due(now) || s.full.due(now) || s.spent.Due(now) || s.tight.gates.due(now)
}

// When a place in Parallel is free again somewhere else is a guess. Of many that are full only some are tried
// at a time, so that one pick does not have to find out about all of them.
const (
	maxGuesses = 16
	nextGuess  = 100 * time.Millisecond
)

// End opens everything whose time has come.
func (s *State) End(now time.Duration) {
	s.cooling.Ended(now, s.refresh)
	guesses := 0
	s.full.ended(now, func(gate int32) {
		if s.gates.IsLeaf(gate) && s.fullIn[gate] == ratelimit.Parallel {
			if guesses++; guesses > maxGuesses {
				s.full.set(gate, now+nextGuess)
				return
			}
		}
		s.refresh(gate)
	})
	s.tight.gates.ended(now, func(int32) {})
	s.spent.Ended(now, func(i int32) { s.refresh(i / ratelimit.Dimensions) })
}

// Freed is what has room again.
type Freed struct{ full, tight []int32 }

// None reports whether that is nothing.
func (f Freed) None() bool { return len(f.full)+len(f.tight) == 0 }

// Freed finds what has room again on the ways to a leaf, or on all ways where leaf is negative.
func (s *State) Freed(leaf int32, usage func(gate int32) ratelimit.Usage) (f Freed) {
	full := func(gate int32) {
		if (Amount{s.fullIn[gate], 1}).Left(usage(gate)) {
			f.full = append(f.full, gate)
		}
	}
	tight := func(gate int32) {
		if s.tight.least[gate].Left(usage(gate)) {
			f.tight = append(f.tight, gate)
		}
	}
	if leaf >= 0 && s.full.end(leaf) > 0 {
		full(leaf)
	}
	if leaf >= 0 && s.tight.gates.end(leaf) > 0 {
		tight(leaf)
	}
	s.full.eachWay(full)
	s.tight.gates.eachWay(tight)
	return f
}

// Reopen opens what has room again.
func (s *State) Reopen(f Freed) {
	for _, gate := range f.full {
		s.Unfill(gate)
	}
	for _, gate := range f.tight {
		s.Loosen(gate)
	}
}
