package routing

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/nestor-gateway/nestor/routing/composition"
	"github.com/nestor-gateway/nestor/routing/cooldown"
	"github.com/nestor-gateway/nestor/routing/pattern"
)

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
	c.nameAccess(s)
	return s
}

// refer finds, by entry, what the references mean.
func (c *compiler) refer(s *Snapshot) []composition.Target {
	targets := make([]composition.Target, len(c.cfg.Entries))
	for i := range targets {
		ref := c.File.Entries[i].Ref
		if ref == "" {
			targets[i] = composition.Target{Group: none, Leaf: c.set.Of[i]}
			continue
		}
		t, _ := c.aliasTarget(s, ref)
		targets[i] = composition.Target{Group: t.group, Leaf: t.leaf, Reference: t.Group}
		if e := &c.cfg.Entries[i]; t.captures != nil {
			c.Problem(e.Params.ModelAt, fmt.Sprintf("%q leads to the pattern group %q, and a reference can't", e.Params.Model, t.Group),
				"refer to a group without * in its name")
		}
	}
	return targets
}

func (c *compiler) nameGroups(s *Snapshot) {
	for i, name := range c.Names {
		g := composition.NewGroup(c.cfg, name, c.Members[i])
		g.Settings = c.cfg.Groups[name]
		s.groups = append(s.groups, g)
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
		s.models[model] = Target{Group: model, group: int32(len(s.groups)), leaf: none}
		s.groups = append(s.groups, composition.NewGroup(c.cfg, model, entries))
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
				c.Near(end))
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
