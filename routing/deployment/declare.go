package deployment

import (
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/nestor-gateway/nestor/routing/config"
	"github.com/nestor-gateway/nestor/routing/reading"
)

// address is a base address with the upstream that leads to it.
type address struct {
	base     *url.URL
	upstream Upstream
	err      error
}

// Set is the deployments of a config.
type Set struct {
	// All are in the order of the file, each once.
	All []*Deployment
	// Of is, by entry of the config, the deployment that it declares; none for a reference.
	Of []int32
	// Declared is, by deployment, the first entry that declares it.
	Declared []int32
}

// none is the place of an entry that declares no deployment.
const none = -1

// Declare makes the deployments of all entries that are no references. What is wrong is added to the problems of file.
func Declare(cfg *config.Config, file *reading.File, providers Providers) *Set {
	d := declaring{
		cfg: cfg, file: file, providers: providers, set: &Set{Of: make([]int32, len(cfg.Entries))},
		addresses: map[[2]string]address{}, byHash: map[string]int32{}, byID: map[string]int32{},
	}
	for i, e := range file.Entries {
		d.set.Of[i] = none
		if e.Ref == "" && !e.Invalid {
			d.prepare(i)
		}
	}
	for _, p := range d.prepared {
		d.set.Of[p.entry] = d.declare(p)
	}
	for _, one := range d.set.All {
		one.price()
	}
	return d.set
}

// declaring is the state of Declare.
type declaring struct {
	cfg       *config.Config
	file      *reading.File
	providers Providers
	set       *Set
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

func (d *declaring) prepare(i int) {
	e := &d.cfg.Entries[i]
	provider, model, err := d.providers.Split(e.Params.Model, e.Params.Provider)
	switch {
	case err != nil && e.Unidentified():
		provider, model = "", e.Params.Model
	case err != nil:
		d.file.Problem(e.Params.ModelAt, err.Error(), d.nearGroup(e.Params.Model))
		return
	}
	if d.wildcardMismatch(e) {
		return
	}
	a := d.address(provider, e.Params.APIBase)
	if a.err != nil {
		if e.Problem == "" {
			at, hint := e.Position, "write api_base into its litellm_params"
			if e.Params.APIBase != "" {
				at, hint = e.Params.APIBaseAt, "write it as https://HOST/PATH or http://HOST:PORT/PATH"
			}
			d.file.Problem(at, a.err.Error(), hint)
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
func (d *declaring) nearGroup(model string) string {
	if near := reading.Nearest(model, d.file.Names); near != "" {
		return fmt.Sprintf("did you mean the group %q?", near)
	}
	return ""
}

// wildcardMismatch reports an entry whose model has a * that nothing fills.
func (d *declaring) wildcardMismatch(e *config.Entry) bool {
	if strings.Count(e.Params.Model, "*") <= strings.Count(e.Name, "*") {
		return false
	}
	d.file.Problem(e.Params.ModelAt, fmt.Sprintf("nothing fills the * of %q: model_name %q has fewer", e.Params.Model, e.Name),
		"write as many * in model_name, or name one model")
	return true
}

func (d *declaring) address(provider, apiBase string) address {
	key := [2]string{provider, apiBase}
	a, ok := d.addresses[key]
	if ok {
		return a
	}
	a.base, a.err = d.providers.Base(provider, apiBase)
	if a.err == nil && a.base == nil {
		a.err = errors.New("there is no address for provider " + provider)
	}
	if a.err == nil {
		a.upstream, a.err = upstreamOf(a.base)
	}
	d.addresses[key] = a
	return a
}

// declare returns the deployment that an entry declares, made new or found among those declared before.
func (d *declaring) declare(p prepared) int32 {
	e := &d.cfg.Entries[p.entry]
	id := e.Info.ID
	if first, named := d.byHash[p.hash]; id == "" && named {
		id = d.cfg.Entries[first].Info.ID
	}
	if id == "" {
		id = p.hash
	}
	leaf, known := d.byID[id]
	if !known {
		leaf = int32(len(d.set.All))
		d.byID[id] = leaf
		d.set.All = append(d.set.All, newDeployment(id, p, e))
		d.set.All[leaf].Lacks = d.providers.Lacks(p.provider)
		d.set.Declared = append(d.set.Declared, int32(p.entry))
		return leaf
	}
	first := &d.cfg.Entries[d.set.Declared[leaf]]
	other := d.set.All[leaf]
	if p.hash != identity(other.Provider, other.Model, other.Base, first) {
		d.file.Problem(e.Position, fmt.Sprintf("model_info.id %q belongs to another deployment, at %s", id, d.file.Place(first.Position)),
			"an id names one deployment: same provider, model, address, credential and parameters")
		return leaf
	}
	d.noteSmaller(other, e, first)
	other.tighten(&e.Params)
	return leaf
}

// noteSmaller tells of limits of a deployment that differ from those of the entries before.
func (d *declaring) noteSmaller(other *Deployment, e, first *config.Entry) {
	for _, l := range []struct {
		key       string
		was, here *int64
	}{
		{"rpm", other.RPM, e.Params.RPM}, {"tpm", other.TPM, e.Params.TPM},
		{"max_parallel_requests", other.MaxParallel, e.Params.MaxParallel},
	} {
		if l.was != nil && l.here != nil && *l.was != *l.here {
			d.file.Note(e.Position, fmt.Sprintf("%s of the deployment at %s is %d here and was %d: the smaller one holds",
				l.key, d.file.Place(first.Position), *l.here, *l.was), "write the same limit in both entries")
		}
	}
}
