package routing

import (
	"slices"
	"strings"
	"time"

	"github.com/nestor-gateway/nestor/ratelimit"
	"github.com/nestor-gateway/nestor/routing/share"
)

// Live is how things stand, for a called name or for all deployments.
type Live struct {
	// Model and Group are as in Target; empty for all deployments.
	Model string `json:"model,omitempty"`
	Group string `json:"group,omitempty"`
	// Deployments are in the order of the file.
	Deployments []LiveDeployment `json:"deployments"`
	// References and Groups are those with limits of their own.
	References []LiveReference `json:"references"`
	Groups     []LiveGroup     `json:"groups"`
}

// LiveDeployment is how a deployment stands. Times are in seconds from now.
type LiveDeployment struct {
	ID string `json:"id"`
	// Name is that of its limits, as in Reason.Limit.
	Name string `json:"limit_name"`
	// Model is litellm_params.model as written.
	Model   string `json:"model"`
	APIBase string `json:"api_base"`
	// Probability is that of the next request; nil where nothing in particular is called.
	Probability *float64 `json:"probability,omitempty"`
	// Eligible says that a request can go to it, in its tier's turn. A deployment that is cooling can be
	// when cooldown is all that keeps out every deployment of the called group.
	Eligible bool `json:"eligible"`
	// WhyNot is everything that stands in the way.
	WhyNot   []Reason `json:"why_not,omitempty"`
	InFlight int64    `json:"in_flight"`
	Limits   []Use    `json:"limits"`
	Cooldown float64  `json:"cooldown_seconds"`
	// FirstToken of streams and Latency of whole answers are means of the latest ones; 0 where nothing is known.
	FirstToken float64 `json:"first_token_seconds"`
	Latency    float64 `json:"latency_seconds"`
}

// LiveReference is how the limits of a reference stand.
type LiveReference struct {
	Name  string `json:"limit_name"`
	Group string `json:"group"`
	To    string `json:"to"`
	// Number counts the references of the group to the same target, from 1.
	Number int    `json:"number"`
	Limits []Use  `json:"limits"`
	Full   *Until `json:"full,omitempty"`
}

// LiveGroup is how the limits of a group stand.
type LiveGroup struct {
	Name   string `json:"limit_name"`
	Group  string `json:"group"`
	Limits []Use  `json:"limits"`
	Full   *Until `json:"full,omitempty"`
}

// Use is how one dimension of a limit stands.
type Use struct {
	// Dimension is "requests", "tokens" or "parallel".
	Dimension string `json:"dimension"`
	Used      int64  `json:"used"`
	// Limit is nil where there is none.
	Limit *int64 `json:"limit"`
	// Reset is when nothing counts any more.
	Reset float64 `json:"reset_seconds"`
}

// Until is in which dimension something is full, and for how long.
type Until struct {
	Dimension string  `json:"dimension"`
	Seconds   float64 `json:"seconds"`
}

// Reason is why a deployment is not eligible.
type Reason struct {
	// Why is Configured, Cooling, Full or Exhausted.
	Why string `json:"why"`
	// Limit names the limit that is full: "deployment:ID", "reference:GROUP:TARGET:NUMBER" or "group:NAME".
	Limit string `json:"limit,omitempty"`
	// Dimension is that in which it is full or exhausted.
	Dimension string `json:"dimension,omitempty"`
	// Seconds is for how long; 0 for Configured, which lasts.
	Seconds float64 `json:"seconds,omitempty"`
	// Text is what the config says.
	Text string `json:"text,omitempty"`
}

// The reasons: the config lets nothing through, a cooldown, a limit, or a provider that has announced it.
const (
	Configured = "config"
	Cooling    = "cooling"
	Full       = "full"
	Exhausted  = "exhausted"
)

// Live tells how a target stands, with the probabilities of the next request.
func (v *View) Live(t Target) Live {
	t = v.adopt(t)
	l := Live{Model: t.Name, Group: t.Group}
	if t.group == none && t.leaf == none {
		return l
	}
	leaves := v.snapshot.leavesOf(t)
	below := map[int32]bool{}
	if t.group != none {
		v.snapshot.graph.Walk(t.group, share.AllWays{}, func(group int32) bool {
			below[group] = true
			return true
		})
	}
	v.lookAt(&l, leaves, below, func(now time.Duration) { v.forecast(&l, t, leaves, below, now) })
	return l
}

// LiveAll tells how all deployments stand, whatever leads to them.
func (v *View) LiveAll() Live {
	leaves, groups := make([]int32, len(v.snapshot.deployments)), map[int32]bool{}
	for i := range leaves {
		leaves[i] = int32(i)
	}
	for i := range v.snapshot.groups {
		groups[int32(i)] = true
	}
	var l Live
	v.lookAt(&l, leaves, groups, func(time.Duration) {})
	return l
}

// lookAt fills in what the state says of leaves and groups, and more, under one lock; then what the store says.
func (v *View) lookAt(l *Live, leaves []int32, groups map[int32]bool, more func(now time.Duration)) {
	now := v.elapsed()
	v.recover(now)
	v.mu.RLock()
	for _, leaf := range leaves {
		l.Deployments = append(l.Deployments, v.liveLeaf(leaf, now))
	}
	l.References, l.Groups = v.liveWays(groups, now)
	more(now)
	v.mu.RUnlock()
	for i, leaf := range leaves {
		l.Deployments[i].Limits = v.uses(leaf)
		l.Deployments[i].InFlight = l.Deployments[i].Limits[ratelimit.Parallel].Used
	}
}

