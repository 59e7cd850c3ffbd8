package deployment

import (
	"cmp"
	"slices"

	"github.com/nestor-gateway/nestor/routing/config"
)

func newDeployment(id string, p prepared, e *config.Entry) *Deployment {
	d := &Deployment{
		ID: id, Provider: p.provider, Model: p.model, Written: e.Params.Model, At: e.Position,
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
	d.Prices = d.Prices.Or(p.Prices)
}

func lower(a, b *int64) *int64 {
	if a == nil || b != nil && *b < *a {
		return b
	}
	return a
}

// AdmitsNothing reports whether any of the limits is 0.
func AdmitsNothing(limits ...*int64) bool {
	return slices.ContainsFunc(limits, func(n *int64) bool { return n != nil && *n == 0 })
}

// Refuses says why a deployment takes no request, ever; empty when it does.
func (d *Deployment) Refuses() string {
	if d.Problem != "" {
		return d.Problem
	}
	return RefusedBy(d.RPM, d.TPM, d.MaxParallel)
}

// EntryRefuses says why nothing gets through an entry, ever, whatever it leads to; empty when something does.
func EntryRefuses(e *config.Entry) string {
	if e.Problem != "" {
		return e.Problem
	}
	return RefusedBy(e.Params.RPM, e.Params.TPM, e.Params.MaxParallel)
}

// RefusedBy names the limit that admits nothing, if one does.
func RefusedBy(rpm, tpm, maxParallel *int64) string {
	switch {
	case AdmitsNothing(rpm):
		return "rpm is 0"
	case AdmitsNothing(tpm):
		return "tpm is 0"
	case AdmitsNothing(maxParallel):
		return "max_parallel_requests is 0"
	}
	return ""
}
