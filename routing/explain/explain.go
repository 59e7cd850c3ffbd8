// Package explain computes where the requests for a group go, exactly, and draws the group.
package explain

import (
	"github.com/nestor-gateway/nestor/routing/composition"
	"github.com/nestor-gateway/nestor/routing/config"
	"github.com/nestor-gateway/nestor/routing/deployment"
	"github.com/nestor-gateway/nestor/routing/share"
)

// Result says where the requests for a name go.
type Result struct {
	Model string `json:"model"`
	Group string `json:"group"`
	// Strategy is that of the called group; empty for simple-shuffle. Under every other one the probabilities are those
	// while all deployments are equally busy, used and fast. Prices count: they are known.
	Strategy    string `json:"strategy,omitempty"`
	Deployments []Row  `json:"deployments"`
	// Tree is the called group, for drawing.
	Tree *Group `json:"-"`
}

// Row is one deployment of an Explanation.
type Row struct {
	ID string `json:"id"`
	// Model is litellm_params.model as written.
	Model       string  `json:"model"`
	APIBase     string  `json:"api_base"`
	Probability float64 `json:"probability"`
	// Paths are the ways to it, each the groups passed from the called one on; at most 100, in alphabetical order.
	Paths [][]string `json:"paths"`
	// Unavailable is why it gets nothing whatever the others do; empty when it could get some.
	Unavailable string `json:"-"`
}

// leftOut is why a deployment that is left out gets nothing.
const leftOut = "left out"

// Explainer explains groups while the leaves of Out are out. Everything else counts as healthy.
type Explainer struct {
	Config      *config.Config
	Deployments []*deployment.Deployment
	Groups      []composition.Group
	Graph       *share.Graph
	Out         map[int32]bool
	// Divide computes how the requests for a group divide. equal says that capacities don't matter.
	Divide func(state *share.State, group int32) (flow share.Flow, equal bool)
}

// Group explains calls of a group.
func (x *Explainer) Group(group int32) *Result {
	d := &drawing{Explainer: x, drawn: map[int32]bool{}, state: share.NewState(x.Graph, func(leaf int32) bool { return !x.Out[leaf] })}
	d.flow, d.equal = x.Divide(d.state, group)
	r := &Result{Tree: d.group(group)}
	paths := x.pathsFrom(group)
	budget := maxPathNames
	for _, leaf := range x.Graph.LeavesBelow(group) {
		row := x.row(leaf, d.flow.Leaves[leaf])
		row.Paths = paths.to(leaf, &budget)
		r.Deployments = append(r.Deployments, row)
	}
	return r
}

// Leaf explains calls that can go to one deployment only. name is what stands for the group.
func (x *Explainer) Leaf(leaf int32, name string) *Result {
	row := x.row(leaf, 1)
	if row.Unavailable != "" {
		row.Probability = 0
	}
	row.Paths = [][]string{{name}}
	d := x.Deployments[leaf]
	member := Member{Deployment: d, RPM: d.RPM, TPM: d.TPM, MaxParallel: d.MaxParallel,
		Share: row.Probability, Probability: row.Probability, Unavailable: row.Unavailable}
	tier := Tier{Active: row.Unavailable == "", Unit: "1", Members: []Member{member}}
	return &Result{Deployments: []Row{row}, Tree: &Group{Name: name, Tiers: []Tier{tier}}}
}

func (x *Explainer) row(leaf int32, probability float64) Row {
	d := x.Deployments[leaf]
	return Row{ID: d.ID, Model: d.Written, APIBase: d.Base.String(), Probability: probability, Unavailable: x.reason(leaf)}
}

// reason is why a deployment gets nothing, or empty.
func (x *Explainer) reason(leaf int32) string {
	if x.Out[leaf] {
		return leftOut
	}
	return x.Deployments[leaf].Refuses()
}
