package live

import (
	"slices"
	"strings"
	"time"

	"github.com/nestor-gateway/nestor/ratelimit"
	"github.com/nestor-gateway/nestor/routing/composition"
	"github.com/nestor-gateway/nestor/routing/deployment"
	"github.com/nestor-gateway/nestor/routing/quota"
	"github.com/nestor-gateway/nestor/routing/share"
)

// Reader reads how things stand at a time. What its State belongs to must be locked for reading.
type Reader struct {
	Deployments []*deployment.Deployment
	Groups      []composition.Group
	Graph       *share.Graph
	Gates       *quota.Gates
	State       *quota.State
	Now         time.Duration
	// Usage is what the store says, by gate: of the leaves, and of all that is limited in the groups, that are looked at.
	Usage map[int32]ratelimit.Usage
	// Speed is the mean time, in seconds, of a deployment's whole answers and of its first tokens.
	Speed func(id string) (whole, first float64)
}

// Status is what the state says of leaves, in their order, and of the references and groups that groups has.
func (r *Reader) Status(leaves []int32, groups map[int32]bool) (s Status) {
	for _, leaf := range leaves {
		s.Deployments = append(s.Deployments, r.leaf(leaf))
	}
	s.References, s.Groups = r.ways(groups)
	return s
}

func (r *Reader) leaf(leaf int32) Deployment {
	d := r.Deployments[leaf]
	l := Deployment{ID: d.ID, Name: r.Gates.Limit(leaf).Name, Model: d.Written, APIBase: d.Base.String()}
	l.Latency, l.FirstToken = r.Speed(d.ID)
	if text := d.Refuses(); text != "" {
		l.WhyNot = append(l.WhyNot, Reason{Why: Configured, Text: text})
	}
	if end := r.State.CoolingUntil(leaf); end > 0 {
		l.Cooldown = (end - r.Now).Seconds()
		l.WhyNot = append(l.WhyNot, Reason{Why: Cooling, Seconds: l.Cooldown})
	}
	if reason, stops := r.stops(leaf); stops {
		l.WhyNot = append(l.WhyNot, reason)
	}
	for d := range ratelimit.Dimension(ratelimit.Dimensions) {
		if end := r.State.SpentUntil(leaf, d); end > 0 {
			l.WhyNot = append(l.WhyNot, Reason{Why: Exhausted, Dimension: d.String(), Seconds: (end - r.Now).Seconds()})
		}
	}
	l.Eligible = len(l.WhyNot) == 0
	l.Limits = r.uses(leaf)
	l.InFlight = l.Limits[ratelimit.Parallel].Used
	return l
}

// stops says why a gate admits nothing, if that is so: as picks were told, or as the next one will be.
func (r *Reader) stops(gate int32) (Reason, bool) {
	u, name := r.Usage[gate], r.Gates.Limit(gate).Name
	if u.Closed > 0 {
		return Reason{Why: Closed, Limit: name, Seconds: u.Closed.Seconds()}, true
	}
	if in, end := r.State.FullUntil(gate); end > 0 {
		return Reason{Why: Full, Limit: name, Dimension: in.String(), Seconds: (end - r.Now).Seconds()}, true
	}
	if in, free := longest(&u.Free); free > 0 {
		return Reason{Why: Full, Limit: name, Dimension: in.String(), Seconds: free.Seconds()}, true
	}
	return Reason{}, false
}

func longest(free *[ratelimit.Dimensions]time.Duration) (in ratelimit.Dimension, d time.Duration) {
	for at, one := range free {
		if one > d {
			in, d = ratelimit.Dimension(at), one
		}
	}
	return in, d
}

// EachStopped calls f for the gates that admit nothing.
func (r *Reader) EachStopped(f func(gate int32)) {
	for gate := range r.Usage {
		if _, stops := r.stops(gate); stops {
			f(gate)
		}
	}
}

// stoppedWays are the gates of references and groups that admit nothing.
func (r *Reader) stoppedWays() (ways []int32) {
	r.EachStopped(func(gate int32) {
		if !r.Gates.IsLeaf(gate) {
			ways = append(ways, gate)
		}
	})
	return ways
}

// stopped is why the limit of a reference or a group admits nothing, and for how long.
func (r *Reader) stopped(gate int32) (full *Until, closed float64) {
	switch reason, _ := r.stops(gate); reason.Why {
	case Full:
		return &Until{Dimension: reason.Dimension, Seconds: reason.Seconds}, 0
	case Closed:
		return nil, reason.Seconds
	}
	return nil, 0
}

