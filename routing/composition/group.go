// Package composition turns the entries of a config into groups made of groups: the graph that shares are computed on,
// and the gates that limits stand at.
package composition

import (
	"cmp"
	"hash/fnv"
	"math"
	"slices"

	"github.com/nestor-gateway/nestor/routing/config"
	"github.com/nestor-gateway/nestor/routing/deployment"
	"github.com/nestor-gateway/nestor/routing/share"
)

// lastOrder is the rank of members without an order: after all that have one.
const lastOrder = math.MaxInt

// Group is a group of the graph: one of the file, or all entries with one litellm_params.model.
type Group struct {
	Name     string
	Settings config.Group
	// Tiers are the entries by order; Orders are those orders, nil for the last tier.
	Tiers  [][]int32
	Orders []*int
	// Path is the group alone, ready for picks that pass no other.
	Path []string
	// Salt makes draws in different groups independent under one seed.
	Salt uint64
}

// NewGroup divides entries of a config into tiers. It keeps and sorts members.
func NewGroup(cfg *config.Config, name string, members []int32) Group {
	h := fnv.New64a()
	h.Write([]byte(name))
	g := Group{Name: name, Path: []string{name}, Salt: h.Sum64()}
	rank := func(i int32) int {
		if order := cfg.Entries[i].Params.Order; order != nil {
			return *order
		}
		return lastOrder
	}
	slices.SortStableFunc(members, func(a, b int32) int { return cmp.Compare(rank(a), rank(b)) })
	for at := 0; at < len(members); {
		end := at + 1
		for end < len(members) && rank(members[end]) == rank(members[at]) {
			end++
		}
		g.Tiers = append(g.Tiers, members[at:end:end])
		g.Orders = append(g.Orders, cfg.Entries[members[at]].Params.Order)
		at = end
	}
	return g
}

// None is no group, or no leaf.
const None = -1

// Target is what an entry leads to.
type Target struct {
	// Group is None when it is the deployment Leaf.
	Group, Leaf int32
	// Reference names the target of a reference, which may be a deployment too; empty for an entry that declares one.
	Reference string
}

// Composition is groups made of the entries of a config.
type Composition struct {
	Config      *config.Config
	Deployments []*deployment.Deployment
	Groups      []Group
	// Targets are by entry.
	Targets []Target
}

// Graph is what shares are computed on: leaves are deployments, groups are Groups.
func (c *Composition) Graph() *share.Graph {
	groups := make([]share.Group, len(c.Groups))
	for i := range groups {
		groups[i] = c.shareGroup(&c.Groups[i])
	}
	closed := make([]bool, len(c.Deployments))
	for i, d := range c.Deployments {
		closed[i] = d.Refuses() != ""
	}
	return share.NewGraph(groups, closed)
}

func (c *Composition) shareGroup(g *Group) share.Group {
	own := &g.Settings
	to := share.Group{
		Closed: deployment.AdmitsNothing(own.RPM, own.TPM, own.MaxParallel),
		Limit:  limits(own.RPM, own.TPM),
	}
	for _, entries := range g.Tiers {
		tier := share.Tier{Members: make([]share.Member, len(entries))}
		for k, i := range entries {
			e := &c.Config.Entries[i]
			tier.Weighted = tier.Weighted || e.Params.Weight != nil
			tier.Members[k] = shareMember(e, c.Targets[i])
		}
		to.Tiers = append(to.Tiers, tier)
	}
	return to
}

func shareMember(e *config.Entry, t Target) share.Member {
	p := &e.Params
	m := share.Member{To: t.Leaf, Weight: 1, Closed: deployment.EntryRefuses(e) != "", Limit: limits(p.RPM, p.TPM)}
	if p.Weight != nil {
		m.Weight = *p.Weight
	}
	if t.Group != None {
		m.To, m.Group = t.Group, true
	}
	return m
}

// limits gives rpm and tpm as the shares count them: 0 is none, and what is 0 in the file is closed anyway.
func limits(rpm, tpm *int64) (l [2]float64) {
	for i, n := range []*int64{rpm, tpm} {
		if n != nil {
			l[i] = float64(*n)
		}
	}
	return l
}
