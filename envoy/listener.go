package envoy

import (
	mutationv3 "github.com/envoyproxy/go-control-plane/envoy/config/common/mutation_rules/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	headermutationv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/header_mutation/v3"
	routerv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	earlyv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/http/early_header_mutation/header_mutation/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/nestor-gateway/nestor/envoy/cluster"
	"github.com/nestor-gateway/nestor/envoy/hostport"
	"github.com/nestor-gateway/nestor/envoy/message"
	nestorv1 "github.com/nestor-gateway/nestor/proto/nestor/v1"
)

// connectionBuffer bounds what a client that does not read costs, beside the inner window.
const connectionBuffer = 1 << 20

// clientListener is the outer level: it takes clients' requests, and tries each until the
// processor no longer asks for another attempt.
func clientListener(o Options) *listenerv3.Listener {
	at, _ := hostport.ParseBind(o.Listen) // checked by withDefaults
	return &listenerv3.Listener{
		Name: "client",
		// By it the administration drains this listener alone: attempts in flight need the internal one.
		TrafficDirection:              corev3.TrafficDirection_INBOUND,
		Address:                       at.Message(),
		PerConnectionBufferLimitBytes: wrapperspb.UInt32(connectionBuffer),
		TcpBacklogSize:                wrapperspb.UInt32(4096),
		// A port that something else has is an error, not a share of its connections.
		EnableReusePort: wrapperspb.Bool(false),
		ConnectionBalanceConfig: &listenerv3.Listener_ConnectionBalanceConfig{
			BalanceType: &listenerv3.Listener_ConnectionBalanceConfig_ExactBalance_{
				ExactBalance: &listenerv3.Listener_ConnectionBalanceConfig_ExactBalance{},
			},
		},
		FilterChains: chain(clientManager(o)),
	}
}

func clientManager(o Options) *hcmv3.HttpConnectionManager {
	return &hcmv3.HttpConnectionManager{
		StatPrefix:       "client",
		UseRemoteAddress: wrapperspb.Bool(true),
		// No address is trusted more than another.
		InternalAddressConfig:         &hcmv3.HttpConnectionManager_InternalAddressConfig{},
		EarlyHeaderMutationExtensions: []*corev3.TypedExtensionConfig{forgedHeaders()},
		HttpFilters: []*hcmv3.HttpFilter{
			httpFilter("envoy.filters.http.header_mutation", innerHeaders()),
			httpFilter("envoy.filters.http.router", &routerv3.Router{SuppressEnvoyHeaders: true}),
		},
		// The shared inner connection counts no client's resets, so a client gets few streams at once.
		Http2ProtocolOptions: &corev3.Http2ProtocolOptions{
			InitialStreamWindowSize:     wrapperspb.UInt32(1 << 20),
			InitialConnectionWindowSize: wrapperspb.UInt32(2 << 20),
			MaxConcurrentStreams:        wrapperspb.UInt32(100),
		},
		RouteSpecifier:               &hcmv3.HttpConnectionManager_RouteConfig{RouteConfig: clientRoutes(o)},
		StreamIdleTimeout:            message.MS(0),
		RequestHeadersTimeout:        message.MS(10_000),
		RequestTimeout:               durationpb.New(o.RequestTimeout),
		DelayedCloseTimeout:          message.MS(100), // HTTP/1.1 clients learn of a cut answer after it
		LocalReplyConfig:             clientReplies(o),
		PathWithEscapedSlashesAction: hcmv3.HttpConnectionManager_KEEP_UNCHANGED,
	}
}

// attemptListener is the inner level: one request here is one attempt.
func attemptListener(o Options) *listenerv3.Listener {
	return &listenerv3.Listener{
		Name: cluster.AttemptName,
		ListenerSpecifier: &listenerv3.Listener_InternalListener{
			InternalListener: &listenerv3.Listener_InternalListenerConfig{},
		},
		PerConnectionBufferLimitBytes: wrapperspb.UInt32(connectionBuffer),
		FilterChains:                  chain(attemptManager(o)),
	}
}

