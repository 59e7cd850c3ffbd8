// Package deployment makes the deployments of a config, each once.
package deployment

import (
	"net/url"
	"time"

	"github.com/nestor-gateway/nestor/routing/config"
	"github.com/nestor-gateway/nestor/routing/reading"
)

// Deployment is one provider model at one address with one credential: a leaf.
// It never changes; what changes about it is in the Tracker, under its ID.
type Deployment struct {
	// ID is model_info.id, or a hash of what identifies the deployment:
	// provider, model, address, version, credential and default parameters.
	ID string
	// Provider is a row of the provider table, for example "groq"; empty where it can't be told, which is a Problem.
	Provider string
	// Lacks are the endpoints that the provider does not have, a bit each: see Serves.
	Lacks uint8
	// Model is the provider's own name of the model, for example "openai/gpt-oss-120b".
	Model string
	// Written is litellm_params.model as in the file, for example "groq/openai/gpt-oss-120b";
	// At is the place of the first entry that declares the deployment.
	Written string
	At      config.Position
	// Base is the address in force: the entry's api_base or the provider's own. Never nil;
	// it has no user, query or fragment.
	Base *url.URL
	// Upstream is the Envoy cluster that leads to Base.
	Upstream Upstream

	APIKey       config.Secret
	APIVersion   string
	Organization string
	ExtraHeaders []config.Header
	Defaults     []config.Field
	Info         config.ModelInfo

	// RPM, TPM and MaxParallel are the limits in force: the smallest of those declared. Nil is none.
	RPM, TPM, MaxParallel *int64

	// Timeout and StreamTimeout are the entry's own; zero when it has none.
	Timeout, StreamTimeout time.Duration
	// CooldownTime is the entry's own; nil when it has none, 0 when it is never left alone.
	CooldownTime *time.Duration
	// NumRetries is the entry's own; nil when it has none.
	NumRetries *int

	// Prices are by litellm_params, else by model_info; nil where neither says. Tariff is made of them.
	Prices config.Prices
	Tariff Tariff
	// PriceList is the Tariff as it travels with a decision.
	PriceList string

	// Problem is why no request can be sent to it, or empty. See config.Entry.
	Problem string
}

// Upstream is the Envoy cluster for one scheme, host and port. Deployments at one address share it.
type Upstream struct {
	// Name is the cluster's name, made of the other fields; safe as a header value.
	Name string
	// Scheme is "http" or "https".
	Scheme string
	// Host is a DNS name or an IP address, without brackets, in lower case.
	Host string
	Port uint16
}

// Providers is the provider table as the compiler needs it.
type Providers interface {
	reading.Providers
	// Base returns the address of a deployment: apiBase when it is not empty, else the provider's own.
	// An error says what the provider needs.
	Base(provider, apiBase string) (*url.URL, error)
	// Lacks returns the endpoints that a provider does not have, a bit each.
	Lacks(provider string) uint8
}

// Serves reports whether the provider has an endpoint, which its table counts from 0.
func (d *Deployment) Serves(endpoint uint8) bool { return d.Lacks>>endpoint&1 == 0 }
