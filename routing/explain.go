package routing

import (
	"fmt"

	"github.com/nestor-gateway/nestor/routing/explain"
	"github.com/nestor-gateway/nestor/routing/reading"
	"github.com/nestor-gateway/nestor/routing/strategy"
)

// Explain computes with which probability a request for a name goes to each deployment while those of `without`
// are out: deployment ids, or litellm_params.model as written. Everything else counts as healthy.
// It is an error when the name means nothing, or a part of `without` names no deployment.
func (s *Snapshot) Explain(model string, without []string) (*explain.Result, error) {
	t, ok := s.Resolve(model)
	if !ok {
		return nil, fmt.Errorf("no group, alias, deployment or model is called %q%s", model, s.meant(model))
	}
	out, err := s.leftOut(without)
	if err != nil {
		return nil, err
	}
	x := explain.Explainer{Config: s.cfg, Deployments: s.deployments, Groups: s.groups, Graph: s.graph, Out: out, Divide: s.divide}
	if t.group == none {
		r := x.Leaf(t.leaf, t.Group)
		r.Model, r.Group = t.Name, t.Group
		return r, nil
	}
	r := x.Group(t.group)
	r.Model, r.Group = t.Name, t.Group
	if kind, name := s.strategyOf(t.group); kind != strategy.SimpleShuffle {
		r.Strategy = name
	}
	return r, nil
}

// meant says which name was probably meant, for the end of an error.
func (s *Snapshot) meant(name string) string {
	var names []string
	for i := range s.groups[:s.fileGroups] {
		names = append(names, s.groups[i].Name)
	}
	for _, a := range s.cfg.Router.Aliases {
		names = append(names, a.Name)
	}
	if n := reading.Nearest(name, names); n != "" {
		return fmt.Sprintf("; did you mean %q?", n)
	}
	return ""
}

// leftOut counts the deployments that are named by id or by model.
func (s *Snapshot) leftOut(without []string) (map[int32]bool, error) {
	out := map[int32]bool{}
	for _, name := range without {
		if leaf, ok := s.byID[name]; ok {
			out[leaf] = true
			continue
		}
		found := false
		for leaf, d := range s.deployments {
			if d.Written == name {
				out[int32(leaf)], found = true, true
			}
		}
		if !found {
			return nil, fmt.Errorf("no deployment has the id or model %q", name)
		}
	}
	return out, nil
}
