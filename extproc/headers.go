package extproc

import (
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
)

// headerMap reads Envoy's headers. Their names are in lower case.
type headerMap []*corev3.HeaderValue

// get returns the first value of a header, or "".
func (h headerMap) get(name string) string {
	for _, v := range h {
		if v.Key == name {
			return value(v)
		}
	}
	return ""
}

func value(v *corev3.HeaderValue) string {
	if len(v.RawValue) > 0 {
		return string(v.RawValue)
	}
	return v.Value
}

// foreign lists the headers that must not reach a provider: all but those on the allow-list.
// Envoy's own are left to the routes, which need them first; Nestor's are set anew after this.
func (h headerMap) foreign() []string {
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
