package routing

import (
	"github.com/nestor-gateway/nestor/routing/config"
	"github.com/nestor-gateway/nestor/routing/deployment"
	"github.com/nestor-gateway/nestor/routing/share"
)

// TreeGroup is a group as it is drawn. One that was drawn before in the same tree has Shared set and no Tiers,
// so that a drawing does not grow with the number of paths.
type TreeGroup struct {
	Name   string
	Shared bool
	// RPM, TPM and MaxParallel are the group's own limits, of model_groups.
	RPM, TPM, MaxParallel *int64
	// Tiers are in the order in which they are tried.
	Tiers []TreeTier
}

// TreeTier is the members of a group that share an order.
type TreeTier struct {
	// Order is nil for the last tier, of the members without one.
	Order *int
	// Active: this is the tier that is drawn from.
	Active bool
	// Unit is what shares are counted in: "weight", "rpm", "tpm", or "1" where all members count the same.
	// Of a group that is reached in several ways it is that of a call of the group itself.
	Unit    string
	Members []TreeMember
}

// TreeMember is one entry. Either Group or Deployment is set.
type TreeMember struct {
	Group      *TreeGroup
	Deployment *Deployment
	// Weight and the limits are those of the entry itself; nil where it has none.
	Weight                *float64
	RPM, TPM, MaxParallel *int64
	// Share is the member's part of what reaches its group; Probability is its part of all requests,
	// over all paths to the group. Both from 0 to 1.
	Share, Probability float64
	// Unavailable is why it gets nothing in its tier's turn; empty when it would get some.
	Unavailable string
}

// tree draws a group and all below it that is not drawn yet.
func (x *explaining) tree(group int32) *TreeGroup {
	n := &x.s.nodes[group]
	t := &TreeGroup{Name: n.name, RPM: n.settings.RPM, TPM: n.settings.TPM, MaxParallel: n.settings.MaxParallel}
	if x.drawn[group] {
		t.Shared = true
		return t
	}
	x.drawn[group] = true
	flow, reached := x.flow.Members[group]
	if !reached {
		flow = x.state.Shares(group)
	}
	for i, entries := range n.tiers {
		tier := TreeTier{Order: n.orders[i], Active: i == x.state.Active(group), Unit: x.unit(group, i)}
		for k := range entries {
			m := x.member(group, i, k)
			if tier.Active && k < len(flow) {
				m.Share, m.Probability = part(flow, k), flow[k]
			}
			if !reached {
				m.Probability = 0
			}
			tier.Members = append(tier.Members, m)
		}
		t.Tiers = append(t.Tiers, tier)
	}
	return t
}

// part is what one number is of the sum of all.
func part(of []float64, i int) float64 {
	total := 0.0
	for _, v := range of {
		total += v
	}
	if total == 0 {
		return 0
	}
	return of[i] / total
}

func (x *explaining) member(group int32, tier, member int) TreeMember {
	e := &x.s.cfg.Entries[x.s.nodes[group].tiers[tier][member]]
	m := TreeMember{Weight: e.Params.Weight, RPM: e.Params.RPM, TPM: e.Params.TPM, MaxParallel: e.Params.MaxParallel}
	to := &x.s.graph.Group(group).Tiers[tier].Members[member]
	live := x.state.MemberLive(group, tier, member)
	if to.Group {
		m.Group = x.tree(to.To)
	} else {
		m.Deployment = x.s.deployments[to.To]
	}
	if !live {
		m.Unavailable = x.memberReason(&e.Params, to)
	}
	return m
}

// memberReason is why a member that is not live is not.
func (x *explaining) memberReason(p *config.Params, to *share.Member) string {
	if why := deployment.RefusedBy(p.RPM, p.TPM, p.MaxParallel); why != "" {
		return why
	}
	if !to.Group {
		return x.reason(to.To)
	}
	own := &x.s.nodes[to.To].settings
	if why := deployment.RefusedBy(own.RPM, own.TPM, own.MaxParallel); why != "" {
		return "the group's " + why
	}
	return "nothing available in it"
}

// unit says what the shares of a tier are counted in when its group is called.
func (x *explaining) unit(group int32, tier int) string {
	if x.state.Weighs(group, tier) {
		return "weight"
	}
	if x.equal {
		return "1"
	}
	switch x.state.Unit(group) {
	case share.RPM:
		return "rpm"
	case share.TPM:
		return "tpm"
	}
	return "1"
}
