package routing

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/nestor-gateway/nestor/ratelimit"
	"github.com/nestor-gateway/nestor/routing/share"
)

// gates are what a pick reserves of: first every deployment, limited or not, so that a gate and its leaf have one
// number; then the references and the groups that have limits.
type gates struct {
	limits []ratelimit.Limit
	// places are the references, from the gate that is called firstWay on; after them come the groups.
	places     []share.Place
	references []reference
	groups     []int32
	// atPlace and ofGroup lead back.
	atPlace map[share.Place]int32
	ofGroup map[int32]int32
}

// reference is the number-th entry, from 1, by which a group refers to a target.
type reference struct {
	from, to string
	number   int
}

// name is that of its limits. With its colons written otherwise no name is taken for a part of another.
func (r reference) name() string {
	part := strings.NewReplacer("%", "%25", ":", "%3A")
	return fmt.Sprintf("reference:%s:%s:%d", part.Replace(r.from), part.Replace(r.to), r.number)
}

func (c *compiler) gates(s *Snapshot, targets []Target) gates {
	c.noteZeros()
	g := gates{atPlace: map[share.Place]int32{}, ofGroup: map[int32]int32{}}
	lost := c.lostOf(s)
	for i, d := range s.deployments {
		g.limits = append(g.limits, ratelimit.Limit{Name: "deployment:" + d.ID, Most: most(d.RPM, d.TPM, d.MaxParallel), Lost: lost[i]})
	}
	numbers := c.numberReferences(targets)
	for i := range s.nodes[:s.fileGroups] {
		c.referenceGates(&g, s, int32(i), targets, numbers)
	}
	for i := range s.nodes[:s.fileGroups] {
		own := &s.nodes[i].settings
		if limited := most(own.RPM, own.TPM, own.MaxParallel); limited != ratelimit.Unlimited() {
			g.ofGroup[int32(i)] = int32(len(g.limits))
			g.groups = append(g.groups, int32(i))
			g.limits = append(g.limits, ratelimit.Limit{Name: "group:" + s.nodes[i].name, Most: limited, Lost: c.lost(s.nodes[i].name)})
		}
	}
	return g
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

func (c *compiler) referenceGates(g *gates, s *Snapshot, group int32, targets []Target, numbers []int) {
	n := &s.nodes[group]
	for tier, entries := range n.tiers {
		for k, i := range entries {
			p := &c.cfg.Entries[i].Params
			limited := most(p.RPM, p.TPM, p.MaxParallel)
			if numbers[i] == 0 || limited == ratelimit.Unlimited() {
				continue
			}
			place := share.Place{Group: group, Tier: int32(tier), Member: int32(k)}
			g.atPlace[place] = int32(len(g.limits))
			g.places = append(g.places, place)
			r := reference{n.name, targets[i].Group, numbers[i]}
			g.references = append(g.references, r)
			g.limits = append(g.limits, ratelimit.Limit{Name: r.name(), Most: limited, Lost: c.lost(n.name)})
		}
	}
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

// firstWay is the gate after those of the deployments.
func (s *Snapshot) firstWay() int32 { return int32(len(s.deployments)) }

// wayPassed says which place or group a gate stands at that is no deployment's.
func (s *Snapshot) wayPassed(gate int32) (p share.Place, group int32, isPlace bool) {
	i := int(gate - s.firstWay())
	if i < len(s.gates.places) {
		return s.gates.places[i], none, true
	}
	return p, s.gates.groups[i-len(s.gates.places)], false
}

// gatesOn appends the gates that a leaf and the way to it pass, the leaf's first.
func (s *Snapshot) gatesOn(leaf int32, path []share.Place, to []int32) []int32 {
	to = append(to, leaf)
	for _, p := range path {
		if gate, limited := s.gates.ofGroup[p.Group]; limited {
			to = append(to, gate)
		}
		if gate, limited := s.gates.atPlace[p]; limited {
			to = append(to, gate)
		}
	}
	return to
}
