package routing

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/nestor-gateway/nestor/routing/config"
	"github.com/nestor-gateway/nestor/routing/cooldown"
)

const (
	// defaultTimeout is the OpenAI SDK's own.
	defaultTimeout = 600 * time.Second
	// defaultRetries and defaultMaxFallbacks are LiteLLM's.
	defaultRetries      = 2
	defaultMaxFallbacks = 5
)

// settings are those of model_groups for a group, by its name or an alias.
func (s *Snapshot) settings(group string) config.Group {
	if g, ok := s.cfg.Groups[group]; ok {
		return g
	}
	t, _ := s.names[group]
	return s.cfg.Groups[t.Group]
}

// Timeouts returns how long an attempt at a deployment of a group may take: an answer whole,
// and a stream until its headers. What the deployment says comes before the group, that before the router;
// nothing configured is 600 s, as in the OpenAI SDK.
func (s *Snapshot) Timeouts(d *Deployment, group string) (unary, stream time.Duration) {
	unary = firstPositive(&d.Timeout, s.settings(group).Timeout, s.cfg.Router.Timeout)
	if unary == 0 {
		unary = defaultTimeout
	}
	return unary, firstPositive(&d.StreamTimeout, s.cfg.Router.StreamTimeout, &unary)
}

// LongestTimeout is the longest that an attempt may take, a stream until its headers.
func (s *Snapshot) LongestTimeout() time.Duration {
	var longest time.Duration
	for _, d := range s.deployments {
		unary, stream := s.Timeouts(d, "")
		longest = max(longest, unary, stream)
	}
	for _, g := range s.cfg.Groups {
		longest = max(longest, firstPositive(g.Timeout))
	}
	return longest
}

func firstPositive(choices ...*time.Duration) time.Duration {
	for _, c := range choices {
		if c != nil && *c > 0 {
			return *c
		}
	}
	return 0
}

// Retries returns how often a request may be tried again in a group after a failure of a class at a deployment:
// what a retry policy says, else the group's num_retries, the deployment's, the router's, or 2 as in LiteLLM.
// A group's own policy replaces the router's whole.
func (s *Snapshot) Retries(d *Deployment, group string, c Class) int {
	policy, ok := s.cfg.Router.GroupRetryPolicy[group]
	if !ok {
		policy = s.cfg.Router.RetryPolicy
	}
	if n, ok := cooldown.ByClass(policy, c, "Retries"); ok {
		return n
	}
	if n, ok := policy["DefaultRetries"]; ok {
		return n
	}
	for _, n := range []*int{s.settings(group).NumRetries, d.NumRetries, s.cfg.Router.NumRetries} {
		if n != nil {
			return *n
		}
	}
	return defaultRetries
}

// MaxFallbacks is how many groups may stand in during one request.
func (s *Snapshot) MaxFallbacks() int {
	if n := s.cfg.Router.MaxFallbacks; n != nil {
		return *n
	}
	return defaultMaxFallbacks
}

// anyGroup is the key of a fallback list for groups that have none of their own.
const anyGroup = "*"

// fallbackLists are by group or alias.
type fallbackLists struct {
	contextWindow, contentPolicy, general map[string][]string
}

// Fallbacks lists what a request can still go to after a failure of a class. been are the names it was
// picked from, the one that failed last first. For each of these in turn come the lists for the class,
// the group's own and the general ones; the default ones come last. Each once, and no group it has been to.
// A list that names an alias comes before one that names its group.
func (s *Snapshot) Fallbacks(c Class, been ...string) []string {
	seen := map[string]bool{}
	var all []string
	for _, name := range been {
		t, _ := s.Resolve(name)
		seen[name], seen[t.Group] = true, true
		all = append(all, s.ownFallbacks(c, t)...)
	}
	for _, k := range s.cfg.Router.DefaultFallbacks {
		all = append(all, k.Name)
	}
	return slices.DeleteFunc(all, func(to string) bool {
		resolved, _ := s.Resolve(to)
		skip := seen[to] || seen[resolved.Group]
		seen[to], seen[resolved.Group] = true, true
		return skip
	})
}

// ownFallbacks are those that name the target.
func (s *Snapshot) ownFallbacks(c Class, t Target) []string {
	var all []string
	switch c {
	case ContextWindow:
		all = fallbacksOf(s.fallbacks.contextWindow, t)
	case ContentPolicy:
		all = fallbacksOf(s.fallbacks.contentPolicy, t)
	}
	all = append(all, s.settings(t.Group).Fallbacks...)
	return append(all, fallbacksOf(s.fallbacks.general, t)...)
}

func fallbacksOf(lists map[string][]string, t Target) []string {
	for _, key := range []string{t.Name, t.Group, anyGroup} {
		if to, ok := lists[key]; ok {
			return slices.Clone(to)
		}
	}
	return nil
}

// checkSettings reports settings for names that the file does not have, and keeps the fallbacks.
func (c *compiler) checkSettings(s *Snapshot) {
	c.checkGroups(s)
	r := &c.cfg.Router
	s.fallbacks.contextWindow = c.fallbackList(s, r.ContextWindowFallbacks)
	s.fallbacks.contentPolicy = c.fallbackList(s, r.ContentPolicyFallbacks)
	s.fallbacks.general = c.fallbackList(s, r.Fallbacks)
	for _, k := range r.DefaultFallbacks {
		c.checkFallback(s, k.Name, k.At)
	}
}

func (c *compiler) checkGroups(s *Snapshot) {
	for _, name := range slices.Sorted(maps.Keys(c.cfg.Groups)) {
		g := c.cfg.Groups[name]
		for _, to := range g.Fallbacks {
			c.checkFallback(s, to, g.At)
		}
		if _, ok := c.Groups[name]; ok {
			continue
		}
		if end, alias := c.Ends[name]; alias {
			c.Problem(g.At, fmt.Sprintf("model_groups: %q is an alias and has no settings of its own", name),
				fmt.Sprintf("put them under %q", end))
			continue
		}
		c.Problem(g.At, fmt.Sprintf("model_groups: there is no group %q", name), c.near(name))
	}
}

// fallbackList sorts fallbacks by group. LiteLLM takes the first list for a group, and so does this.
func (c *compiler) fallbackList(s *Snapshot, list []config.Fallback) map[string][]string {
	by := make(map[string][]string, len(list))
	for _, f := range list {
		if _, ok := s.Resolve(f.Group); !ok && f.Group != anyGroup {
			c.Note(f.At, fmt.Sprintf("fallbacks for %q, which is no group, alias or model of the file, are not used", f.Group), c.near(f.Group))
		}
		for _, to := range f.To {
			c.checkFallback(s, to, f.At)
		}
		if _, twice := by[f.Group]; twice {
			c.Note(f.At, fmt.Sprintf("a second list of fallbacks for %q is not used", f.Group), "put all of them into the first")
			continue
		}
		by[f.Group] = f.To
	}
	return by
}

// checkFallback is stricter than LiteLLM, which finds out when it is too late.
func (c *compiler) checkFallback(s *Snapshot, to string, at config.Position) {
	if _, ok := s.Resolve(to); !ok {
		c.Problem(at, fmt.Sprintf("the fallback %q is no group, alias or model of the file", to), c.near(to))
	}
}
