package routing

import (
	"cmp"
	"fmt"
	"hash/fnv"
	"math"
	"slices"
	"strings"

	"github.com/nestor-gateway/nestor/routing/config"
	"github.com/nestor-gateway/nestor/routing/cooldown"
	"github.com/nestor-gateway/nestor/routing/deployment"
	"github.com/nestor-gateway/nestor/routing/pattern"
	"github.com/nestor-gateway/nestor/routing/share"
)

// lastOrder is the rank of members without an order: after all that have one.
const lastOrder = math.MaxInt

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

// name makes a snapshot in which names can be resolved, of a config in which nothing was found wrong so far.
func (c *compiler) name() *Snapshot {
	s := &Snapshot{
		cfg: c.cfg, deployments: c.set.All, cooldown: cooldown.NewPolicy(&c.cfg.Router), tuning: newTuning(&c.cfg.Router.StrategyArgs),
		byID: make(map[string]int32, len(c.set.All)), names: map[string]Target{}, models: map[string]Target{},
	}
	for i, d := range s.deployments {
		s.byID[d.ID] = int32(i)
	}
	c.nameGroups(s)
	c.nameModels(s)
	c.nameAliases(s)
	c.nameIDs(s)
	return s
}

// refer finds, by entry, what the references mean.
func (c *compiler) refer(s *Snapshot) []Target {
	targets := make([]Target, len(c.cfg.Entries))
	for i := range targets {
		targets[i] = Target{group: none, leaf: c.set.Of[i]}
		ref := c.File.Entries[i].Ref
		if ref == "" {
			continue
		}
		targets[i], _ = c.aliasTarget(s, ref)
		if e := &c.cfg.Entries[i]; targets[i].captures != nil {
			c.Problem(e.Params.ModelAt, fmt.Sprintf("%q leads to the pattern group %q, and a reference can't", e.Params.Model, targets[i].Group),
				"refer to a group without * in its name")
		}
	}
	return targets
}

// build makes the graph of a snapshot in which nothing is wrong.
func (c *compiler) build(s *Snapshot, targets []Target) {
	groups := make([]share.Group, len(s.nodes))
	for i := range s.nodes {
		groups[i] = c.shareGroup(&s.nodes[i], targets)
	}
	closed := make([]bool, len(s.deployments))
	for i, d := range s.deployments {
		closed[i] = d.Refuses() != ""
	}
	s.graph = share.NewGraph(groups, closed)
	s.gates = c.gates(s, targets)
	s.summarize()
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
	for i, name := range c.Names {
		n := c.newNode(name, c.Members[i])
		n.settings = c.cfg.Groups[name]
		s.nodes = append(s.nodes, n)
		if !strings.Contains(name, "*") {
			s.names[name] = Target{Group: name, group: int32(i), leaf: none}
			continue
		}
		s.wildcards = append(s.wildcards, wildcard{pattern.New(name), int32(i)})
	}
	slices.SortStableFunc(s.wildcards, func(a, b wildcard) int { return cmp.Compare(b.Literals, a.Literals) })
	s.fileGroups = len(c.Names)
}

// nameModels makes a group of all entries with one litellm_params.model, for direct calls by it.
// Their orders, weights and limits count among each other as if they had been declared together, as in LiteLLM.
func (c *compiler) nameModels(s *Snapshot) {
	byModel := map[string][]int32{}
	var order []string
	for i := range c.File.Entries {
		model := c.cfg.Entries[i].Params.Model
		if c.File.Entries[i].Ref != "" || strings.Contains(model, "*") {
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
			s.models[model] = Target{Group: model, group: none, leaf: c.set.Of[entries[0]]}
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
		end := c.Ends[a.Name]
		t, ok := c.aliasTarget(s, end)
		switch {
		case strings.Contains(end, "*"):
			c.Problem(a.At, fmt.Sprintf("alias %q names the pattern %q: nothing fills its *", a.Name, end),
				"name one model that the pattern matches")
		case !ok:
			c.Problem(a.At, fmt.Sprintf("alias %q leads to %q, which is no group, alias, deployment or model of the file", a.Name, end),
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
	if g, ok := c.Groups[end]; ok {
		return Target{Group: end, group: g, leaf: none}, true
	}
	if leaf, ok := s.callable(end); ok {
		return Target{Group: end, group: none, leaf: leaf}, true
	}
	return s.resolveUnnamed(end)
}

// nameIDs puts the ids before everything else.
func (c *compiler) nameIDs(s *Snapshot) {
	for i, d := range c.set.All {
		if strings.Contains(d.Model, "*") {
			continue
		}
		if _, taken := s.names[d.ID]; taken {
			e := &c.cfg.Entries[c.set.Declared[i]]
			c.Note(e.Position, fmt.Sprintf("model_info.id %q is also the name of a group or alias: calls by it reach only this deployment", d.ID),
				"give the deployment another id")
		}
		s.names[d.ID] = Target{Group: d.ID, group: none, leaf: int32(i)}
	}
}

func (c *compiler) shareGroup(n *node, targets []Target) share.Group {
	g := share.Group{
		Closed: deployment.AdmitsNothing(n.settings.RPM, n.settings.TPM, n.settings.MaxParallel),
		Limit:  limits(n.settings.RPM, n.settings.TPM),
	}
	for _, entries := range n.tiers {
		tier := share.Tier{Members: make([]share.Member, len(entries))}
		for k, i := range entries {
			p := &c.cfg.Entries[i].Params
			tier.Weighted = tier.Weighted || p.Weight != nil
			tier.Members[k] = shareMember(p, targets[i])
		}
		g.Tiers = append(g.Tiers, tier)
	}
	return g
}

func shareMember(p *config.Params, t Target) share.Member {
	m := share.Member{
		To: t.leaf, Weight: 1,
		Closed: deployment.AdmitsNothing(p.RPM, p.TPM, p.MaxParallel), Limit: limits(p.RPM, p.TPM),
	}
	if p.Weight != nil {
		m.Weight = *p.Weight
	}
	if t.group != none {
		m.To, m.Group = t.group, true
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

// near is a hint for a name that means nothing.
func (c *compiler) near(name string) string {
	return cmp.Or(c.Near(name), "name a group of model_list")
}
