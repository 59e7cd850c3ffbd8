package routing

import (
	"strings"

	"github.com/nestor-gateway/nestor/routing/composition"
	"github.com/nestor-gateway/nestor/routing/pattern"
	"github.com/nestor-gateway/nestor/routing/share"
)

// Target is what a name in a request means.
type Target struct {
	// Name is as called. Group is the group after aliases, or the deployment's id
	// or litellm_params.model where that is what matched; a pattern for a wildcard.
	Name, Group string

	snapshot *Snapshot
	// group counts the groups; none when the target is the one deployment that leaf counts.
	group, leaf int32
	// captures is what each * of a pattern matched; nil where there is no pattern.
	captures []string
}

// none is no group, or no deployment.
const none = composition.None

// Resolve finds what a name means: a deployment's id, an alias, a group, the pattern with the most
// literal characters that matches all of it, or the litellm_params.model of deployments, in this order.
func (s *Snapshot) Resolve(name string) (Target, bool) {
	t, ok := s.names[name]
	if !ok {
		t, ok = s.resolveUnnamed(name)
	}
	t.Name, t.snapshot = name, s
	return t, ok
}

// groupOf is the group that a name means: see Target.
func (s *Snapshot) groupOf(name string) (group string, ok bool) {
	t, ok := s.Resolve(name)
	return t.Group, ok
}

// resolveUnnamed is for names that are no id, alias or group.
func (s *Snapshot) resolveUnnamed(name string) (Target, bool) {
	for i := range s.wildcards {
		if captures, ok := s.wildcards[i].Match(name); ok {
			w := &s.wildcards[i]
			return Target{Group: w.Text, group: w.group, leaf: none, captures: captures}, true
		}
	}
	t, ok := s.models[name]
	return t, ok
}

// callable finds a deployment that can be called by its id: nothing could fill a * in its model.
func (s *Snapshot) callable(id string) (int32, bool) {
	leaf, ok := s.byID[id]
	return leaf, ok && !strings.Contains(s.deployments[leaf].Model, "*")
}

// Deployments lists every one that can be reached, once, in the order of the file.
func (t Target) Deployments() []*Deployment {
	if t.snapshot == nil {
		return nil
	}
	leaves := t.snapshot.leavesOf(t)
	out := make([]*Deployment, len(leaves))
	for i, leaf := range leaves {
		out[i] = t.snapshot.deployments[leaf]
	}
	return out
}

// leavesOf counts what Deployments lists.
func (s *Snapshot) leavesOf(t Target) []int32 {
	if t.group == none {
		return []int32{t.leaf}
	}
	return s.graph.LeavesBelow(t.group)
}

// eachOpenLeaf visits the leaves of a target that admit anything, ever, and to which one of the ways leads,
// each at least once, until f returns false.
func (s *Snapshot) eachOpenLeaf(t Target, w share.Ways, f func(leaf int32) bool) {
	open := func(leaf int32) bool { return s.graph.Closed(leaf) || f(leaf) }
	if t.group == none {
		open(t.leaf)
		return
	}
	s.graph.WalkLeaves(t.group, w, open)
}

// wildcard is a group whose name is a pattern.
type wildcard struct {
	pattern.Pattern
	group int32
}

// model is the provider's model for a deployment of the target, with its * filled in.
// As in LiteLLM: with more * in the pattern than in the model the called name is taken whole.
func (t *Target) model(d *Deployment) string {
	stars := strings.Count(d.Model, "*")
	switch {
	case t.captures == nil || stars == 0:
		return d.Model
	case len(t.captures) > stars:
		return strings.TrimPrefix(pattern.Fill(t.Group, t.captures), d.Provider+"/")
	}
	return pattern.Fill(d.Model, t.captures)
}
