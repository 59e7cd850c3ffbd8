package routing

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"time"

	"github.com/nestor-gateway/nestor/routing/config"
)

// Snapshot is the immutable result of compiling a config: everything routing needs, no locks.
type Snapshot struct {
	cfg    *config.Config
	groups []string
	member map[string][]*Deployment
	byID   map[string]*Deployment
	all    []*Deployment
}

// Target is what a name in a request means.
type Target struct {
	// Name is as called; Group is the group after aliases, or the deployment's id
	// or litellm_params.model where that is what matched.
	Name, Group string
	deps        []*Deployment
}

// Model is something a client may name.
type Model struct {
	Name, Group     string
	Alias, Wildcard bool
	Deployments     []*Deployment
	RPM, TPM        *int64
}

// Summary counts what a config holds.
type Summary struct{ Groups, Deployments, Aliases, Depth, Upstreams int }

// Compile turns a config into a snapshot.
func Compile(cfg *config.Config, providers Providers) (*Snapshot, []config.Diagnostic, error) {
	s := &Snapshot{cfg: cfg, member: map[string][]*Deployment{}, byID: map[string]*Deployment{}}
	for i, e := range cfg.Entries {
		p, m, err := providers.Split(e.Params.Model, e.Params.Provider)
		if err != nil {
			return nil, nil, err
		}
		base, err := providers.Base(p, e.Params.APIBase)
		if err != nil {
			return nil, nil, err
		}
		d := &Deployment{ID: e.Info.ID, Provider: p, Model: m, Written: e.Params.Model, Base: base, APIKey: e.Params.APIKey,
			APIVersion: e.Params.APIVersion, Defaults: e.Params.Defaults, RPM: e.Params.RPM, TPM: e.Params.TPM, Problem: e.Problem}
		if d.ID == "" {
			d.ID = fmt.Sprint("d", i)
		}
		if s.member[e.Name] == nil {
			s.groups = append(s.groups, e.Name)
		}
		s.member[e.Name] = append(s.member[e.Name], d)
		s.byID[d.ID] = d
		s.all = append(s.all, d)
	}
	return s, nil, nil
}

// Resolve finds what a name means.
func (s *Snapshot) Resolve(name string) (Target, bool) {
	g := name
	for _, a := range s.cfg.Router.Aliases {
		if a.Name == name {
			g = a.Target
		}
	}
	d, ok := s.member[g]
	return Target{Name: name, Group: g, deps: d}, ok
}

// Deployments lists every one that can be reached, once, in file order.
func (t Target) Deployments() []*Deployment { return t.deps }

// Deployment finds one by its id.
func (s *Snapshot) Deployment(id string) (*Deployment, bool) { d, ok := s.byID[id]; return d, ok }

// Deployments lists each once, in file order.
func (s *Snapshot) Deployments() []*Deployment { return s.all }

// Models lists what a client may name.
func (s *Snapshot) Models() []Model {
	var out []Model
	for _, g := range s.groups {
		out = append(out, Model{Name: g, Group: g, Deployments: s.member[g]})
	}
	return out
}

// Upstreams lists the upstreams.
func (s *Snapshot) Upstreams() []Upstream { return nil }

// Summary counts what the config holds.
func (s *Snapshot) Summary() Summary { return Summary{Groups: len(s.groups), Deployments: len(s.all)} }

// Timeouts gives the timeouts of an attempt.
func (s *Snapshot) Timeouts(d *Deployment, group string) (unary, stream time.Duration) {
	return 600 * time.Second, 600 * time.Second
}

// Retries is the number of retries.
func (s *Snapshot) Retries(d *Deployment, group string, c Class) int { return 2 }

// Fallbacks lists what stands in for a group.
func (s *Snapshot) Fallbacks(name string, c Class) []string { return nil }

// MaxFallbacks is how many fallbacks one request may go through.
func (s *Snapshot) MaxFallbacks() int { return 5 }

// Explanation says how a name is resolved.
type Explanation struct {
	Model       string          `json:"model"`
	Group       string          `json:"group"`
	Deployments []ExplainedLeaf `json:"deployments"`
	// Tree is the called group, for drawing.
	Tree *TreeGroup `json:"-"`
}

