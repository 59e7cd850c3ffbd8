package envoy

import (
	"slices"
	"strconv"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/nestor-gateway/nestor/envoy/cluster"
	"github.com/nestor-gateway/nestor/envoy/message"
	nestorv1 "github.com/nestor-gateway/nestor/proto/nestor/v1"
)

const (
	// attemptRetries is more than the attempts that the processor allows a request, for Envoy
	// also counts those on which the processor itself was down: 24 carry an outage of some 9 s.
	attemptRetries = 24
	// apiRetries carry an outage of nestor of some 3 s.
	apiRetries = 10
	// retryMargin is what the outer level buffers beyond the body limit. If it could buffer
	// less than the inner level, an answer marked for retry would reach the client.
	retryMargin = 1 << 20
	// answerLimit bounds the JSON answer that json_to_metadata holds, and the answer that the
	// failure exchange is shown; a larger one would be replaced by an error.
	answerLimit = 32 << 20
)

// clientRoutes sends the paths of the HTTP port there and all others to the inner level.
func clientRoutes(o Options) *routev3.RouteConfiguration {
	routes := make([]*routev3.Route, 0, 16)
	for _, m := range apiPaths() {
		routes = append(routes, apiRoute(m))
	}
	return &routev3.RouteConfiguration{
		Name: "client",
		VirtualHosts: []*routev3.VirtualHost{{
			Name:                       "client",
			Domains:                    []string{"*"},
			IncludeRequestAttemptCount: true,
			// What a client wrote there is worth nothing, and for clients on this machine Envoy has added another of its addresses.
			RequestHeadersToAdd: []*corev3.HeaderValueOption{set("x-forwarded-for", "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%")},
			Routes:              append(routes, attemptRoute(o)),
		}},
	}
}

// apiPaths are what nestor's HTTP port answers; those that are no single path hold all below them.
func apiPaths() []*routev3.RouteMatch {
	var matches []*routev3.RouteMatch
	for _, path := range []string{"/model/info", "/v1/model/info", "/model_group/info"} {
		matches = append(matches, &routev3.RouteMatch{PathSpecifier: &routev3.RouteMatch_Path{Path: path}})
	}
	for _, path := range []string{
		"/v1/models", "/models", "/health", "/key", "/team", "/user", "/budget", "/spend", "/global", "/audit", "/v2/key",
	} {
		matches = append(matches, &routev3.RouteMatch{
			PathSpecifier: &routev3.RouteMatch_PathSeparatedPrefix{PathSeparatedPrefix: path},
		})
	}
	return matches
}

func apiRoute(match *routev3.RouteMatch) *routev3.Route {
	return &routev3.Route{
		Match: match,
		Action: &routev3.Route_Route{Route: &routev3.RouteAction{
			ClusterSpecifier: &routev3.RouteAction_Cluster{Cluster: cluster.APIName},
			Timeout:          message.MS(0), // /health probes every deployment
			IdleTimeout:      message.MS(600_000),
			RetryPolicy:      retries("connect-failure,refused-stream,reset-before-request", apiRetries),
		}},
	}
}

// attemptRoute retries on the processor's word, and where nothing can have reached an upstream.
func attemptRoute(o Options) *routev3.Route {
	retry := retries("retriable-headers,connect-failure,refused-stream,reset-before-request", attemptRetries)
	retry.RetriableHeaders = []*routev3.HeaderMatcher{present(nestorv1.HeaderRetry)}
	return &routev3.Route{
		Name:                "attempt",
		Match:               everything(),
		RequestHeadersToAdd: []*corev3.HeaderValueOption{set(nestorv1.HeaderRequest, "%STREAM_ID%")},
		Action: &routev3.Route_Route{Route: &routev3.RouteAction{
			ClusterSpecifier: &routev3.RouteAction_Cluster{Cluster: cluster.AttemptName},
			Timeout:          message.MS(0),
			IdleTimeout:      message.MS(0),
			RetryPolicy:      retry,
		}},
		RequestBodyBufferLimit: wrapperspb.UInt64(uint64(o.BodyLimit) + retryMargin),
	}
}

func retries(on string, most uint32) *routev3.RetryPolicy {
	return &routev3.RetryPolicy{
		RetryOn:    on,
		NumRetries: wrapperspb.UInt32(most),
		RetryBackOff: &routev3.RetryPolicy_RetryBackOff{
			BaseInterval: message.MS(25),
			MaxInterval:  message.MS(1000),
		},
	}
}

