package routing

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"net/url"
	"slices"
	"strings"

	"github.com/nestor-gateway/nestor/routing/config"
)

// compiler turns a config into a snapshot, step by step.
type compiler struct {
	cfg       *config.Config
	providers Providers

	// groups counts the groups by name, names is the other way round: in the order of the file.
	groups  map[string]int32
	names   []string
	members [][]int32 // by group: its entries
	aliases map[string]*config.Alias
	// ends is where an alias leads; "" for one of a cycle.
	ends     map[string]string
	readings []reading

	deployments []*Deployment
	declared    []int32 // by deployment: its first entry

	notes, problems []config.Diagnostic
}

// Compile turns a config into a snapshot. What was read in one of two possible ways, and what will not do
// what it seems to, comes back as diagnostics. The error is a *config.Error with everything that is wrong.
func Compile(cfg *config.Config, providers Providers) (*Snapshot, []config.Diagnostic, error) {
	c := &compiler{
		cfg: cfg, providers: providers,
		groups: map[string]int32{}, aliases: map[string]*config.Alias{}, ends: map[string]string{},
	}
	c.group()
	c.follow()
	c.read()
	c.cycles()
	c.deploy()
	if len(c.problems) > 0 {
		return nil, c.sorted(c.notes), &config.Error{Problems: c.sorted(c.problems)}
	}
	s := c.assemble()
	c.checkSettings(s)
	if len(c.problems) > 0 {
		return nil, c.sorted(c.notes), &config.Error{Problems: c.sorted(c.problems)}
	}
	return s, c.sorted(c.notes), nil
}

func (c *compiler) note(at config.Position, message, hint string) {
	c.notes = append(c.notes, config.Diagnostic{At: at, Message: message, Hint: hint})
}

func (c *compiler) problem(at config.Position, message, hint string) {
	c.problems = append(c.problems, config.Diagnostic{At: at, Message: message, Hint: hint})
}

// sorted puts diagnostics in the order of the files.
func (c *compiler) sorted(d []config.Diagnostic) []config.Diagnostic {
	slices.SortStableFunc(d, func(a, b config.Diagnostic) int {
		return cmp.Or(
			cmp.Compare(slices.Index(c.cfg.Files, a.At.File), slices.Index(c.cfg.Files, b.At.File)),
			cmp.Compare(a.At.Line, b.At.Line), cmp.Compare(a.At.Column, b.At.Column))
	})
	return d
}

// group sorts the entries into groups.
func (c *compiler) group() {
	for i := range c.cfg.Entries {
		name := c.cfg.Entries[i].Name
		g, ok := c.groups[name]
		if !ok {
			g = int32(len(c.names))
			c.groups[name] = g
			c.names = append(c.names, name)
			c.members = append(c.members, nil)
		}
		c.members[g] = append(c.members[g], int32(i))
		c.checkNumbers(&c.cfg.Entries[i])
	}
}

// maxWeight leaves room for the sum of all weights of a group.
const maxWeight = 1e100

func (c *compiler) checkNumbers(e *config.Entry) {
	if w := e.Params.Weight; w != nil && !(*w >= 0 && *w <= maxWeight) {
		c.problem(e.Position, fmt.Sprintf("weight %v is not a number from 0 up", *w), "")
	}
	for _, limit := range []struct {
		key string
		n   *int64
	}{{"rpm", e.Params.RPM}, {"tpm", e.Params.TPM}} {
		if limit.n != nil && *limit.n < 0 {
			c.problem(e.Position, fmt.Sprintf("%s %d is negative", limit.key, *limit.n), "leave it out for no limit")
		}
	}
}

// address is a base address with the upstream that leads to it.
type address struct {
	base     *url.URL
	upstream Upstream
	err      error
}

// deploy makes the deployments of all entries that are none of them references.
func (c *compiler) deploy() {
	d := deploying{c: c, addresses: map[[2]string]address{}, byHash: map[string]int32{}, byID: map[string]int32{}}
	for i := range c.readings {
		if r := &c.readings[i]; r.ref == "" && !r.invalid {
			d.prepare(i)
		}
	}
	for _, p := range d.prepared {
		c.readings[p.entry].leaf = d.leaf(p)
	}
}

// deploying is the state of deploy.
type deploying struct {
	c         *compiler
	addresses map[[2]string]address // by provider and api_base
	prepared  []prepared
	// byHash is, by identity, the first entry that gives an id.
	byHash map[string]int32
	byID   map[string]int32
}

// prepared is a deployment as one entry declares it.
type prepared struct {
	entry           int
	provider, model string
	address         address
	hash            string
}

