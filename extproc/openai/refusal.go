package openai

import (
	"fmt"
	"math"
	"net/http"
	"time"

	"github.com/nestor-gateway/nestor/ratelimit"
)

const invalidRequest = "invalid_request_error"

// Invalid is a request that can't be understood: 400. param is the member at fault, or empty.
func Invalid(param, message string) *Error {
	return &Error{Status: http.StatusBadRequest, Type: invalidRequest, Param: param, Message: message}
}

// MissingModel is a request that names no model, neither in its path nor in its body: 400.
func MissingModel() *Error {
	return Invalid("model", "the request names no model: set \"model\" in the body; GET /v1/models lists the names")
}

// UnknownModel is a model that nothing resolves to: 400 with LiteLLM's text, not OpenAI's 404.
func UnknownModel(name string) *Error {
	e := Invalid("model", "Invalid model name passed in model="+name+". GET /v1/models lists the names.")
	e.Code = "model_not_found"
	return e
}

// UnknownEndpoint is a path that Nestor does not have: 404.
func UnknownEndpoint(method, path string) *Error {
	return &Error{
		Status: http.StatusNotFound, Type: invalidRequest, Code: "unknown_url",
		Message: fmt.Sprintf("unknown endpoint %s %.200s: Nestor has POST /v1/chat/completions, /v1/completions and /v1/embeddings", method, path),
	}
}

// WrongMethod is an endpoint called with another method than POST: 405.
func WrongMethod(method, path string) *Error {
	return &Error{
		Status: http.StatusMethodNotAllowed, Type: invalidRequest, Code: "method_not_allowed",
		Message: fmt.Sprintf("%s does not work on %.200s: use POST", method, path),
	}
}

// NoDeployment is a model whose deployments are all cooling or out of quota: 429 with LiteLLM's text.
// retryAfter is shown in whole seconds, rounded up, as the retry-after header must be.
func NoDeployment(name string, retryAfter time.Duration) *Error {
	return &Error{
		Status: http.StatusTooManyRequests, Type: typeOf(http.StatusTooManyRequests), Param: "model", Code: "429", RetryAfter: retryAfter,
		Message: fmt.Sprintf("No deployments available for selected model, Try again in %.0f seconds. Passed model=%s.",
			math.Ceil(retryAfter.Seconds()), name),
	}
}

// Quota is a limit that a request is over.
type Quota struct {
	Of ratelimit.Dimension
	// Limit is ratelimit.None where it is the provider's own, and not known.
	Limit, Remaining int64
	// Requested is the tokens of the request, as estimated.
	Requested int64
	// TooLarge says that the request is larger than the limit.
	TooLarge bool
	// Closed says that the limit admits nothing whatever is used: what was used is not known.
	Closed     bool
	RetryAfter time.Duration
}

// NoQuota is a model whose deployments are all out of quota: 429 with LiteLLM's text and OpenAI's words. Waiting
// does not help a request that is larger than the limit: it has no RetryAfter.
func NoQuota(name string, q Quota) *Error {
	e := NoDeployment(name, max(q.RetryAfter, time.Millisecond))
	e.Code = "rate_limit_exceeded"
	switch what, kind := q.words(); {
	case q.TooLarge && q.Limit == 0:
		e.Type, e.RetryAfter = kind, 0
		e.Message = fmt.Sprintf("No deployments available for selected model. Passed model=%s. "+
			"Rate limit reached on %s: Limit 0, which admits no request, ever.", name, what)
	case q.TooLarge:
		e.Type, e.RetryAfter = kind, 0
		e.Message = fmt.Sprintf("Request too large for %s on %s: Limit %d, Requested %d. "+
			"The input or output tokens must be reduced in order to run successfully. Passed model=%s.", name, what, q.Limit, q.Requested, name)
	case q.Closed:
		e.Type = kind
		e.Message += " Its limits admit nothing at present: what was used of them is not known, or their store can't be reached."
	default:
		e.Type = kind
		e.Message += fmt.Sprintf(" Rate limit reached on %s%s.", what, q.numbers())
	}
	return e
}

func (q Quota) numbers() string {
	if q.Limit == ratelimit.None {
		return " of the provider"
	}
	return fmt.Sprintf(": Limit %d, Remaining %d", q.Limit, max(q.Remaining, 0))
}

// words are OpenAI's for a dimension, in an error's message and for its type.
func (q Quota) words() (what, kind string) {
	switch q.Of {
	case ratelimit.Tokens:
		return "tokens per min (TPM)", "tokens"
	case ratelimit.Requests:
		return "requests per min (RPM)", "requests"
	}
	return "requests at once (max_parallel_requests)", "requests"
}

// Unavailable is a request that Nestor can't serve now through no fault of the client: 503.
func Unavailable(reason string) *Error {
	return &Error{Status: http.StatusServiceUnavailable, Type: "server_error", Code: "503", Message: reason}
}