// attemptRoutes sends an attempt to the upstream that the decision named, through the
// route with the idle time that it named. What has no decision is answered here.
func attemptRoutes(o Options) *routev3.RouteConfiguration {
	routes := append([]*routev3.Route{largeAnswers(o)}, decidedRoutes(o)...)
	return &routev3.RouteConfiguration{
		Name: cluster.AttemptName,
		// Done after the route is chosen; the processor removes what is the client's own.
		RequestHeadersToRemove: innerRequestHeaders(),
		// Done after the virtual host's turn, which has copied the provider's; removed first, then added.
		ResponseHeadersToRemove: rateLimits(),
		ResponseHeadersToAdd:    standingHeaders(),
		VirtualHosts: []*routev3.VirtualHost{{
			Name:                 cluster.AttemptName,
			Domains:              []string{"*"},
			ResponseHeadersToAdd: append(decisionHeaders(), renamedRateLimits()...),

			Routes: append(routes, undecidedRoute(o, "undecided", everything())),
		}},
	}
}

// largeAnswers is the first route of a request whose answer may be large JSON: json_to_metadata
// would hold up its worker for 40 ns a byte, and is switched off or on by the first route alone.
func largeAnswers(o Options) *routev3.Route {
	absent := present(nestorv1.HeaderCluster)
	absent.InvertMatch = true
	r := undecidedRoute(o, "embeddings", &routev3.RouteMatch{
		PathSpecifier: &routev3.RouteMatch_SafeRegex{SafeRegex: regex(`/.*(embeddings|images/[a-z]+)`)},
		Headers:       []*routev3.HeaderMatcher{absent},
	})
	r.TypedPerFilterConfig = switchedOff(jsonFilterName)
	return r
}

// switchedOff is for routes that a filter is not for.
func switchedOff(filter string) map[string]*anypb.Any {
	return map[string]*anypb.Any{filter: message.Pack(&routev3.FilterConfig{Disabled: true})}
}

// decidedRoutes are those of every idle time, and the one of answers that are no streams.
func decidedRoutes(o Options) []*routev3.Route {
	var routes []*routev3.Route
	for _, seconds := range nestorv1.IdleSeconds() {
		routes = append(routes, idleRoute(o, seconds))
	}
	return append(routes, decidedRoute(o))
}

// idleRoute is the route of streams that end when they are silent for that long.
func idleRoute(o Options, seconds int) *routev3.Route {
	r := decidedRoute(o)
	text := strconv.Itoa(seconds)
	r.Name = "idle-" + text + "s"
	r.Match.Headers = append(r.Match.Headers, &routev3.HeaderMatcher{
		Name: nestorv1.HeaderIdle,
		HeaderMatchSpecifier: &routev3.HeaderMatcher_StringMatch{StringMatch: &matcherv3.StringMatcher{
			MatchPattern: &matcherv3.StringMatcher_Exact{Exact: text},
		}},
	})
	// Not the retry policy's per_try_idle_timeout: Envoy 1.40 leaves it aside where the request
	// has a per-try timeout in its headers.
	r.GetRoute().IdleTimeout = durationpb.New(time.Duration(seconds) * time.Second)
	return r
}

func decidedRoute(o Options) *routev3.Route {
	match := everything()
	match.Headers = []*routev3.HeaderMatcher{present(nestorv1.HeaderCluster)}
	return &routev3.Route{
		Name:  "decided",
		Match: match,
		Action: &routev3.Route_Route{Route: &routev3.RouteAction{
			ClusterSpecifier: &routev3.RouteAction_ClusterHeader{ClusterHeader: nestorv1.HeaderCluster},
			Timeout:          message.MS(0),
			IdleTimeout:      message.MS(0),
		}},
		RequestBodyBufferLimit:  wrapperspb.UInt64(max(uint64(o.BodyLimit), answerLimit)),
		ResponseHeadersToRemove: upstreamResponseHeaders(),
	}
}

// undecidedRoute answers what the processor let through without a decision.
func undecidedRoute(o Options, name string, match *routev3.RouteMatch) *routev3.Route {
	return &routev3.Route{
		Name:  name,
		Match: match,
		Action: &routev3.Route_DirectResponse{DirectResponse: &routev3.DirectResponseAction{
			Status: 503,
			Body: &corev3.DataSource{Specifier: &corev3.DataSource_InlineString{
				InlineString: "the processor let a request pass undecided",
			}},
		}},
		RequestBodyBufferLimit: wrapperspb.UInt64(max(uint64(o.BodyLimit), answerLimit)),
		ResponseHeadersToAdd:   []*corev3.HeaderValueOption{set(nestorv1.HeaderRetry, name)},
	}
}

