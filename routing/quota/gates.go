// Package quota knows the gates that requests pass on their way, and which of them are closed until when: by a limit,
// by what a provider has announced, or by a cooldown. What a limit admits is up to its store; this remembers what it said.
package quota

import (
	"github.com/nestor-gateway/nestor/ratelimit"
	"github.com/nestor-gateway/nestor/routing/share"
)

// Gates are what a pick reserves of: first every deployment, limited or not, so that a gate and its leaf have one
// number; then the references and the groups that have limits. They never change.
type Gates struct {
	limits     []ratelimit.Limit
	leaves     int32
	references []Reference
	groups     []int32
	atPlace    map[share.Place]int32
	ofGroup    map[int32]int32
}

// Reference is the Number-th entry, from 1, by which the group From refers to the target To.
type Reference struct {
	Place    share.Place
	From, To string
	Number   int
	Limit    ratelimit.Limit
}

// Group is one with limits of its own.
type Group struct {
	Group int32
	Limit ratelimit.Limit
}

// NewGates returns the gates of deployments, by leaf, of references and of groups.
func NewGates(deployments []ratelimit.Limit, references []Reference, groups []Group) *Gates {
	g := &Gates{
		limits: deployments, leaves: int32(len(deployments)), references: references,
		atPlace: make(map[share.Place]int32, len(references)), ofGroup: make(map[int32]int32, len(groups)),
	}
	for i := range references {
		g.atPlace[references[i].Place] = int32(len(g.limits))
		g.limits = append(g.limits, references[i].Limit)
	}
	for i := range groups {
		g.ofGroup[groups[i].Group] = int32(len(g.limits))
		g.groups = append(g.groups, groups[i].Group)
		g.limits = append(g.limits, groups[i].Limit)
	}
	return g
}

// Limits lists the limit of every gate. It must not be changed.
func (g *Gates) Limits() []ratelimit.Limit { return g.limits }

// Limit is that of a gate.
func (g *Gates) Limit(gate int32) *ratelimit.Limit { return &g.limits[gate] }

// References lists those with limits. It must not be changed. The gate of the i-th is AtPlace.
func (g *Gates) References() []Reference { return g.references }

// Groups lists those with limits of their own. It must not be changed.
func (g *Gates) Groups() []int32 { return g.groups }

// AtPlace is the gate of a reference; false where it has no limit.
func (g *Gates) AtPlace(p share.Place) (gate int32, limited bool) {
	gate, limited = g.atPlace[p]
	return gate, limited
}

// OfGroup is the gate of a group; false where it has no limit of its own.
func (g *Gates) OfGroup(group int32) (gate int32, limited bool) {
	gate, limited = g.ofGroup[group]
	return gate, limited
}

// On appends the gates that a leaf and the way to it pass, the leaf's first.
func (g *Gates) On(leaf int32, path []share.Place, to []int32) []int32 {
	to = append(to, leaf)
	for _, p := range path {
		if gate, limited := g.ofGroup[p.Group]; limited {
			to = append(to, gate)
		}
		if gate, limited := g.atPlace[p]; limited {
			to = append(to, gate)
		}
	}
	return to
}

// IsLeaf reports whether a gate is a deployment's.
func (g *Gates) IsLeaf(gate int32) bool { return gate < g.leaves }

// Way says which reference or group a gate stands at that is no deployment's. Of a group there is no place.
func (g *Gates) Way(gate int32) (p share.Place, group int32, isPlace bool) {
	i := int(gate - g.leaves)
	if i < len(g.references) {
		p = g.references[i].Place
		return p, p.Group, true
	}
	return p, g.groups[i-len(g.references)], false
}

// Put opens or closes in a state what a gate stands for.
func (g *Gates) Put(state *share.State, gate int32, open bool) {
	if g.IsLeaf(gate) {
		state.Set(gate, open)
		return
	}
	if p, group, isPlace := g.Way(gate); isPlace {
		state.SetMember(p, open)
	} else {
		state.SetGroup(group, open)
	}
}
