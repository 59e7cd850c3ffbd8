package routing

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/nestor-gateway/nestor/ratelimit"
	"github.com/nestor-gateway/nestor/routing/quota"
	"github.com/nestor-gateway/nestor/routing/share"
)

// referenceName is that of the limits of a reference. With its colons written otherwise no name is taken for a part
// of another.
func referenceName(from, to string, number int) string {
	part := strings.NewReplacer("%", "%25", ":", "%3A")
	return fmt.Sprintf("reference:%s:%s:%d", part.Replace(from), part.Replace(to), number)
}

// gates lists what has limits, and every deployment.
func (c *compiler) gates(s *Snapshot, targets []Target) *quota.Gates {
	c.noteZeros()
	lost := c.lostOf(s)
	deployments := make([]ratelimit.Limit, len(s.deployments))
	for i, d := range s.deployments {
		deployments[i] = ratelimit.Limit{Name: "deployment:" + d.ID, Most: most(d.RPM, d.TPM, d.MaxParallel), Lost: lost[i]}
	}
	var references []quota.Reference
	var groups []quota.Group
	numbers := c.numberReferences(targets)
	for i := range s.nodes[:s.fileGroups] {
		n := &s.nodes[i]
		references = append(references, c.referenceGates(n, int32(i), targets, numbers)...)
		if limited := most(n.settings.RPM, n.settings.TPM, n.settings.MaxParallel); limited != ratelimit.Unlimited() {
			l := ratelimit.Limit{Name: "group:" + n.name, Most: limited, Lost: c.lost(n.name)}
			groups = append(groups, quota.Group{Group: int32(i), Limit: l})
		}
	}
	return quota.NewGates(deployments, references, groups)
}

// noteZeros says where a limit of 0 at once does more than in LiteLLM, whose Router takes it for none.
func (c *compiler) noteZeros() {
	for i := range c.cfg.Entries {
		e := &c.cfg.Entries[i]
		if n := e.Params.MaxParallel; n != nil && *n == 0 {
			c.Note(e.Position, "max_parallel_requests 0 lets nothing through; LiteLLM takes it for no limit",
				"leave the key out where there is no limit")
		}
	}
}

// most are limits of which nil is none.
func most(rpm, tpm, maxParallel *int64) ratelimit.Amounts {
	all := ratelimit.Unlimited()
	for d, n := range []*int64{ratelimit.Requests: rpm, ratelimit.Tokens: tpm, ratelimit.Parallel: maxParallel} {
		if n != nil {
			all[d] = *n
		}
	}
	return all
}

// numberReferences counts, by entry, those with the same group and target, in the order of the file, from 1.
func (c *compiler) numberReferences(targets []Target) []int {
	type edge struct{ from, to string }
	seen, numbers := map[edge]int{}, make([]int, len(targets))
	for i := range targets {
		if c.File.Entries[i].Ref != "" {
			e := edge{c.cfg.Entries[i].Name, targets[i].Group}
			seen[e]++
			numbers[i] = seen[e]
		}
	}
	return numbers
}

// referenceGates lists the references of a group that have limits.
func (c *compiler) referenceGates(n *node, group int32, targets []Target, numbers []int) (all []quota.Reference) {
	for tier, entries := range n.tiers {
		for k, i := range entries {
			p := &c.cfg.Entries[i].Params
			limited := most(p.RPM, p.TPM, p.MaxParallel)
			if numbers[i] == 0 || limited == ratelimit.Unlimited() {
				continue
			}
			to := targets[i].Group
			all = append(all, quota.Reference{
				Place: share.Place{Group: group, Tier: int32(tier), Member: int32(k)}, From: n.name, To: to, Number: numbers[i],
				Limit: ratelimit.Limit{Name: referenceName(n.name, to, numbers[i]), Most: limited, Lost: c.lost(n.name)},
			})
		}
	}
	return all
}

// lostOf says for each deployment what its limit does without the store: as the groups that declare it say,
// the strictest of them.
func (c *compiler) lostOf(s *Snapshot) []ratelimit.Policy {
	all := make([]ratelimit.Policy, len(s.deployments))
	for i := range all {
		all[i] = ratelimit.Open
	}
	for i := range c.cfg.Entries {
		if leaf := c.set.Of[i]; leaf != none {
			all[leaf] = stricter(all[leaf], c.lost(c.cfg.Entries[i].Name))
		}
	}
	return all
}

func stricter(a, b ratelimit.Policy) ratelimit.Policy {
	if a == ratelimit.Closed || b == ratelimit.Closed {
		return ratelimit.Closed
	}
	return min(a, b)
}

// lost is the policy of a group: its own, else the router's, else to share.
func (c *compiler) lost(group string) ratelimit.Policy {
	switch cmp.Or(c.cfg.Groups[group].LimitsWithoutRedis, c.cfg.Router.LimitsWithoutRedis) {
	case "closed":
		return ratelimit.Closed
	case "open":
		return ratelimit.Open
	}
	return ratelimit.Share
}
