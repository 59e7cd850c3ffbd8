package routing

import (
	"cmp"
	"slices"

	"github.com/nestor-gateway/nestor/routing/attempts"
	"github.com/nestor-gateway/nestor/routing/composition"
	"github.com/nestor-gateway/nestor/routing/config"
	"github.com/nestor-gateway/nestor/routing/cooldown"
	"github.com/nestor-gateway/nestor/routing/quota"
	"github.com/nestor-gateway/nestor/routing/share"
)

// Snapshot is the immutable result of compiling a config: everything routing needs, no locks.
type Snapshot struct {
	// Settings are those of attempts.
	*attempts.Settings

	cfg   *config.Config
	graph *share.Graph
	// groups are those of the graph: those of the file, then one for each litellm_params.model that several entries have.
	groups     []composition.Group
	fileGroups int

	deployments []*Deployment
	byID        map[string]int32
	// names are ids, aliases and groups; models are by litellm_params.model.
	names, models map[string]Target
	wildcards     []wildcard
	// aliases are where they lead, access the access groups by group.
	aliases map[string]string
	access  map[int32][]string

	unserved  []unserved // by group
	gates     *quota.Gates
	upstreams []Upstream
	summary   Summary
	cooldown  cooldown.Policy
	tuning    tuning
}

// Summary counts what a config holds. Depth is 1 for groups of deployments alone.
type Summary struct{ Groups, Deployments, Aliases, Depth, Upstreams int }

// Deployment finds one by its id.
func (s *Snapshot) Deployment(id string) (*Deployment, bool) {
	leaf, ok := s.byID[id]
	if !ok {
		return nil, false
	}
	return s.deployments[leaf], true
}

// Deployments lists each once, in the order of the file.
func (s *Snapshot) Deployments() []*Deployment { return slices.Clone(s.deployments) }

// Upstreams lists those of the deployments that can be called, each once, by name.
func (s *Snapshot) Upstreams() []Upstream { return slices.Clone(s.upstreams) }

// Summary counts what the config holds.
func (s *Snapshot) Summary() Summary { return s.summary }

func (s *Snapshot) summarize() {
	seen := map[Upstream]bool{}
	for _, d := range s.deployments {
		if d.Problem == "" && !seen[d.Upstream] {
			seen[d.Upstream] = true
			s.upstreams = append(s.upstreams, d.Upstream)
		}
	}
	slices.SortFunc(s.upstreams, func(a, b Upstream) int { return cmp.Compare(a.Name, b.Name) })
	s.summary = Summary{
		Groups: s.fileGroups, Deployments: len(s.deployments), Aliases: len(s.cfg.Router.Aliases),
		Depth: s.graph.Depth(), Upstreams: len(s.upstreams),
	}
}

// Model is something a client may name.
type Model struct {
	Name, Group     string
	Alias, Wildcard bool
	// Deployments lists all that it reaches, once, in the order of the file.
	Deployments []*Deployment
	// RPM and TPM are the group's own limits, or the sums of those of its deployments; nil where none has any.
	RPM, TPM *int64
}

// Models lists what a client may name: groups in the order of the file, then aliases, without the hidden ones.
// A group that an alias of the same name hides is not there.
func (s *Snapshot) Models() []Model {
	aliases := map[string]bool{}
	for _, a := range s.cfg.Router.Aliases {
		aliases[a.Name] = true
	}
	var out []Model
	for i := range s.groups[:s.fileGroups] {
		g := &s.groups[i]
		if g.Settings.Hidden || aliases[g.Name] {
			continue
		}
		t, named := s.names[g.Name]
		if named && t.group != int32(i) {
			continue
		}
		t = Target{Name: g.Name, Group: g.Name, group: int32(i), leaf: none, snapshot: s}
		m := s.model(t)
		m.Wildcard = !named
		out = append(out, m)
	}
	for _, a := range s.cfg.Router.Aliases {
		if t, ok := s.Resolve(a.Name); ok && !a.Hidden {
			m := s.model(t)
			m.Alias = true
			out = append(out, m)
		}
	}
	return out
}

func (s *Snapshot) model(t Target) Model {
	m := Model{Name: t.Name, Group: t.Group, Deployments: t.Deployments()}
	for _, d := range m.Deployments {
		m.RPM, m.TPM = plus(m.RPM, d.RPM), plus(m.TPM, d.TPM)
	}
	if t.group != none {
		own := s.groups[t.group].Settings
		m.RPM, m.TPM = cmp.Or(own.RPM, m.RPM), cmp.Or(own.TPM, m.TPM)
	}
	return m
}

// plus adds limits of which nil is none.
func plus(a, b *int64) *int64 {
	if a == nil || b == nil {
		return cmp.Or(a, b)
	}
	sum := *a + *b
	return &sum
}
