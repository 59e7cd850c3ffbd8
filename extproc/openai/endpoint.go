// Package openai reads and rewrites the bytes of OpenAI's API: the paths it has, the bodies of
// requests, and the shape of errors. It knows nothing of Envoy and nothing of routing but the
// classes of failures.
package openai

import (
	"net/url"
	"strings"
)

// Endpoint is one of the calls that Nestor carries.
type Endpoint uint8

// The endpoints, in the order of a provider's table of paths.
const (
	Chat Endpoint = iota
	Completions
	Embeddings
)

// String is the endpoint's name in logs and metrics.
func (e Endpoint) String() string { return [...]string{"chat", "completions", "embeddings"}[e] }

// Route is what a path asks for.
type Route struct {
	Endpoint Endpoint
	// Model is the model that the path names, unescaped; empty when it names none.
	// It wins over the model of the body, as in LiteLLM.
	Model string
}

// Lookup finds the endpoint of a request path, whose query, if any, is ignored. It knows
// /v1/chat/completions, /v1/completions and /v1/embeddings, the same without /v1, and the three
// under /openai/deployments/{model} (Azure's SDKs) and /engines/{model} (early OpenAI SDKs, LiteLLM).
// The model in a path may hold slashes, plain or as %2F; one that can't be a model
// (see CheckModel) makes the path unknown.
func Lookup(path string) (Route, bool) {
	path, _, _ = strings.Cut(path, "?")
	for _, prefix := range [...]string{"/openai/deployments/", "/engines/"} {
		if rest, ok := strings.CutPrefix(path, prefix); ok {
			return modelRoute(rest)
		}
	}
	switch strings.TrimPrefix(path, "/v1") {
	case "/chat/completions":
		return Route{Endpoint: Chat}, true
	case "/completions":
		return Route{Endpoint: Completions}, true
	case "/embeddings":
		return Route{Endpoint: Embeddings}, true
	}
	return Route{}, false
}

// modelRoute reads "{model}/chat/completions" and its like. The longest ending wins,
// so that "a/chat/completions" is a chat with "a".
func modelRoute(rest string) (Route, bool) {
	for e, ending := range [...]string{"/chat/completions", "/completions", "/embeddings"} {
		name, ok := strings.CutSuffix(rest, ending)
		if !ok {
			continue
		}
		model, err := url.PathUnescape(name)
		if err != nil || CheckModel(model) != nil {
			return Route{}, false
		}
		return Route{Endpoint: Endpoint(e), Model: model}, true
	}
	return Route{}, false
}
