package strategy

import (
	"math/rand/v2"

	"github.com/nestor-gateway/nestor/routing/share"
)

// Load is how long a leaf would take with one more request, in any unit.
type Load func(leaf int32) float64

// redraws is how often a second choice is looked for that is not the first one again.
const redraws = 4

// Balance chooses a leaf of a live group: of two drawn from a pool by their shares, the one whose load
// is smaller for its share. It appends the members chosen on the way to path, the leaf last.
func Balance(s *share.State, group int32, load Load, rng *rand.PCG, path []share.Place) (leaf int32, passed []share.Place, ok bool) {
	if !s.Live(group) {
		return 0, path, false
	}
	b := balancing{state: s, load: load, rng: rng}
	for {
		var m *share.Member
		if s.Weighted(group) {
			m, _, path = s.Draw(group, rng, path)
		} else {
			m, path = b.better(group, path)
		}
		if !m.Group {
			return m.To, path, true
		}
		group = m.To
	}
}

// balancing is a Balance under way.
type balancing struct {
	state *share.State
	load  Load
	rng   *rand.PCG
}

func (b *balancing) better(group int32, path []share.Place) (*share.Member, []share.Place) {
	var room [2][8]share.Place
	one, p, first := b.state.Draw(group, b.rng, room[0][:0])
	score := b.score(one, p)
	for range redraws {
		other, p, second := b.state.Draw(group, b.rng, room[1][:0])
		if other == one {
			continue
		}
		if b.score(other, p) < score {
			return other, append(path, second...)
		}
		break
	}
	return one, append(path, first...)
}

// score is the load of an entry for its share. A weighted group is judged by a leaf drawn from it as a request would be,
// but not by the leaf that the request will then get: what is drawn in it depends on nothing but the weights.
func (b *balancing) score(m *share.Member, p float64) float64 {
	var room [8]share.Place
	for m.Group {
		var part float64
		m, part, _ = b.state.Draw(m.To, b.rng, room[:0])
		p *= part
	}
	return b.load(m.To) / p
}
