package attempts

import (
	"fmt"
	"maps"
	"slices"

	"github.com/nestor-gateway/nestor/routing/config"
	"github.com/nestor-gateway/nestor/routing/deployment"
	"github.com/nestor-gateway/nestor/routing/reading"
)

// Read takes the settings out of a config. Those for names that it does not have are added to the problems of file.
func Read(cfg *config.Config, file *reading.File, deployments []*deployment.Deployment, groupOf GroupOf) *Settings {
	c, r := checker{file, groupOf}, &cfg.Router
	c.checkGroups(cfg.Groups)
	c.checkRetryPolicies(r.GroupRetryPolicy)
	s := &Settings{
		config: cfg, deployments: deployments, groupOf: groupOf,
		contextWindow: c.fallbacks(r.ContextWindowFallbacks),
		contentPolicy: c.fallbacks(r.ContentPolicyFallbacks),
		general:       c.fallbacks(r.Fallbacks),
	}
	for _, k := range r.DefaultFallbacks {
		c.checkFallback(k.Name, k.At)
	}
	return s
}

// checker says what is wrong with the settings.
type checker struct {
	*reading.File
	groupOf GroupOf
}

func (c checker) checkGroups(groups map[string]config.Group) {
	for _, name := range slices.Sorted(maps.Keys(groups)) {
		g := groups[name]
		for _, to := range g.Fallbacks {
			c.checkFallback(to, g.At)
		}
		if _, ok := c.Groups[name]; ok {
			continue
		}
		if end, alias := c.Ends[name]; alias {
			c.Problem(g.At, fmt.Sprintf("model_groups: %q is an alias and has no settings of its own", name),
				fmt.Sprintf("put them under %q", end))
			continue
		}
		c.Problem(g.At, fmt.Sprintf("model_groups: there is no group %q", name), c.Near(name))
	}
}

func (c checker) checkRetryPolicies(policies map[string]config.RetryPolicy) {
	for _, name := range slices.Sorted(maps.Keys(policies)) {
		if _, ok := c.groupOf(name); !ok {
			c.Note(policies[name].At, fmt.Sprintf("the retry policy for %q, which is no group, alias or model of the file, is not used", name), c.Near(name))
		}
	}
}

// fallbacks sorts fallbacks by group. LiteLLM takes the first list for a group, and so does this.
func (c checker) fallbacks(list []config.Fallback) map[string][]string {
	by := make(map[string][]string, len(list))
	for _, f := range list {
		if _, ok := c.groupOf(f.Group); !ok && f.Group != anyGroup {
			c.Note(f.At, fmt.Sprintf("fallbacks for %q, which is no group, alias or model of the file, are not used", f.Group), c.Near(f.Group))
		}
		for _, to := range f.To {
			c.checkFallback(to, f.At)
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
func (c checker) checkFallback(to string, at config.Position) {
	if _, ok := c.groupOf(to); !ok {
		c.Problem(at, fmt.Sprintf("the fallback %q is no group, alias or model of the file", to), c.Near(to))
	}
}
