package explain

import (
	"github.com/nestor-gateway/nestor/routing/config"
	"github.com/nestor-gateway/nestor/routing/deployment"
	"github.com/nestor-gateway/nestor/routing/share"
)

// Group is a group as it is drawn. One that was drawn before in the same tree has Shared set and no Tiers,
// so that a drawing does not grow with the number of paths.
type Group struct {
	Name   string
	Shared bool
	// RPM, TPM and MaxParallel are the group's own limits, of model_groups.
	RPM, TPM, MaxParallel *int64
	// Tiers are in the order in which they are tried.
	Tiers []Tier
}

// Tier is the members of a group that share an order.
type Tier struct {
	// Order is nil for the last tier, of the members without one.
	Order *int
	// Active: this is the tier that is drawn from.
	Active bool
	// Unit is what shares are counted in: "weight", "rpm", "tpm", or "1" where all members count the same.
	// Of a group that is reached in several ways it is that of a call of the group itself.
	Unit    string
	Members []Member
}

// Member is one entry. Either Group or Deployment is set.
type Member struct {
	Group      *Group
	Deployment *deployment.Deployment
	// Weight and the limits are those of the entry itself; nil where it has none.
	Weight                *float64
	RPM, TPM, MaxParallel *int64
	// Share is the member's part of what reaches its group; Probability is its part of all requests,
	// over all paths to the group. Both from 0 to 1.
	Share, Probability float64
	// Unavailable is why it gets nothing in its tier's turn; empty when it would get some.
	Unavailable string
}

// drawing is a Result in the making.
type drawing struct {
	*Explainer
	state *share.State
	flow  share.Flow
	// equal says that capacities don't matter.
	equal bool
	drawn map[int32]bool
}

// group draws a group and all below it that is not drawn yet.
func (d *drawing) group(group int32) *Group {
	n := &d.Groups[group]
	t := &Group{Name: n.Name, RPM: n.Settings.RPM, TPM: n.Settings.TPM, MaxParallel: n.Settings.MaxParallel}
	if d.drawn[group] {
		t.Shared = true
		return t
	}
	d.drawn[group] = true
	flow, reached := d.flow.Members[group]
	if !reached {
		flow = d.state.Shares(group)
	}
	total := sum(flow)
	for i, entries := range n.Tiers {
		tier := Tier{Order: n.Orders[i], Active: i == d.state.Active(group), Unit: d.unit(group, i)}
		for k := range entries {
			m := d.member(group, i, k)
			if tier.Active && total > 0 {
				m.Share = flow[k] / total
			}
			if tier.Active && reached {
				m.Probability = flow[k]
			}
			tier.Members = append(tier.Members, m)
		}
		t.Tiers = append(t.Tiers, tier)
	}
	return t
}

func sum(of []float64) float64 {
	total := 0.0
	for _, v := range of {
		total += v
	}
	return total
}

func (d *drawing) member(group int32, tier, member int) Member {
	e := &d.Config.Entries[d.Groups[group].Tiers[tier][member]]
	m := Member{Weight: e.Params.Weight, RPM: e.Params.RPM, TPM: e.Params.TPM, MaxParallel: e.Params.MaxParallel}
	to := &d.Graph.Group(group).Tiers[tier].Members[member]
	live := d.state.MemberLive(group, tier, member)
	if to.Group {
		m.Group = d.group(to.To)
	} else {
		m.Deployment = d.Deployments[to.To]
	}
	if !live {
		m.Unavailable = d.memberReason(e, to)
	}
	return m
}

// memberReason is why a member that is not live is not.
func (d *drawing) memberReason(e *config.Entry, to *share.Member) string {
	if why := deployment.EntryRefuses(e); why != "" {
		return why
	}
	if !to.Group {
		return d.reason(to.To)
	}
	own := &d.Groups[to.To].Settings
	if why := deployment.RefusedBy(own.RPM, own.TPM, own.MaxParallel); why != "" {
		return "the group's " + why
	}
	return "nothing available in it"
}

// unit says what the shares of a tier are counted in when its group is called.
func (d *drawing) unit(group int32, tier int) string {
	if d.state.Weighs(group, tier) {
		return "weight"
	}
	if d.equal {
		return "1"
	}
	switch d.state.Unit(group) {
	case share.RPM:
		return "rpm"
	case share.TPM:
		return "tpm"
	}
	return "1"
}
