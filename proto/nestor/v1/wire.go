package nestorv1

import "time"

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
	// How the tightest limit on the way stands; only there where one is, all of them strings.
	KeyLimitRequests     = "limit_requests"
	KeyLimitTokens       = "limit_tokens"
	KeyRemainingRequests = "remaining_requests"
	KeyRemainingTokens   = "remaining_tokens"
	KeyResetRequests     = "reset_requests"
	KeyResetTokens       = "reset_tokens"

	// Token counts in UsageNamespace; all of them numbers.
	KeyPromptTokens     = "prompt_tokens"
	KeyCompletionTokens = "completion_tokens"
	KeyTotalTokens      = "total_tokens"
	KeyCachedTokens     = "cached_tokens"
	KeyReasoningTokens  = "reasoning_tokens"

	// KeyFirstEvent, in UsageNamespace too, is when the first piece of a stream came: a number, Unix milliseconds.
	KeyFirstEvent = "first_event"
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
	// HeaderAttempt is Envoy's count of the attempts at one request, from 1. An access log entry carries it
	// and HeaderRequest, so that an attempt whose decision never arrived can be told.
	HeaderAttempt = "x-envoy-attempt-count"
	// HeaderCoding tells in an access log entry that an answer left Envoy compressed: its bytes say little then.
	HeaderCoding = "content-encoding"
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

	// As OpenAI's: whole numbers, and times such as 20ms, 1s or 6m0s.
	HeaderLimitRequests     = "x-ratelimit-limit-requests"
	HeaderLimitTokens       = "x-ratelimit-limit-tokens"
	HeaderRemainingRequests = "x-ratelimit-remaining-requests"
	HeaderRemainingTokens   = "x-ratelimit-remaining-tokens"
	HeaderResetRequests     = "x-ratelimit-reset-requests"
	HeaderResetTokens       = "x-ratelimit-reset-tokens"
	// HeaderProviderPrefix begins the names under which a provider's own rate limit headers reach the client
	// and the failure exchange.
	HeaderProviderPrefix = "llm_provider-"
)

// IdleSeconds returns the idle times for which a route exists, ascending.
func IdleSeconds() []int { return []int{1, 2, 5, 10, 30, 60, 120, 300, 600} }

// SignInterval is how often Envoy says of an attempt that it is still in flight, unless it is told otherwise.
const SignInterval = 30 * time.Second
