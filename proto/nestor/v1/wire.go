package nestorv1

// The names that the processor and the Envoy configuration agree on.

// Dynamic metadata.
const (
	// Namespace holds the Decision of an attempt, written by the decision exchange.
	Namespace = "nestor.v1"
	// UsageNamespace holds the token counts that Envoy's filters read from an answer.
	UsageNamespace = "nestor.usage"

	// KeyDecision is the base64 (standard, padded) of the serialized Decision.
	KeyDecision = "decision"
	// KeyStrip is "usage" when the usage event of a stream is to be taken out
	// because the client did not ask for it.
	KeyStrip = "strip"

	// What the routes copy into response headers; all of them strings.
	KeyModelID   = "model_id"
	KeyGroup     = "group"
	KeyAPIBase   = "api_base"
	KeyRetries   = "retries"
	KeyFallbacks = "fallbacks"
	KeyCallID    = "call_id"

	// Token counts in UsageNamespace; all of them numbers.
	KeyPromptTokens     = "prompt_tokens"
	KeyCompletionTokens = "completion_tokens"
	KeyTotalTokens      = "total_tokens"
	KeyCachedTokens     = "cached_tokens"
	KeyReasoningTokens  = "reasoning_tokens"
)

// Request headers between the two levels of Envoy and the processor, all of them
// removed from what clients send and from what upstreams receive.
const (
	// HeaderCluster is the route header: the name of the upstream.
	HeaderCluster = "x-nestor-cluster"
	// HeaderIdle chooses the route with that idle time, in whole seconds (see IdleSeconds).
	HeaderIdle = "x-nestor-idle"
	// HeaderRequest joins the attempts of one request.
	HeaderRequest = "x-nestor-request"
	// HeaderProbe carries the process's own secret on a probe of /health.
	HeaderProbe = "x-nestor-probe"
)

// Response headers.
const (
	// HeaderRetry asks the outer route for another attempt.
	HeaderRetry = "x-nestor-retry"
	// HeaderRefusal marks an answer of the processor itself (ImmediateResponse):
	// the failure exchange is skipped for it.
	HeaderRefusal = "x-nestor-refusal"

	HeaderModelID            = "x-litellm-model-id"
	HeaderModelGroup         = "x-litellm-model-group"
	HeaderModelAPIBase       = "x-litellm-model-api-base"
	HeaderAttemptedRetries   = "x-litellm-attempted-retries"
	HeaderAttemptedFallbacks = "x-litellm-attempted-fallbacks"
	HeaderCallID             = "x-litellm-call-id"
)

// IdleSeconds returns the idle times for which a route exists, ascending.
func IdleSeconds() []int { return []int{1, 2, 5, 10, 30, 60, 120, 300, 600} }