// EachWay calls f for the gates of the references and groups that are limited in some groups.
func EachWay(gates *quota.Gates, groups map[int32]bool, f func(gate int32)) {
	for _, at := range gates.References() {
		if gate, _ := gates.AtPlace(at.Place); groups[at.Place.Group] {
			f(gate)
		}
	}
	for _, group := range gates.Groups() {
		if gate, _ := gates.OfGroup(group); groups[group] {
			f(gate)
		}
	}
}

func (r *Reader) ways(groups map[int32]bool) ([]Reference, []Group) {
	references, own := []Reference{}, []Group{}
	for _, at := range r.Gates.References() {
		if gate, _ := r.Gates.AtPlace(at.Place); groups[at.Place.Group] {
			full, closed := r.stopped(gate)
			references = append(references, Reference{
				Name: at.Limit.Name, Group: at.From, To: at.To, Number: at.Number, Limits: r.uses(gate), Full: full, Closed: closed})
		}
	}
	for _, group := range r.Gates.Groups() {
		if gate, _ := r.Gates.OfGroup(group); groups[group] {
			full, closed := r.stopped(gate)
			own = append(own, Group{Name: r.Gates.Limit(gate).Name, Group: r.Groups[group].Name, Limits: r.uses(gate), Full: full, Closed: closed})
		}
	}
	return references, own
}

// uses tells how the limits of a gate stand.
func (r *Reader) uses(gate int32) []Use {
	u := r.Usage[gate]
	all := make([]Use, ratelimit.Dimensions)
	for d := range all {
		all[d] = Use{Dimension: ratelimit.Dimension(d).String(), Used: u.Used[d], Reset: u.Reset[d].Seconds()}
		if u.Most[d] != ratelimit.None {
			all[d].Limit = &u.Most[d]
		}
	}
	return all
}

// Alone says what becomes of the next call of a deployment by itself: it goes there, cooling or not.
func (r *Reader) Alone(d *Deployment, leaf int32) {
	_, stopped := r.stops(leaf)
	d.Eligible = !r.Graph.Closed(leaf) && r.State.OutUntil(leaf) == 0 && !stopped
	d.Probability = new(float64)
	if d.Eligible {
		*d.Probability = 1
	}
}

// Forecast adds to a status how the next requests for a group divide, by their flow in a state, and which
// references and groups that admit nothing stand before a deployment.
func (r *Reader) Forecast(s *Status, group int32, leaves []int32, below map[int32]bool, state *share.State, flow share.Flow) {
	reached := map[int32]bool{}
	r.Graph.WalkLeaves(group, state, func(leaf int32) bool {
		if !r.Graph.Closed(leaf) {
			reached[leaf] = state.LeafOpen(leaf)
		}
		return true
	})
	ways := r.stoppedWays()
	for i, leaf := range leaves {
		d, p := &s.Deployments[i], flow.Leaves[leaf]
		d.Probability, d.Eligible = &p, reached[leaf]
		if _, way := reached[leaf]; !way {
			d.WhyNot = append(d.WhyNot, r.stoppedAbove(leaf, below, ways)...)
		}
		if !d.Eligible && len(d.WhyNot) == 0 {
			d.WhyNot = []Reason{{Why: Configured, Text: "nothing is let through to it"}}
		}
	}
}

// stoppedAbove lists what, of all that admits nothing, is on the ways from a group to a leaf.
func (r *Reader) stoppedAbove(leaf int32, below map[int32]bool, stopped []int32) []Reason {
	above := map[int32]bool{}
	for stack := r.Graph.LeafParents(leaf); len(stack) > 0; {
		top := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		if below[top] && !above[top] {
			above[top] = true
			stack = append(stack, r.Graph.Parents(top)...)
		}
	}
	var all []Reason
	for _, gate := range stopped {
		reason, _ := r.stops(gate)
		p, group, isPlace := r.Gates.Way(gate)
		if isPlace {
			m := r.Graph.Group(p.Group).Tiers[p.Tier].Members[p.Member]
			if above[p.Group] && (m.Group && above[m.To] || !m.Group && m.To == leaf) {
				all = append(all, reason)
			}
		} else if above[group] {
			all = append(all, reason)
		}
	}
	slices.SortFunc(all, func(a, b Reason) int { return strings.Compare(a.Limit, b.Limit) })
	return all
}
