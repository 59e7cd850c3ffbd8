package message

import (
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"

	nestorv1 "github.com/nestor-gateway/nestor/proto/nestor/v1"
)

// Headers are a request's or an answer's. Their names are in lower case.
type Headers []*corev3.HeaderValue

// Get returns the first value of a header, or "".
func (h Headers) Get(name string) string {
	for _, v := range h {
		if v.Key == name {
			return Value(v)
		}
	}
	return ""
}

// Value is the text of a header.
func Value(v *corev3.HeaderValue) string {
	if len(v.RawValue) > 0 {
		return string(v.RawValue)
	}
	return v.Value
}

// Foreign lists the headers that must not reach a provider: all but those on the allow-list.
// Envoy's own are left to the routes, which need them first; Nestor's are set anew after this.
func (h Headers) Foreign() []string {
	names := make([]string, 0, len(h))
	for _, v := range h {
		if !forwarded(v.Key) && !routed(v.Key) {
			names = append(names, v.Key)
		}
	}
	return names
}

// routed reports whether Envoy needs the header to find the route: without x-forwarded-proto it finds none.
func routed(name string) bool {
	return strings.HasPrefix(name, "x-envoy-") || name == "x-forwarded-proto"
}

// forwarded reports whether a client's header goes on to the provider.
func forwarded(name string) bool {
	switch name {
	case "content-type", "content-length", "accept", "user-agent", "openai-beta", "idempotency-key", "traceparent", "tracestate":
		return true
	}
	return strings.HasPrefix(name, ":") || strings.HasPrefix(name, "x-stainless-")
}

// ForClient keeps from the client what is between the provider and Nestor, and gives the provider's rate limits the
// names that LiteLLM gives them.
func ForClient(h Headers) *extprocv3.HeaderMutation {
	m := &extprocv3.HeaderMutation{}
	for _, v := range h {
		if isRateLimit(v.Key) {
			Set(m, nestorv1.HeaderProviderPrefix+v.Key, Value(v))
		}
		if isRateLimit(v.Key) || isPrivate(v.Key) {
			m.RemoveHeaders = append(m.RemoveHeaders, v.Key)
		}
	}
	return m
}

func isRateLimit(name string) bool { return strings.HasPrefix(name, "x-ratelimit-") }

// isPrivate reports whether a header of an upstream's answer is not for the client, or could confuse Envoy or it.
func isPrivate(name string) bool {
	switch name {
	case nestorv1.HeaderRetry, nestorv1.HeaderRefusal, "x-envoy-overloaded", "x-envoy-ratelimited",
		"x-envoy-immediate-health-check-fail", "set-cookie", "location", "openai-organization", "openai-project", nestorv1.HeaderResponseCost, nestorv1.HeaderKeySpend:
		return true
	}
	return false
}

// Renamed has the provider's rate limits under the names that the client sees.
func (h Headers) Renamed() Headers {
	all := make(Headers, len(h))
	for i, v := range h {
		if isRateLimit(v.Key) {
			v = &corev3.HeaderValue{Key: nestorv1.HeaderProviderPrefix + v.Key, Value: v.Value, RawValue: v.RawValue}
		}
		all[i] = v
	}
	return all
}
