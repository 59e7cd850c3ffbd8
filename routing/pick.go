package routing

import (
	"context"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/nestor-gateway/nestor/ratelimit"
	"github.com/nestor-gateway/nestor/routing/quota"
	"github.com/nestor-gateway/nestor/routing/share"
)

// Query says how to pick. The pick is a function of the query and the live state:
// another process with the same state picks the same.
type Query struct {
	Seed uint64
	// Skip draws that many deployments first and excludes them, without reserving anything of them.
	// Exclude lists ids, each once; unknown ones don't matter. With the same Seed, skipping n picks
	// is the same as excluding what they gave, where no limit stood in their way.
	Skip    int
	Exclude []string

	// Endpoint is what the request calls, as the provider table counts it. Deployments whose provider does not have it
	// are never picked: the pick goes on as if they were not there.
	Endpoint uint8

	// Stream says that the answer will be a stream: the strategies that look at times take those to the first token.
	Stream bool

	// Hold is what the attempt reserves of everything that limits its pick; its Entities are left to the pick.
	Hold ratelimit.Reservation

	// Also are limits that the attempt counts on whatever is picked: those of who asks. One of them that denies
	// ends the pick. Counted are more of them, on which the request has counted for an attempt before: see
	// ratelimit.Reservation.Again.
	Also, Counted []ratelimit.Entity
}

// Pick is a deployment chosen for one attempt.
type Pick struct {
	Deployment *Deployment
	// Model is the provider's model, with a wildcard filled in.
	Model string
	// Path is the groups passed, the called one first. It must not be changed.
	Path []string
	// Standing is how much the tightest limit on the way admits after this attempt.
	Standing ratelimit.Standing
}

// One pick tries to reserve for as long as the one limit and the other allow. What is full is closed for the picks
// that follow, so that only where a great many limits fill up at one moment, in a store that is far away, it gives up.
const (
	maxReservations = 100
	maxPicking      = 50 * time.Millisecond
)

// Pick chooses a deployment of a target and reserves of it and of all limits on the way to it. A limit that denies
// takes no part in this pick, which goes on as if what it limits were not there. Where cooldown is all that keeps
// deployments out, the one whose cooldown ends first counts as available. The error is a *NoneError, or the
// context's when that is over; then nothing is held.
func (v *View) Pick(ctx context.Context, t Target, q Query) (Pick, error) {
	p := v.router.picking(v, v.adopt(t), q)
	defer v.router.picked(p)
	if !p.t.Serves(q.Endpoint) {
		return Pick{}, &NoneError{Model: p.t.Name, Unserved: true}
	}
	p.from = v.source(p.t, q.Endpoint)
	begin := v.elapsed()
	for n := 0; n < maxReservations || v.elapsed() < begin+maxPicking; n++ {
		leaf, stop := p.choose()
		if stop != nil {
			return Pick{}, stop
		}
		freed := v.router.freed.Load()
		standing, denial := p.reserve(ctx, leaf)
		if err := ctx.Err(); err != nil {
			if denial == nil {
				v.router.Refund(v.snapshot.deployments[leaf].ID, q.Hold.ID)
			}
			return Pick{}, err
		}
		if denial == nil {
			return p.result(leaf, standing), nil
		}
		if at := slices.Index(p.entities, denial.Entity); at >= len(p.gates) {
			return Pick{}, p.refused(denial)
		}
		p.deny(denial, freed)
	}
	return Pick{}, p.givenUp()
}

// picking is a pick in the making.
type picking struct {
	v *View
	t Target
	q Query
	// rng is the source of one draw; it stands here so that it need not be allocated.
	rng rand.PCG
	// redraws counts what was drawn and denied, or known to have too little left.
	redraws uint32
	// path, gates and entities are of the way that is tried.
	path     []share.Place
	gates    []int32
	entities []ratelimit.Entity
	hold     ratelimit.Reservation
	// denied is by gate; apart says that one of them is open to others.
	denied map[int32]quota.Denied
	apart  bool
	// from is what it picks from.
	from *source
	// promised are the leaves drawn that the store does not count as in flight yet.
	promised []int32
}

// seed makes rng the source of the n-th draw for the target. Draws of one seed are independent of each other, in one
// group and in others: what is picked after a failure or a denial does not depend on what failed or was denied.
func (p *picking) seed(n int) {
	p.rng.Seed(p.q.Seed^p.v.snapshot.groups[p.t.group].Salt, uint64(n)|uint64(p.redraws)<<32)
}

// choose finds the next way to try. Why there is none is looked up before anything can change.
func (p *picking) choose() (leaf int32, stop *NoneError) {
	v := p.v
	v.recover(v.elapsed())
	v.mu.RLock()
	defer v.mu.RUnlock()
	leaf, ok := p.find()
	if !ok {
		return none, p.nothing()
	}
	return leaf, nil
}

func (p *picking) find() (leaf int32, ok bool) {
	p.path = p.path[:0]
	if p.t.group == none {
		return p.t.leaf, p.mayCall() && !p.tightOn(p.t.leaf)
	}
	if len(p.q.Exclude) == 0 && p.q.Skip == 0 && !p.apart {
		p.seed(0)
		leaf, p.path, ok = p.draw(p.from.shares, p.path)
		if ok && !p.deniedOn(leaf) && !p.tightOn(leaf) {
			return leaf, true
		}
		if ok {
			p.redraws++
		}
	}
	return p.chooseApart()
}

