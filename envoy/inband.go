package envoy

import (
	"slices"

	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/ext_proc/v3"
	routerv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
)

// inbandListener is the only level where the processor reads usage from the answers themselves. It is what Nestor
// is in an Envoy of somebody else's: one filter, no access log, no second attempt.
func inbandListener(o Options) *listenerv3.Listener {
	m := clientManager(o)
	m.HttpFilters = []*hcmv3.HttpFilter{
		httpFilter("envoy.filters.http.header_mutation", innerHeaders()),
		inbandFilter(),
		httpFilter("envoy.filters.http.router", &routerv3.Router{SuppressEnvoyHeaders: true}),
	}
	m.RouteSpecifier = &hcmv3.HttpConnectionManager_RouteConfig{RouteConfig: inbandRoutes(o)}
	m.LocalReplyConfig = inbandReplies(o)
	l := clientListener(o)
	l.FilterChains = chain(m)
	return l
}

// inbandFilter is the decision filter whose exchange goes on to the end of the answer.
func inbandFilter() *hcmv3.HttpFilter {
	p := processor("inband")
	p.ProcessingMode = &extprocv3.ProcessingMode{
		RequestHeaderMode:   extprocv3.ProcessingMode_SEND,
		RequestBodyMode:     extprocv3.ProcessingMode_BUFFERED,
		RequestTrailerMode:  extprocv3.ProcessingMode_SKIP,
		ResponseHeaderMode:  extprocv3.ProcessingMode_SEND,
		ResponseBodyMode:    extprocv3.ProcessingMode_STREAMED,
		ResponseTrailerMode: extprocv3.ProcessingMode_SEND,
	}
	// Tells an upstream's answer from Envoy's own, and why Envoy made it.
	p.ResponseAttributes = []string{"response.code_details"}
	return httpFilter("nestor.inband", p)
}

// inbandRoutes lead from the client's port to the upstream that the decision names. They leave the answer's
// headers to the processor.
func inbandRoutes(o Options) *routev3.RouteConfiguration {
	routes := make([]*routev3.Route, 0, 24)
	for _, m := range apiPaths() {
		r := apiRoute(m)
		r.TypedPerFilterConfig = switchedOff("nestor.inband")
		routes = append(routes, r)
	}
	for _, r := range decidedRoutes(o) {
		r.RequestHeadersToRemove = innerRequestHeaders()
		r.ResponseHeadersToRemove = nil
		routes = append(routes, r)
	}
	undecided := undecidedRoute(o, "undecided", everything())
	undecided.ResponseHeadersToAdd = nil
	return &routev3.RouteConfiguration{
		Name: "client",
		VirtualHosts: []*routev3.VirtualHost{{
			Name:    "client",
			Domains: []string{"*"},
			Routes:  append(routes, undecided),
		}},
	}
}

// inbandReplies are those of both levels. Those about the upstream reach the processor, which finds
// them in shape.
func inbandReplies(o Options) *hcmv3.LocalReplyConfig {
	client, attempt := clientReplies(o), attemptReplies(o)
	unprocessed := attempt.Mappers[0]
	unprocessed.HeadersToAdd = nil // nobody tries again
	attempt.Mappers = slices.Concat(attempt.Mappers[:2], client.Mappers[:len(client.Mappers)-1], attempt.Mappers[2:])
	attempt.BodyFormat = client.BodyFormat
	return attempt
}