func (d *deploying) prepare(i int) {
	e := &d.c.cfg.Entries[i]
	provider, model, err := d.c.providers.Split(e.Params.Model, e.Params.Provider)
	if err != nil {
		d.c.problem(e.Params.ModelAt, err.Error(), d.c.nearGroup(e.Params.Model))
		return
	}
	if d.c.wildcardMismatch(e) {
		return
	}
	a := d.address(provider, e.Params.APIBase)
	if a.err != nil {
		if e.Problem == "" {
			d.c.problem(e.Position, a.err.Error(), "")
			return
		}
		a = address{base: &url.URL{}}
	}
	p := prepared{i, provider, model, a, identity(provider, model, a.base, e)}
	if _, named := d.byHash[p.hash]; !named && e.Info.ID != "" {
		d.byHash[p.hash] = int32(i)
	}
	d.prepared = append(d.prepared, p)
}

// nearGroup is a hint for a model that is no provider's: it may be a group's name mistyped.
func (c *compiler) nearGroup(model string) string {
	if near := nearest(model, c.names); near != "" {
		return fmt.Sprintf("did you mean the group %q?", near)
	}
	return "write the provider before the model, for example openai/" + model
}

// wildcardMismatch reports an entry whose model has a * that nothing fills.
func (c *compiler) wildcardMismatch(e *config.Entry) bool {
	if strings.Count(e.Params.Model, "*") <= strings.Count(e.Name, "*") {
		return false
	}
	c.problem(e.Params.ModelAt, fmt.Sprintf("nothing fills the * of %q: model_name %q has fewer", e.Params.Model, e.Name),
		"write as many * in model_name, or name one model")
	return true
}

func (d *deploying) address(provider, apiBase string) address {
	key := [2]string{provider, apiBase}
	a, ok := d.addresses[key]
	if ok {
		return a
	}
	a.base, a.err = d.c.providers.Base(provider, apiBase)
	if a.err == nil && a.base == nil {
		a.err = errors.New("there is no address for provider " + provider)
	}
	if a.err == nil {
		a.upstream, a.err = upstreamOf(a.base)
	}
	d.addresses[key] = a
	return a
}

// leaf returns the deployment that an entry declares, made new or found among those declared before.
func (d *deploying) leaf(p prepared) int32 {
	e := &d.c.cfg.Entries[p.entry]
	id := e.Info.ID
	if first, named := d.byHash[p.hash]; id == "" && named {
		id = d.c.cfg.Entries[first].Info.ID
	}
	if id == "" {
		id = p.hash
	}
	leaf, known := d.byID[id]
	if !known {
		leaf = int32(len(d.c.deployments))
		d.byID[id] = leaf
		d.c.deployments = append(d.c.deployments, newDeployment(id, p, e))
		d.c.declared = append(d.c.declared, int32(p.entry))
		return leaf
	}
	first := &d.c.cfg.Entries[d.c.declared[leaf]]
	other := d.c.deployments[leaf]
	if p.hash != identity(other.Provider, other.Model, other.Base, first) {
		d.c.problem(e.Position, fmt.Sprintf("model_info.id %q belongs to another deployment, at %s", id, d.c.place(first.Position)),
			"an id names one deployment: same provider, model, address, credential and parameters")
		return leaf
	}
	other.tighten(&e.Params)
	return leaf
}

func newDeployment(id string, p prepared, e *config.Entry) *Deployment {
	d := &Deployment{
		ID: id, Provider: p.provider, Model: p.model, Written: e.Params.Model,
		Base: p.address.base, Upstream: p.address.upstream,
		APIKey: e.Params.APIKey, APIVersion: e.Params.APIVersion, Organization: e.Params.Organization,
		ExtraHeaders: e.Params.ExtraHeaders, Defaults: e.Params.Defaults, Info: e.Info,
		CooldownTime: e.Params.CooldownTime, NumRetries: e.Params.NumRetries, Problem: e.Problem,
	}
	d.tighten(&e.Params)
	return d
}

// tighten adds what another entry of the same deployment says: the smallest limit is in force,
// of the rest what comes first in the file.
func (d *Deployment) tighten(p *config.Params) {
	d.RPM, d.TPM, d.MaxParallel = lower(d.RPM, p.RPM), lower(d.TPM, p.TPM), lower(d.MaxParallel, p.MaxParallel)
	if d.Timeout == 0 && p.Timeout != nil {
		d.Timeout = *p.Timeout
	}
	if d.StreamTimeout == 0 && p.StreamTimeout != nil {
		d.StreamTimeout = *p.StreamTimeout
	}
	d.CooldownTime = cmp.Or(d.CooldownTime, p.CooldownTime)
	d.NumRetries = cmp.Or(d.NumRetries, p.NumRetries)
}

func lower(a, b *int64) *int64 {
	if a == nil || b != nil && *b < *a {
		return b
	}
	return a
}

// admitsNothing reports whether a limit is 0.
func admitsNothing(limits ...*int64) bool {
	return slices.ContainsFunc(limits, func(n *int64) bool { return n != nil && *n == 0 })
}

// lastOrder is the rank of members without an order: after all that have one.
const lastOrder = math.MaxInt