// decisionHeaders tell the client what was decided. One whose key the Decision's metadata lacks is left out.
func decisionHeaders() []*corev3.HeaderValueOption {
	return fromDecision([][2]string{
		{nestorv1.HeaderModelID, nestorv1.KeyModelID},
		{nestorv1.HeaderModelGroup, nestorv1.KeyGroup},
		{nestorv1.HeaderModelAPIBase, nestorv1.KeyAPIBase},
		{nestorv1.HeaderAttemptedRetries, nestorv1.KeyRetries},
		{nestorv1.HeaderAttemptedFallbacks, nestorv1.KeyFallbacks},
		{nestorv1.HeaderCallID, nestorv1.KeyCallID},
		{nestorv1.HeaderKeySpend, nestorv1.KeyKeySpend},
	})
}

// standingHeaders tell the client what the limits of the gateway still admit.
func standingHeaders() []*corev3.HeaderValueOption {
	return fromDecision([][2]string{
		{nestorv1.HeaderLimitRequests, nestorv1.KeyLimitRequests},
		{nestorv1.HeaderRemainingRequests, nestorv1.KeyRemainingRequests},
		{nestorv1.HeaderResetRequests, nestorv1.KeyResetRequests},
		{nestorv1.HeaderLimitTokens, nestorv1.KeyLimitTokens},
		{nestorv1.HeaderRemainingTokens, nestorv1.KeyRemainingTokens},
		{nestorv1.HeaderResetTokens, nestorv1.KeyResetTokens},
	})
}

// fromDecision sets headers, each the first of a pair, to keys of the Decision's metadata.
func fromDecision(pairs [][2]string) []*corev3.HeaderValueOption {
	headers := make([]*corev3.HeaderValueOption, len(pairs))
	for i, p := range pairs {
		headers[i] = set(p[0], "%DYNAMIC_METADATA("+nestorv1.Namespace+":"+p[1]+")%")
	}
	return headers
}

// renamedRateLimits copies the provider's rate limits to the names that LiteLLM gives them. Done here by
// name for the cost: to look at every header in filter.lua took 20 us of CPU an answer.
func renamedRateLimits() []*corev3.HeaderValueOption {
	var headers []*corev3.HeaderValueOption
	for _, name := range rateLimits() {
		headers = append(headers, set(nestorv1.HeaderProviderPrefix+name, "%RESP("+name+")%"))
	}
	return headers
}

// rateLimits are the headers in which OpenAI, Azure, Groq, Cerebras, Fireworks, Together and
// OpenRouter document their limits.
func rateLimits() []string {
	var names []string
	for _, kind := range []string{"limit", "remaining", "reset"} {
		for _, of := range []string{
			"", "-requests", "-tokens", "-requests-day", "-tokens-minute", "-tokens-prompt", "-tokens-generated",
		} {
			names = append(names, "x-ratelimit-"+kind+of)
		}
	}
	return names
}

// innerRequestHeaders are what the two levels tell each other; no upstream receives them.
func innerRequestHeaders() []string {
	return []string{
		nestorv1.HeaderCluster, nestorv1.HeaderIdle, nestorv1.HeaderRequest, nestorv1.HeaderProbe,
		nestorv1.HeaderAttempt, "x-envoy-expected-rq-timeout-ms", "x-envoy-external-address", "x-envoy-internal",
		"x-forwarded-client-cert", "x-forwarded-for", "x-forwarded-host", "x-forwarded-port", "x-forwarded-proto",
		"x-request-id",
	}
}

// upstreamResponseHeaders are what an upstream could confuse Envoy or Nestor with, and what is
// between it and the owner of its credential.
func upstreamResponseHeaders() []string {
	return slices.Concat(
		[]string{nestorv1.HeaderRetry, nestorv1.HeaderRefusal},
		[]string{"x-envoy-overloaded", "x-envoy-ratelimited", "x-envoy-immediate-health-check-fail"},
		// An SDK that follows a provider's redirect would take the client's key there.
		[]string{"set-cookie", "location", "openai-organization", "openai-project"},
		// Another gateway's accounts, which would be taken for this one's where it has none to tell of.
		[]string{nestorv1.HeaderResponseCost, nestorv1.HeaderKeySpend},
	)
}

func everything() *routev3.RouteMatch {
	return &routev3.RouteMatch{PathSpecifier: &routev3.RouteMatch_Prefix{Prefix: "/"}}
}

func present(name string) *routev3.HeaderMatcher {
	return &routev3.HeaderMatcher{
		Name:                 name,
		HeaderMatchSpecifier: &routev3.HeaderMatcher_PresentMatch{PresentMatch: true},
	}
}

func set(name, value string) *corev3.HeaderValueOption {
	return &corev3.HeaderValueOption{
		Header:       &corev3.HeaderValue{Key: name, Value: value},
		AppendAction: corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD,
	}
}
