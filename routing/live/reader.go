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

// Reader reads how things stand at a time. What its State belongs to must be locked for reading, except for Limits.
type Reader struct {
	Deployments []*deployment.Deployment
	Groups      []composition.Group
	Graph       *share.Graph
	Gates       *quota.Gates
	State       *quota.State
	Now         time.Duration
	// Usage is what the store says of a gate.
	Usage func(gate int32) ratelimit.Usage
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
	if full := r.fullReason(leaf); full.Why != "" {
		l.WhyNot = append(l.WhyNot, full)
	}
	for d := range ratelimit.Dimension(ratelimit.Dimensions) {
		if end := r.State.SpentUntil(leaf, d); end > 0 {
			l.WhyNot = append(l.WhyNot, Reason{Why: Exhausted, Dimension: d.String(), Seconds: (end - r.Now).Seconds()})
		}
	}
	l.Eligible = len(l.WhyNot) == 0
	return l
}

// fullReason is empty for a gate that is not full.
func (r *Reader) fullReason(gate int32) Reason {
	in, end := r.State.FullUntil(gate)
	if end == 0 {
		return Reason{}
	}
	return Reason{Why: Full, Limit: r.Gates.Limit(gate).Name, Dimension: in.String(), Seconds: (end - r.Now).Seconds()}
}

func (r *Reader) fullUse(gate int32) *Until {
	full := r.fullReason(gate)
	if full.Why == "" {
		return nil
	}
	return &Until{Dimension: full.Dimension, Seconds: full.Seconds}
}

func (r *Reader) ways(groups map[int32]bool) ([]Reference, []Group) {
	references, own := []Reference{}, []Group{}
	for _, at := range r.Gates.References() {
		if gate, _ := r.Gates.AtPlace(at.Place); groups[at.Place.Group] {
			references = append(references, Reference{
				Name: at.Limit.Name, Group: at.From, To: at.To, Number: at.Number, Limits: r.uses(gate), Full: r.fullUse(gate)})
		}
	}
	for _, group := range r.Gates.Groups() {
		if gate, _ := r.Gates.OfGroup(group); groups[group] {
			own = append(own, Group{Name: r.Gates.Limit(gate).Name, Group: r.Groups[group].Name, Limits: r.uses(gate), Full: r.fullUse(gate)})
		}
	}
	return references, own
}

// Limits fills in what the store says of leaves.
func (r *Reader) Limits(s *Status, leaves []int32) {
	for i, leaf := range leaves {
		s.Deployments[i].Limits = r.uses(leaf)
		s.Deployments[i].InFlight = s.Deployments[i].Limits[ratelimit.Parallel].Used
	}
}

// uses tells how the limits of a gate stand.
func (r *Reader) uses(gate int32) []Use {
	u := r.Usage(gate)
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
	d.Eligible = !r.Graph.Closed(leaf) && r.State.OutUntil(leaf) == 0
	d.Probability = new(float64)
	if d.Eligible {
		*d.Probability = 1
	}
}

// Forecast adds to a status how the next requests for a group divide, by their flow in a state, and which full
// references and groups stand before a deployment.
func (r *Reader) Forecast(s *Status, group int32, leaves []int32, below map[int32]bool, state *share.State, flow share.Flow) {
	reached := map[int32]bool{}
	r.Graph.WalkLeaves(group, state, func(leaf int32) bool {
		if !r.Graph.Closed(leaf) {
			reached[leaf] = state.LeafOpen(leaf)
		}
		return true
	})
	for i, leaf := range leaves {
		d, p := &s.Deployments[i], flow.Leaves[leaf]
		d.Probability, d.Eligible = &p, reached[leaf]
		if _, way := reached[leaf]; !way {
			d.WhyNot = append(d.WhyNot, r.fullAbove(leaf, below)...)
		}
		if !d.Eligible && len(d.WhyNot) == 0 {
			d.WhyNot = []Reason{{Why: Configured, Text: "nothing is let through to it"}}
		}
	}
}

// fullAbove lists what is full on the ways from a group to a leaf.
func (r *Reader) fullAbove(leaf int32, below map[int32]bool) []Reason {
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
	r.State.EachFullWay(func(gate int32) {
		p, group, isPlace := r.Gates.Way(gate)
		if isPlace {
			m := r.Graph.Group(p.Group).Tiers[p.Tier].Members[p.Member]
			if above[p.Group] && (m.Group && above[m.To] || !m.Group && m.To == leaf) {
				all = append(all, r.fullReason(gate))
			}
		} else if above[group] {
			all = append(all, r.fullReason(gate))
		}
	})
	slices.SortFunc(all, func(a, b Reason) int { return strings.Compare(a.Limit, b.Limit) })
	return all
}