// mayCall is for a target that is one deployment: cooling or not, there is no other.
func (p *picking) mayCall() bool {
	v, leaf := p.v, p.t.leaf
	return leaf != none && p.q.Skip == 0 && !v.snapshot.graph.Closed(leaf) && v.state.OutUntil(leaf) == 0 &&
		!p.deniedOn(leaf) && !slices.Contains(p.q.Exclude, v.snapshot.deployments[leaf].ID)
}

// deniedOn reports whether the way that was drawn passes a gate that denied: it was full then, and has been
// opened since.
func (p *picking) deniedOn(leaf int32) bool {
	if len(p.denied) == 0 {
		return false
	}
	p.gates = p.v.snapshot.gates.On(leaf, p.path, p.gates[:0])
	return slices.ContainsFunc(p.gates, func(gate int32) bool {
		_, no := p.denied[gate]
		return no
	})
}

// chooseApart chooses in a copy of the state that is changed for this query.
func (p *picking) chooseApart() (leaf int32, ok bool) {
	v, state := p.v, p.from.shares.Fork()
	out := p.closeDenied(state)
	for _, id := range p.q.Exclude {
		if leaf, ok := v.snapshot.byID[id]; ok {
			out = append(out, leaf)
			state.Set(leaf, false)
		}
	}
	last := len(p.q.Exclude) + p.q.Skip
	for n := len(p.q.Exclude); ; n++ {
		if !state.Live(p.t.group) {
			leaf, ok := v.firstBack(p.t, state, out)
			if !ok {
				return none, false
			}
			var only bool
			if p.path, only = v.snapshot.graph.OnlyPath(p.t.group, leaf, p.path); only && n == last {
				return leaf, true
			}
			state.Set(leaf, true)
		}
		p.seed(n)
		leaf, p.path, ok = p.draw(state, p.path[:0])
		if !ok || n == last {
			return leaf, ok
		}
		out = append(out, leaf)
		state.Set(leaf, false)
	}
}

// closeDenied closes in a state what denied, or has too little left, and lists the leaves of it.
func (p *picking) closeDenied(state *share.State) (leaves []int32) {
	closeOne := func(gate int32) {
		p.v.snapshot.gates.Put(state, gate, false)
		if p.v.snapshot.gates.IsLeaf(gate) {
			leaves = append(leaves, gate)
		}
	}
	for gate := range p.denied {
		closeOne(gate)
	}
	p.v.state.EachTight(&p.q.Hold.Amounts, closeOne)
	return leaves
}

// tightOn reports whether the way that was drawn passes a gate that has too little for this request.
func (p *picking) tightOn(leaf int32) bool {
	v := p.v
	if v.state.NothingTight() {
		return false
	}
	p.gates = v.snapshot.gates.On(leaf, p.path, p.gates[:0])
	return slices.ContainsFunc(p.gates, func(gate int32) bool { return v.state.Tight(gate, &p.q.Hold.Amounts) })
}

// reserve holds what the request needs of all gates on the way.
func (p *picking) reserve(ctx context.Context, leaf int32) (ratelimit.Standing, *ratelimit.Denial) {
	v := p.v
	if v.entities == nil {
		return unlimited(), nil
	}
	p.gates = v.snapshot.gates.On(leaf, p.path, p.gates[:0])
	p.entities = p.entities[:0]
	for _, gate := range p.gates {
		p.entities = append(p.entities, v.entities[gate])
	}
	p.entities = append(append(p.entities, p.q.Also...), p.q.Counted...)
	p.hold = p.q.Hold
	p.hold.Entities, p.hold.Again = p.entities, len(p.q.Counted)
	return v.router.limits.Reserve(ctx, &p.hold)
}

// unlimited is how things stand where there are no limits.
func unlimited() (s ratelimit.Standing) {
	for d := range s {
		s[d].Limit = ratelimit.None
	}
	return s
}

// deny keeps what denied out of this pick, and where nothing at all is left of it, out of all until then.
// freed is how often anything had been freed before the reservation was tried.
func (p *picking) deny(d *ratelimit.Denial, freed uint64) {
	v, gate := p.v, p.gates[max(0, slices.Index(p.entities, d.Entity))]
	until := v.elapsed() + d.RetryAfter
	if p.denied == nil {
		p.denied = map[int32]quota.Denied{}
	}
	p.denied[gate] = quota.Denied{Until: until, Dimension: d.Dimension, Never: d.Never}
	p.apart = p.apart || !d.Full || d.Never
	p.redraws++
	if d.Never {
		return
	}
	l := lack{quota.Amount{Dimension: d.Dimension, N: p.q.Hold.Amounts[d.Dimension]}, d.Full, until}
	if d.Full {
		l.N = 1
	}
	v.router.lacks(v.entities[gate], l, freed)
}

func (p *picking) result(leaf int32, standing ratelimit.Standing) Pick {
	v := p.v
	d := v.snapshot.deployments[leaf]
	pick := Pick{Deployment: d, Model: p.t.model(d), Standing: standing}
	switch {
	case p.t.group == none:
		pick.Path = []string{p.t.Group}
	case len(p.path) == 1:
		pick.Path = v.snapshot.groups[p.path[0].Group].Path
	default:
		pick.Path = make([]string, len(p.path))
		for i, place := range p.path {
			pick.Path[i] = v.snapshot.groups[place.Group].Name
		}
	}
	return pick
}
