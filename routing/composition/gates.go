package composition

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/nestor-gateway/nestor/ratelimit"
	"github.com/nestor-gateway/nestor/routing/quota"
	"github.com/nestor-gateway/nestor/routing/share"
)

// Gates are those of every deployment, and of the references and groups that have limits.
func (c *Composition) Gates() *quota.Gates {
	lost := c.lostOf()
	deployments := make([]ratelimit.Limit, len(c.Deployments))
	for i, d := range c.Deployments {
		deployments[i] = ratelimit.Limit{Name: "deployment:" + d.ID, Most: most(d.RPM, d.TPM, d.MaxParallel), Lost: lost[i]}
	}
	var references []quota.Reference
	var groups []quota.Group
	numbers := c.numberReferences()
	for i := range c.Groups {
		g := &c.Groups[i]
		references = append(references, c.referenceGates(g, int32(i), numbers)...)
		if limited := most(g.Settings.RPM, g.Settings.TPM, g.Settings.MaxParallel); limited != ratelimit.Unlimited() {
			l := ratelimit.Limit{Name: "group:" + g.Name, Most: limited, Lost: c.lost(g.Name)}
			groups = append(groups, quota.Group{Group: int32(i), Limit: l})
		}
	}
	return quota.NewGates(deployments, references, groups)
}

// referenceGates lists the references of a group that have limits.
func (c *Composition) referenceGates(g *Group, group int32, numbers []int) (all []quota.Reference) {
	for tier, entries := range g.Tiers {
		for k, i := range entries {
			p := &c.Config.Entries[i].Params
			limited := most(p.RPM, p.TPM, p.MaxParallel)
			if numbers[i] == 0 || limited == ratelimit.Unlimited() {
				continue
			}
			to := c.Targets[i].Reference
			all = append(all, quota.Reference{
				Place: share.Place{Group: group, Tier: int32(tier), Member: int32(k)}, From: g.Name, To: to, Number: numbers[i],
				Limit: ratelimit.Limit{Name: referenceName(g.Name, to, numbers[i]), Most: limited, Lost: c.lost(g.Name)},
			})
		}
	}
	return all
}

// referenceName is that of the limits of a reference. With its colons written otherwise no name is taken for a part
// of another.
func referenceName(from, to string, number int) string {
	part := strings.NewReplacer("%", "%25", ":", "%3A")
	return fmt.Sprintf("reference:%s:%s:%d", part.Replace(from), part.Replace(to), number)
}

// numberReferences counts, by entry, those with the same group and target, in the order of the file, from 1.
// An entry that is no reference has 0.
func (c *Composition) numberReferences() []int {
	type edge struct{ from, to string }
	seen, numbers := map[edge]int{}, make([]int, len(c.Targets))
	for i, t := range c.Targets {
		if t.Reference != "" {
			e := edge{c.Config.Entries[i].Name, t.Reference}
			seen[e]++
			numbers[i] = seen[e]
		}
	}
	return numbers
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

// lostOf says for each deployment what its limit does without the store: as the groups that declare it say,
// the strictest of them.
func (c *Composition) lostOf() []ratelimit.Policy {
	all := make([]ratelimit.Policy, len(c.Deployments))
	for i := range all {
		all[i] = ratelimit.Open
	}
	for i, t := range c.Targets {
		if t.Reference == "" {
			all[t.Leaf] = stricter(all[t.Leaf], c.lost(c.Config.Entries[i].Name))
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
func (c *Composition) lost(group string) ratelimit.Policy {
	switch cmp.Or(c.Config.Groups[group].LimitsWithoutRedis, c.Config.Router.LimitsWithoutRedis) {
	case "closed":
		return ratelimit.Closed
	case "open":
		return ratelimit.Open
	}
	return ratelimit.Share
}
