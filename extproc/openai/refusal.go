package openai

import (
	"fmt"
	"math"
	"net/http"
	"strconv"
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

// NoEndpoint is a model none of whose deployments has the endpoint that is called, but for those that can't be used: 400.
func NoEndpoint(name string, e Endpoint) *Error {
	return Invalid("model", fmt.Sprintf("no deployment of model %s that can be used has an endpoint for %s: call another model", name, e))
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

// CallerQuota is a limit of who asks: 429 with LiteLLM's text and headers. of says whose it is, for example "key".
func CallerQuota(of string, q Quota, now time.Time) *Error {
	what, kind := q.words()
	e := &Error{Status: http.StatusTooManyRequests, Type: kind, Code: "rate_limit_exceeded", RetryAfter: max(q.RetryAfter, time.Millisecond)}
	e.Headers = []Header{{"rate_limit_type", kind}, {"reset_at", strconv.FormatInt(now.Add(q.RetryAfter).Unix(), 10)}}
	switch {
	case q.TooLarge:
		e.RetryAfter, e.Headers = 0, e.Headers[:1]
		e.Message = fmt.Sprintf("Request too large for %s. Limit type: %s. Current limit: %d, Requested: %d.", of, what, q.Limit, max(q.Requested, 1))
	case q.Closed:
		e.Message = fmt.Sprintf("Rate limit of %s admits nothing at present: what was used of it is not known, or its store can't be reached.", of)
	default:
		e.Message = fmt.Sprintf("Rate limit exceeded for %s. Limit type: %s. Current limit: %d, Remaining: %d. Try again in %.0f seconds.",
			of, what, q.Limit, max(q.Remaining, 0), math.Ceil(q.RetryAfter.Seconds()))
	}
	return e
}

// OverBudget is who asks having spent what they may: 429 with LiteLLM's text. of is "key", "team" or "user", the amounts
// are in USD. Without a budget period waiting does not help: retryAfter is 0.
func OverBudget(of, spend, most string, retryAfter time.Duration) *Error {
	return &Error{
		Status: http.StatusTooManyRequests, Type: "budget_exceeded", Code: "429", RetryAfter: retryAfter,
		Message: fmt.Sprintf("Budget has been exceeded! The %s has spent or reserved too much for this request. Current cost: %s, Max budget: %s", of, spend, most),
	}
}

// UnsureBudget is a budget of which nobody knows what is left: 429.
func UnsureBudget(retryAfter time.Duration) *Error {
	return &Error{
		Status: http.StatusTooManyRequests, Type: "budget_exceeded", Code: "429", RetryAfter: retryAfter,
		Message: "Budget can't be confirmed: the database can't be reached, and what was set aside of the budget is used up. Try again.",
	}
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
