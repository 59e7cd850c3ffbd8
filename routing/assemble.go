package routing

import (
	"cmp"
	"fmt"
	"hash/fnv"
	"slices"
	"strings"

	"github.com/nestor-gateway/nestor/routing/config"
	"github.com/nestor-gateway/nestor/routing/cooldown"
	"github.com/nestor-gateway/nestor/routing/share"
)

// node is a group of the graph: one of the file, or all entries with one litellm_params.model.
type node struct {
	name     string
	settings config.Group
	// tiers are the entries by order; orders are those orders, nil for the last tier.
	tiers  [][]int32
	orders []*int
	// path is the group alone, ready for picks that pass no other.
	path []string
	// salt makes draws in different groups independent under one seed.
	salt uint64
}

// assemble makes the snapshot of a config in which nothing was found wrong so far.
func (c *compiler) assemble() *Snapshot {
	s := &Snapshot{
		cfg: c.cfg, readings: c.readings, deployments: c.deployments,
		byID: make(map[string]int32, len(c.deployments)), names: map[string]Target{}, models: map[string]Target{},
		cooldown: cooldown.NewPolicy(&c.cfg.Router),
	}
	for i, d := range c.deployments {
		s.byID[d.ID] = int32(i)
	}
	c.nameGroups(s)
	c.nameModels(s)
	c.nameAliases(s)
	c.nameIDs(s)
	groups := make([]share.Group, len(s.nodes))
	for i := range s.nodes {
		groups[i] = c.shareGroup(s, &s.nodes[i])
	}
	closed := make([]bool, len(c.deployments))
	for i, d := range c.deployments {
		closed[i] = d.refuses() != ""
	}
	s.graph = share.NewGraph(groups, closed)
	s.summarize()
	return s
}

// refuses says why a deployment takes no request, ever; empty when it does.
func (d *Deployment) refuses() string {
	if d.Problem != "" {
		return d.Problem
	}
	return refusedBy(d.RPM, d.TPM)
}

// refusedBy names the limit that admits nothing, if one does.
func refusedBy(rpm, tpm *int64) string {
	switch {
	case admitsNothing(rpm):
		return "rpm is 0"
	case admitsNothing(tpm):
		return "tpm is 0"
	}
	return ""
}

func (c *compiler) newNode(name string, entries []int32) node {
	h := fnv.New64a()
	h.Write([]byte(name))
	n := node{name: name, path: []string{name}, salt: h.Sum64()}
	rank := func(i int32) int {
		if order := c.cfg.Entries[i].Params.Order; order != nil {
			return *order
		}
		return lastOrder
	}
	slices.SortStableFunc(entries, func(a, b int32) int { return cmp.Compare(rank(a), rank(b)) })
	for at := 0; at < len(entries); {
		end := at + 1
		for end < len(entries) && rank(entries[end]) == rank(entries[at]) {
			end++
		}
		n.tiers = append(n.tiers, entries[at:end:end])
		n.orders = append(n.orders, c.cfg.Entries[entries[at]].Params.Order)
		at = end
	}
	return n
}

func (c *compiler) nameGroups(s *Snapshot) {
	for i, name := range c.names {
		n := c.newNode(name, c.members[i])
		n.settings = c.cfg.Groups[name]
		s.nodes = append(s.nodes, n)
		if !strings.Contains(name, "*") {
			s.names[name] = Target{Group: name, group: int32(i), leaf: none}
			continue
		}
		s.wildcards = append(s.wildcards, newWildcard(name, int32(i)))
	}
	slices.SortStableFunc(s.wildcards, func(a, b wildcard) int { return cmp.Compare(b.literals, a.literals) })
	s.fileGroups = len(c.names)
}

// nameModels makes a group of all entries with one litellm_params.model, for direct calls by it.
func (c *compiler) nameModels(s *Snapshot) {
	byModel := map[string][]int32{}
	var order []string
	for i := range c.readings {
		model := c.cfg.Entries[i].Params.Model
		if c.readings[i].ref != "" || strings.Contains(model, "*") {
			continue
		}
		if byModel[model] == nil {
			order = append(order, model)
		}
		byModel[model] = append(byModel[model], int32(i))
	}
	for _, model := range order {
		entries := byModel[model]
		if len(entries) == 1 {
			s.models[model] = Target{Group: model, group: none, leaf: c.readings[entries[0]].leaf}
			continue
		}
		s.models[model] = Target{Group: model, group: int32(len(s.nodes)), leaf: none}
		s.nodes = append(s.nodes, c.newNode(model, entries))
	}
}