func attemptManager(o Options) *hcmv3.HttpConnectionManager {
	return &hcmv3.HttpConnectionManager{
		StatPrefix: cluster.AttemptName,
		CodecType:  hcmv3.HttpConnectionManager_HTTP2,
		// The stream window is the body limit of the processor's buffer.
		Http2ProtocolOptions: &corev3.Http2ProtocolOptions{
			MaxConcurrentStreams:        wrapperspb.UInt32(1<<31 - 1),
			InitialStreamWindowSize:     wrapperspb.UInt32(o.BodyLimit),
			InitialConnectionWindowSize: wrapperspb.UInt32(1<<31 - 1),
		},
		AccessLog:        accessLogs(),
		AccessLogOptions: signsOfLife(o),
		// Requests pass them downwards, answers upwards.
		HttpFilters: []*hcmv3.HttpFilter{
			luaFilter(),
			decompressor(),
			jsonUsage(),
			failureFilter(),
			decisionFilter(),
			httpFilter("envoy.filters.http.router", &routerv3.Router{SuppressEnvoyHeaders: true}),
		},
		RouteSpecifier:   &hcmv3.HttpConnectionManager_RouteConfig{RouteConfig: attemptRoutes(o)},
		LocalReplyConfig: attemptReplies(o),
		// Headers come through as the outer level made them.
		SkipXffAppend:              true,
		GenerateRequestId:          wrapperspb.Bool(false),
		PreserveExternalRequestId:  true,
		ForwardClientCertDetails:   hcmv3.HttpConnectionManager_ALWAYS_FORWARD_ONLY,
		ServerHeaderTransformation: hcmv3.HttpConnectionManager_PASS_THROUGH,
		// The routes' idle times and the processor's timeouts hold instead.
		StreamIdleTimeout:            message.MS(0),
		RequestTimeout:               message.MS(0),
		PathWithEscapedSlashesAction: hcmv3.HttpConnectionManager_KEEP_UNCHANGED,
	}
}

func chain(manager *hcmv3.HttpConnectionManager) []*listenerv3.FilterChain {
	return []*listenerv3.FilterChain{{Filters: []*listenerv3.Filter{{
		Name:       "envoy.filters.network.http_connection_manager",
		ConfigType: &listenerv3.Filter_TypedConfig{TypedConfig: message.Pack(manager)},
	}}}}
}

func httpFilter(name string, config proto.Message) *hcmv3.HttpFilter {
	return &hcmv3.HttpFilter{Name: name, ConfigType: &hcmv3.HttpFilter_TypedConfig{TypedConfig: message.Pack(config)}}
}

// forgedHeaders removes what Envoy or Nestor would believe, before anything reads it: Envoy would make the id of the
// request, by which attempts are told apart and charged once, of x-request-id. The header of probes stays: it carries a
// secret that the processor knows.
func forgedHeaders() *corev3.TypedExtensionConfig {
	return message.Extension("envoy.http.early_header_mutation.header_mutation", &earlyv3.HeaderMutation{
		Mutations: []*mutationv3.HeaderMutation{
			removeMatching(prefix("x-envoy-")),
			removeMatching(allBut("x-nestor-", nestorv1.HeaderProbe)),
			{Action: &mutationv3.HeaderMutation_Remove{Remove: "x-request-id"}},
		},
	})
}

// innerHeaders removes what the inner level and upstreams' own Envoys say to each other.
// The outer router has read its part by then.
func innerHeaders() *headermutationv3.HeaderMutation {
	return &headermutationv3.HeaderMutation{Mutations: &headermutationv3.Mutations{
		ResponseMutations: []*mutationv3.HeaderMutation{
			removeMatching(prefix("x-envoy-")),
			removeMatching(prefix("x-nestor-")),
		},
		ResponseTrailersMutations: []*mutationv3.HeaderMutation{removeMatching(prefix("x-envoy-"))},
	}}
}

func removeMatching(m *matcherv3.StringMatcher) *mutationv3.HeaderMutation {
	return &mutationv3.HeaderMutation{Action: &mutationv3.HeaderMutation_RemoveOnMatch_{
		RemoveOnMatch: &mutationv3.HeaderMutation_RemoveOnMatch{KeyMatcher: m},
	}}
}

func prefix(p string) *matcherv3.StringMatcher {
	return &matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_Prefix{Prefix: p}}
}

func regex(r string) *matcherv3.RegexMatcher {
	return &matcherv3.RegexMatcher{Regex: r}
}

// allBut matches every name with a prefix except one. RE2 has no negative look-ahead, so the
// names that part from the exception are listed, letter by letter.
func allBut(prefix, except string) *matcherv3.StringMatcher {
	rest := except[len(prefix):]
	pattern := rest + ".+"
	for i := range rest {
		pattern += "|" + rest[:i] + "([^" + rest[i:i+1] + "].*)?"
	}
	return &matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_SafeRegex{
		SafeRegex: regex(prefix + "(" + pattern + ")"),
	}}
}
