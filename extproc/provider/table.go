// Package provider knows how a request must look for each provider: its address, paths and credential.
package provider

import (
	"errors"
	"net/url"

	"github.com/nestor-gateway/nestor/extproc/openai"
	"github.com/nestor-gateway/nestor/routing"
	"github.com/nestor-gateway/nestor/routing/config"
)

// Table is the providers that Nestor knows. It never changes and is safe for concurrent use.
type Table struct{}

// New makes the table. env looks up a variable of the environment (os.LookupEnv): deployments without
// api_key or api_base take them from the variables that LiteLLM reads. They are read here, once.
func New(env func(string) (string, bool)) *Table { return &Table{} }

// Request is what an upstream must get, beside the body.
type Request struct {
	// Path is the :path, with its query.
	Path string
	// Host is the :authority.
	Host string
	// Headers are the credential and the provider's and the deployment's own headers, in lower case. To be set, not added.
	Headers []config.Header
	// StreamOptions tells whether the provider accepts stream_options.
	StreamOptions bool
}

// Request builds what the deployment's upstream must get for a call of the endpoint; model is the provider's
// own name of the model. An error is a header that can't be sent, see Check.
func (t *Table) Request(d *routing.Deployment, e openai.Endpoint, model string) (Request, error) {
	return Request{}, errors.New("not implemented")
}

// Check reports what would make every request to the deployment fail: a credential or a header with a
// control character. The error names the setting and never holds its value.
func (t *Table) Check(d *routing.Deployment) error { return nil }

// Missing names the environment variables of which one has to be set for the deployment to have
// a credential; nil when it has one or its provider needs none.
func (t *Table) Missing(d *routing.Deployment) []string { return nil }

// Split implements routing.Providers.
func (t *Table) Split(written, custom string) (provider, model string, err error) {
	return "", "", errors.New("not implemented")
}

// IsPrefix implements routing.Providers.
func (t *Table) IsPrefix(word string) bool { return false }

// Base implements routing.Providers.
func (t *Table) Base(provider, apiBase string) (*url.URL, error) {
	return nil, errors.New("not implemented")
}