// nameAliases puts aliases before groups of the same name. An alias of no group leads where a call of its target would.
func (c *compiler) nameAliases(s *Snapshot) {
	targets := map[string]Target{}
	for i := range c.cfg.Router.Aliases {
		a := &c.cfg.Router.Aliases[i]
		end := c.ends[a.Name]
		t, ok := c.aliasTarget(s, end)
		switch {
		case strings.Contains(end, "*"):
			c.problem(a.At, fmt.Sprintf("alias %q names the pattern %q: nothing fills its *", a.Name, end),
				"name one model that the pattern matches")
		case !ok:
			c.problem(a.At, fmt.Sprintf("alias %q leads to %q, which is no group, alias, deployment or model of the file", a.Name, end),
				c.near(end))
		}
		targets[a.Name] = t
	}
	for name, t := range targets {
		s.names[name] = t
	}
}

// aliasTarget is what the end of a chain of aliases means: a group first, then in the order of a called name.
func (c *compiler) aliasTarget(s *Snapshot, end string) (Target, bool) {
	if g, ok := c.groups[end]; ok {
		return Target{Group: end, group: g, leaf: none}, true
	}
	if leaf, ok := s.callable(end); ok {
		return Target{Group: end, group: none, leaf: leaf}, true
	}
	return s.resolveUnnamed(end)
}

// nameIDs puts the ids before everything else.
func (c *compiler) nameIDs(s *Snapshot) {
	for i, d := range c.deployments {
		if strings.Contains(d.Model, "*") {
			continue
		}
		if _, taken := s.names[d.ID]; taken {
			e := &c.cfg.Entries[c.declared[i]]
			c.note(e.Position, fmt.Sprintf("model_info.id %q is also the name of a group or alias: calls by it reach only this deployment", d.ID),
				"give the deployment another id")
		}
		s.names[d.ID] = Target{Group: d.ID, group: none, leaf: int32(i)}
	}
}

func (c *compiler) shareGroup(s *Snapshot, n *node) share.Group {
	g := share.Group{Closed: admitsNothing(n.settings.RPM, n.settings.TPM), Limit: limits(n.settings.RPM, n.settings.TPM)}
	for _, entries := range n.tiers {
		tier := share.Tier{Members: make([]share.Member, len(entries))}
		for k, i := range entries {
			p := &c.cfg.Entries[i].Params
			tier.Weighted = tier.Weighted || p.Weight != nil
			tier.Members[k] = c.shareMember(s, i)
		}
		g.Tiers = append(g.Tiers, tier)
	}
	return g
}

func (c *compiler) shareMember(s *Snapshot, entry int32) share.Member {
	e, r := &c.cfg.Entries[entry], c.readings[entry]
	m := share.Member{
		To: r.leaf, Weight: 1,
		Closed: admitsNothing(e.Params.RPM, e.Params.TPM), Limit: limits(e.Params.RPM, e.Params.TPM),
	}
	if e.Params.Weight != nil {
		m.Weight = *e.Params.Weight
	}
	if r.ref == "" {
		return m
	}
	t, _ := c.aliasTarget(s, r.ref)
	switch {
	case t.captures != nil:
		c.problem(e.Params.ModelAt, fmt.Sprintf("%q leads to the pattern group %q, and a reference can't", e.Params.Model, t.Group),
			"refer to a group without * in its name")
	case t.group != none:
		m.To, m.Group = t.group, true
	default:
		m.To = t.leaf
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

// near is a hint that names what a mistyped name may mean.
func (c *compiler) near(name string) string {
	names := slices.Clone(c.names)
	for i := range c.cfg.Router.Aliases {
		names = append(names, c.cfg.Router.Aliases[i].Name)
	}
	if n := nearest(name, names); n != "" {
		return fmt.Sprintf("did you mean %q?", n)
	}
	return "name a group of model_list"
}
