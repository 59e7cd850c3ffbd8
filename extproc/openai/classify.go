package openai

import (
	"net/http"
	"slices"
	"strings"

	"github.com/nestor-gateway/nestor/routing"
)

// BodyTells reports whether an answer of a status may be another kind of failure than the status says, which its
// body tells: the others mean the same at every provider, or come from what stands before one.
func BodyTells(status int) bool {
	switch status {
	case http.StatusUnauthorized, http.StatusRequestTimeout, http.StatusConflict, http.StatusTooManyRequests:
		return false
	}
	return status <= http.StatusInternalServerError
}

// Classify tells what kind of failure an upstream's answer is, as LiteLLM does: by its status, and by what the body
// says where BodyTells. The rules on texts are those of litellm_core_utils/exception_mapping_utils.py, for all
// providers alike, and what providers say that it doesn't know.
func Classify(status int, e ErrorBody) routing.Class {
	message := strings.ToLower(e.Message)
	switch {
	case !BodyTells(status):
	case tooFast(message, e):
		return routing.RateLimit
	case tooLong(message, e):
		return routing.ContextWindow
	case unwanted(message, e):
		return routing.ContentPolicy
	case status == http.StatusBadRequest && badKey(message, e):
		return routing.Authentication
	case status == http.StatusBadRequest && (e.Code == "model_not_found" || e.Code == "DeploymentNotFound"):
		return routing.NotFound
	}
	return byStatus(status)
}

func byStatus(status int) routing.Class {
	switch status {
	case http.StatusUnauthorized:
		return routing.Authentication
	case http.StatusPaymentRequired, http.StatusForbidden:
		return routing.PermissionDenied
	case http.StatusNotFound, http.StatusGone:
		return routing.NotFound
	case http.StatusRequestTimeout, http.StatusGatewayTimeout:
		return routing.Timeout
	case http.StatusConflict:
		return routing.Conflict
	case http.StatusTooManyRequests:
		return routing.RateLimit
	}
	switch {
	case status >= http.StatusInternalServerError:
		return routing.Internal
	case status < http.StatusBadRequest: // a redirect: the address is not the provider's
		return routing.NotFound
	}
	return routing.BadRequest
}

// tooFast: Groq answers 413 for a request over the tokens of a minute, Mistral 400 and 500 for a busy tier.
func tooFast(message string, e ErrorBody) bool {
	return strings.HasPrefix(e.Code, "rate_limit") || strings.HasPrefix(e.Type, "rate_limit") ||
		containsAny(message, "rate limit reached", "rate limit exceeded", "service tier capacity exceeded", "tokens per minute")
}

func tooLong(message string, e ErrorBody) bool {
	if e.Code == "string_above_max_length" || strings.Contains(message, "invalid 'user'") {
		return false
	}
	return e.Code == "context_length_exceeded" || e.Type == "exceed_context_size_error" ||
		containsAny(message,
			"maximum context length", "maximum context limit", "exceed context limit",
			"longer than the model's context length", "exceeds the available context size", // llama.cpp
			"context size has been exceeded",                // llama.cpp, LM Studio: 500
			"exceed the configured limit",                   // OpenAI: input tokens
			"exceeds the maximum number of tokens allowed",  // Gemini
			"exceeds the maximum allowed number of tokens",  // Gemini
			"string too long. expected a string with maxim", // OpenAI: one long message
			"prompt is too long", "prompt: length", "input is too long", "too many input tokens",
			"`inputs` tokens + `max_new_tokens` must be", "inputs tokens + max_new_tokens must be", // TGI
			"context length exceeded", "exceeds the context window", "exceeds context window", // LM Studio, OpenAI
		) ||
		containsAll(message, "current length is", "while limit is") || // Cerebras
		containsAll(message, "maximum input length is", "tokens")
}

func unwanted(message string, e ErrorBody) bool {
	switch e.Code {
	case "content_policy_violation", "content_filter", "ResponsibleAIPolicyViolation":
		return true
	}
	return containsAny(message,
		"content_policy_violation", "responsibleaipolicyviolation", "content_filter_policy",
		"content management policy",                     // Azure
		"as a result of our safety system",              // OpenAI
		"rejected as a result of the safety system",     // OpenAI
		"content filtering policy",                      // Anthropic
		"the model produced invalid content",            // Azure
		"the response was blocked",                      // Gemini
		"requires moderation and your input was flagge", // OpenRouter: 403
		"content violates usage guidelines",             // xAI: 403
	) || containsAll(message, "invalid prompt", "violating our usage policy")
}

// badKey: Gemini and xAI answer 400 for a wrong key.
func badKey(message string, e ErrorBody) bool {
	return e.Code == "invalid_api_key" || containsAny(message, "incorrect api key provided", "api key not valid")
}

func containsAny(text string, parts ...string) bool {
	return slices.ContainsFunc(parts, func(part string) bool { return strings.Contains(text, part) })
}

func containsAll(text string, parts ...string) bool {
	return !slices.ContainsFunc(parts, func(part string) bool { return !strings.Contains(text, part) })
}
