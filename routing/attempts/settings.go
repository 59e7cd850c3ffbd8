// Package attempts tells what a config says about the attempts at a request: how long one may take, how many there may
// be, and which groups stand in for one that has nothing left.
package attempts

import (
	"time"

	"github.com/nestor-gateway/nestor/routing/config"
	"github.com/nestor-gateway/nestor/routing/cooldown"
	"github.com/nestor-gateway/nestor/routing/deployment"
)

const (
	// defaultTimeout is the OpenAI SDK's own.
	defaultTimeout = 600 * time.Second
	// defaultRetries and defaultMaxFallbacks are LiteLLM's.
	defaultRetries      = 2
	defaultMaxFallbacks = 5
)

// Settings are those of a config. They never change.
type Settings struct {
	config      *config.Config
	deployments []*deployment.Deployment
	groupOf     GroupOf
	// These are by group or alias.
	contextWindow, contentPolicy, general map[string][]string
}

// GroupOf finds the group that a name means: see routing.Target.
type GroupOf func(name string) (group string, ok bool)

// own are those of model_groups for a group, by its name or an alias.
func (s *Settings) own(group string) config.Group {
	if g, ok := s.config.Groups[group]; ok {
		return g
	}
	to, _ := s.groupOf(group)
	return s.config.Groups[to]
}

// Timeouts returns how long an attempt at a deployment of a group may take: an answer whole,
// and a stream until its headers. What the deployment says comes before the group, that before the router;
// nothing configured is 600 s, as in the OpenAI SDK.
func (s *Settings) Timeouts(d *deployment.Deployment, group string) (unary, stream time.Duration) {
	unary = firstPositive(&d.Timeout, s.own(group).Timeout, s.config.Router.Timeout)
	if unary == 0 {
		unary = defaultTimeout
	}
	return unary, firstPositive(&d.StreamTimeout, s.config.Router.StreamTimeout, &unary)
}

// LongestTimeout is the longest that an attempt may take, a stream until its headers.
func (s *Settings) LongestTimeout() time.Duration {
	var longest time.Duration
	for _, d := range s.deployments {
		unary, stream := s.Timeouts(d, "")
		longest = max(longest, unary, stream)
	}
	for _, g := range s.config.Groups {
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

// Retries returns how often a request may be tried again after a failure of a class at a deployment of the group
// that was called by a name: what a retry policy says, else the group's num_retries, the deployment's, the router's,
// or 2 as in LiteLLM.
func (s *Settings) Retries(d *deployment.Deployment, name string, c cooldown.Class) int {
	group, _ := s.groupOf(name)
	policy := s.retryPolicy(name, group)
	if n, ok := cooldown.ByClass(policy, c, "Retries"); ok {
		return n
	}
	if n, ok := policy["DefaultRetries"]; ok {
		return n
	}
	for _, n := range []*int{s.own(group).NumRetries, d.NumRetries, s.config.Router.NumRetries} {
		if n != nil {
			return *n
		}
	}
	return defaultRetries
}

// retryPolicy is that for the called name, which LiteLLM goes by, else that for its group. Either replaces the
// router's whole.
func (s *Settings) retryPolicy(name, group string) map[string]int {
	for _, key := range []string{name, group} {
		if policy, ok := s.config.Router.GroupRetryPolicy[key]; ok {
			return policy.Retries
		}
	}
	return s.config.Router.RetryPolicy
}

// MaxFallbacks is how many groups may stand in during one request.
func (s *Settings) MaxFallbacks() int {
	if n := s.config.Router.MaxFallbacks; n != nil {
		return *n
	}
	return defaultMaxFallbacks
}
