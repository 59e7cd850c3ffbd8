package provider

import (
	"fmt"
	"net/url"
	"strings"

	"github.com/nestor-gateway/nestor/extproc/openai"
	"github.com/nestor-gateway/nestor/routing"
	"github.com/nestor-gateway/nestor/routing/config"
)

// Request is what an upstream must get, beside the rest of the body.
type Request struct {
	// Path is the :path, with its query.
	Path string
	// Host is the :authority.
	Host string
	// Headers are the credential and the provider's and the deployment's own headers, in lower case and
	// each once. They replace what a client sent under the same name.
	Headers []config.Header
	// Model is what the body's model must be.
	Model string
	// StreamOptions tells whether the provider accepts stream_options.
	StreamOptions bool
}

// Request builds what the deployment's upstream must get for a call of the endpoint; model is the provider's
// own name of the model, as in routing.Pick. The error is an *openai.Error that a client may see: the provider
// has no such endpoint, the model's name can't stand in a path, or a header can't be sent (see Check).
func (t *Table) Request(d *routing.Deployment, e openai.Endpoint, model string) (Request, error) {
	r := t.rows[d.Provider]
	if r == nil {
		return Request{}, openai.Unavailable(t.unknown("the provider of the deployment", d.Provider).Error())
	}
	if r.paths[e] == "" {
		return Request{}, openai.NoEndpoint(model, e)
	}
	if r.rename != nil {
		model = r.rename(e, model)
	}
	p, modern, ok := t.path(r, d, e, model)
	if !ok {
		return Request{}, openai.Invalid("model", fmt.Sprintf("model %q can't be a deployment of Azure", model))
	}
	target, headers := r.sign(d, p)
	if err := checkHeaders(headers); err != nil {
		return Request{}, openai.Unavailable("the deployment can't be called: " + err.Error())
	}
	return Request{Path: target, Host: d.Base.Host, Headers: headers, Model: model, StreamOptions: modern && !r.noStreamOptions}, nil
}

// path is a path in the making: its parts, so that it can be joined with the credential in one allocation.
type path struct{ base, root, model, endpoint, query, version string }

func (p path) length() int {
	return len(p.base) + len(p.root) + len(p.model) + len(p.endpoint) + len(p.query) + len(p.version)
}

// path reports also whether the version of the API knows stream_options, and whether the model can be called so.
func (t *Table) path(r *entry, d *routing.Deployment, e openai.Endpoint, model string) (p path, modern, ok bool) {
	p = path{base: d.Base.EscapedPath(), endpoint: r.paths[e]}
	if r.deployments {
		return t.azurePath(p, d.APIVersion, model)
	}
	if d.APIVersion != "" && r.name == "azure_ai" {
		p.query, p.version = "?api-version=", url.QueryEscape(d.APIVersion)
	}
	return p, true, true
}

// sign gives the whole path and the headers. One string holds the path and the credential,
// which saves an allocation for every request.
func (r *entry) sign(d *routing.Deployment, p path) (string, []config.Header) {
	name, scheme, key := "authorization", "Bearer ", r.credential(d)
	if r.apiKey || (r.name == "azure_ai" && strings.HasSuffix(d.Base.Hostname(), foundry)) {
		name, scheme = "api-key", ""
	}
	both := p.base + p.root + p.model + p.endpoint + p.query + p.version + scheme + key
	headers := make([]config.Header, 0, 2+len(d.ExtraHeaders))
	if key != "" && !has(d.ExtraHeaders, name) {
		headers = append(headers, config.Header{Name: name, Value: both[p.length():]})
	}
	if d.Organization != "" && !has(d.ExtraHeaders, "openai-organization") {
		headers = append(headers, config.Header{Name: "openai-organization", Value: d.Organization})
	}
	for i, h := range d.ExtraHeaders {
		if !has(d.ExtraHeaders[i+1:], h.Name) {
			headers = append(headers, config.Header{Name: strings.ToLower(h.Name), Value: h.Value})
		}
	}
	return both[:p.length()], headers
}

func has(headers []config.Header, name string) bool {
	for _, h := range headers {
		if strings.EqualFold(h.Name, name) {
			return true
		}
	}
	return false
}

// fireworksModel spells out a short name, as LiteLLM does (llms/fireworks_ai/common_utils.py);
// embeddings are called by the short one.
func fireworksModel(e openai.Endpoint, model string) string {
	switch {
	case e == openai.Embeddings, strings.HasPrefix(model, "accounts/"), strings.Contains(model, "#"):
		return model
	case strings.HasPrefix(model, "models/"), strings.HasPrefix(model, "routers/"):
		return "accounts/fireworks/" + model
	}
	return "accounts/fireworks/models/" + model
}