func (v *View) liveLeaf(leaf int32, now time.Duration) LiveDeployment {
	d := v.snapshot.deployments[leaf]
	l := LiveDeployment{ID: d.ID, Name: v.snapshot.gates.Limit(leaf).Name, Model: d.Written, APIBase: d.Base.String()}
	l.Latency, l.FirstToken = v.router.speeds.means(d.ID, now, v.snapshot.tuning.TTL)
	if text := d.Refuses(); text != "" {
		l.WhyNot = append(l.WhyNot, Reason{Why: Configured, Text: text})
	}
	if end := v.state.CoolingUntil(leaf); end > 0 {
		l.Cooldown = (end - now).Seconds()
		l.WhyNot = append(l.WhyNot, Reason{Why: Cooling, Seconds: l.Cooldown})
	}
	if full := v.fullReason(leaf, now); full.Why != "" {
		l.WhyNot = append(l.WhyNot, full)
	}
	for d := range ratelimit.Dimension(ratelimit.Dimensions) {
		if end := v.state.SpentUntil(leaf, d); end > 0 {
			l.WhyNot = append(l.WhyNot, Reason{Why: Exhausted, Dimension: d.String(), Seconds: (end - now).Seconds()})
		}
	}
	l.Eligible = len(l.WhyNot) == 0
	return l
}

// fullReason is empty for a gate that is not full.
func (v *View) fullReason(gate int32, now time.Duration) Reason {
	in, end := v.state.FullUntil(gate)
	if end == 0 {
		return Reason{}
	}
	return Reason{Why: Full, Limit: v.snapshot.gates.Limit(gate).Name, Dimension: in.String(), Seconds: (end - now).Seconds()}
}

func (v *View) fullUse(gate int32, now time.Duration) *Until {
	r := v.fullReason(gate, now)
	if r.Why == "" {
		return nil
	}
	return &Until{Dimension: r.Dimension, Seconds: r.Seconds}
}

func (v *View) liveWays(groups map[int32]bool, now time.Duration) ([]LiveReference, []LiveGroup) {
	references, own := []LiveReference{}, []LiveGroup{}
	gates := v.snapshot.gates
	for _, r := range gates.References() {
		if gate, _ := gates.AtPlace(r.Place); groups[r.Place.Group] {
			references = append(references, LiveReference{
				Name: r.Limit.Name, Group: r.From, To: r.To, Number: r.Number, Limits: v.uses(gate), Full: v.fullUse(gate, now)})
		}
	}
	for _, group := range gates.Groups() {
		if gate, _ := gates.OfGroup(group); groups[group] {
			own = append(own, LiveGroup{
				Name: gates.Limit(gate).Name, Group: v.snapshot.groups[group].Name, Limits: v.uses(gate), Full: v.fullUse(gate, now)})
		}
	}
	return references, own
}

// uses tells how the limits of a gate stand.
func (v *View) uses(gate int32) []Use {
	u := v.usage(gate)
	all := make([]Use, ratelimit.Dimensions)
	for d := range all {
		all[d] = Use{Dimension: ratelimit.Dimension(d).String(), Used: u.Used[d], Reset: u.Reset[d].Seconds()}
		if u.Most[d] != ratelimit.None {
			all[d].Limit = &u.Most[d]
		}
	}
	return all
}

// forecast adds the probabilities of the next request, and which full references and groups stand before a deployment.
func (v *View) forecast(l *Live, t Target, leaves []int32, below map[int32]bool, now time.Duration) {
	if t.group == none {
		d := &l.Deployments[0]
		d.Eligible = !v.snapshot.graph.Closed(t.leaf) && v.state.OutUntil(t.leaf) == 0
		d.Probability = new(float64)
		if d.Eligible {
			*d.Probability = 1
		}
		return
	}
	state := v.bent(t)
	reached := map[int32]bool{}
	v.snapshot.eachOpenLeaf(t, state, func(leaf int32) bool {
		reached[leaf] = state.LeafOpen(leaf)
		return true
	})
	flow := v.nextFlow(state, t.group)
	for i, leaf := range leaves {
		d, p := &l.Deployments[i], flow.Leaves[leaf]
		d.Probability, d.Eligible = &p, reached[leaf]
		if _, way := reached[leaf]; !way {
			d.WhyNot = append(d.WhyNot, v.fullAbove(leaf, below, now)...)
		}
		if !d.Eligible && len(d.WhyNot) == 0 {
			d.WhyNot = []Reason{{Why: Configured, Text: "nothing is let through to it"}}
		}
	}
}

// bent is the state, or where cooldown is all that is in the way, the state that a pick then makes of it.
func (v *View) bent(t Target) *share.State {
	if v.state.Shares.Live(t.group) {
		return v.state.Shares
	}
	state := v.state.Shares.Fork()
	if leaf, ok := v.firstBack(t, state, nil); ok {
		state.Set(leaf, true)
	}
	return state
}

// fullAbove lists what is full on the ways from a group to a leaf.
func (v *View) fullAbove(leaf int32, below map[int32]bool, now time.Duration) []Reason {
	s, above := v.snapshot, map[int32]bool{}
	for stack := s.graph.LeafParents(leaf); len(stack) > 0; {
		top := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		if below[top] && !above[top] {
			above[top] = true
			stack = append(stack, s.graph.Parents(top)...)
		}
	}
	var all []Reason
	v.state.EachFullWay(func(gate int32) {
		p, group, isPlace := s.gates.Way(gate)
		if isPlace {
			m := s.graph.Group(p.Group).Tiers[p.Tier].Members[p.Member]
			if above[p.Group] && (m.Group && above[m.To] || !m.Group && m.To == leaf) {
				all = append(all, v.fullReason(gate, now))
			}
		} else if above[group] {
			all = append(all, v.fullReason(gate, now))
		}
	})
	slices.SortFunc(all, func(a, b Reason) int { return strings.Compare(a.Limit, b.Limit) })
	return all
}