// ExplainedLeaf is one deployment of an Explanation.
type ExplainedLeaf struct {
	ID          string     `json:"id"`
	Model       string     `json:"model"`
	APIBase     string     `json:"api_base"`
	Probability float64    `json:"probability"`
	Paths       [][]string `json:"paths"`
	// Unavailable is why it gets nothing, or empty.
	Unavailable string `json:"-"`
}

// TreeGroup is a group as it is drawn. A group met before is drawn once: Shared is then true and Tiers empty.
type TreeGroup struct {
	Name        string
	Shared      bool
	RPM, TPM    *int64
	MaxParallel *int64
	Tiers       []TreeTier
}

// TreeTier is a tier of a TreeGroup.
type TreeTier struct {
	// Order is nil for the members without one.
	Order *int
	// Active: the tier that is drawn from.
	Active, Weighted bool
	Unit             string
	Members          []TreeMember
}

// TreeMember is a member of a tier: exactly one of Group and Deployment is set.
type TreeMember struct {
	Group       *TreeGroup
	Deployment  *Deployment
	Weight      *float64
	RPM, TPM    *int64
	MaxParallel *int64
	// Share is the part of its tier, 0 to 1; Probability is that of the whole path.
	Share, Probability float64
	Unavailable        string
}

// Explain computes exact probabilities.
func (s *Snapshot) Explain(model string, without []string) (*Explanation, error) {
	return &Explanation{Model: model, Group: model}, nil
}

// Tracker holds counters and cooldowns by deployment id; it outlives snapshots.
type Tracker struct{ now func() time.Time }

// NewTracker returns a tracker that reads the time from now.
func NewTracker(now func() time.Time) *Tracker { return &Tracker{now: now} }

// Router holds the current View.
type Router struct{ view atomic.Pointer[View] }

// NewRouter returns a router.
func NewRouter(t *Tracker, s *Snapshot) *Router {
	r := &Router{}
	r.Swap(s)
	return r
}

// View is a snapshot with its live state.
type View struct{ s *Snapshot }

// View returns the current one.
func (r *Router) View() *View { return r.view.Load() }

// Swap makes a snapshot the current one.
func (r *Router) Swap(s *Snapshot) { r.view.Store(&View{s}) }

// Snapshot returns the snapshot.
func (v *View) Snapshot() *Snapshot { return v.s }

// Query says how to pick.
type Query struct {
	Seed    uint64
	Skip    int
	Exclude []string
}

// Pick is a deployment chosen for one attempt.
type Pick struct {
	Deployment *Deployment
	// Model is the provider's model with a wildcard filled in.
	Model string
	// Path is the groups passed, the called one first.
	Path []string
}

// NoneError says that no deployment is left.
type NoneError struct {
	Model      string
	RetryAfter time.Duration
}

func (e *NoneError) Error() string {
	return fmt.Sprintf("No deployments available for selected model, Try again in %d seconds.", int(e.RetryAfter.Seconds()))
}

// Pick chooses a deployment.
func (v *View) Pick(t Target, q Query) (Pick, error) {
	var left []*Deployment
	for _, d := range t.deps {
		if !slices.Contains(q.Exclude, d.ID) && d.Problem == "" {
			left = append(left, d)
		}
	}
	if len(left) == 0 {
		return Pick{}, &NoneError{Model: t.Name}
	}
	d := left[rand.New(rand.NewPCG(q.Seed, 0)).IntN(len(left))]
	return Pick{Deployment: d, Model: d.Model, Path: []string{t.Group}}, nil
}

// Others reports whether a deployment is left.
func (v *View) Others(t Target, exclude []string) bool {
	_, err := v.Pick(t, Query{Exclude: exclude})
	return err == nil
}

// Failure is what went wrong with an attempt.
type Failure struct {
	Class      Class
	Status     int
	RetryAfter time.Duration
	Alone      bool
}

// Failed counts a failure.
func (r *Router) Failed(d *Deployment, f Failure) (cooled time.Duration) { return 0 }

// Succeeded counts a success.
func (r *Router) Succeeded(id string) {}

// CoolingUntil says until when a deployment is left alone.
func (r *Router) CoolingUntil(id string) (time.Time, bool) { return time.Time{}, false }
