package openai

import (
	"net/http"
	"time"
)

// Invalid is a request that can't be understood: 400. param is the member at fault, or empty.
func Invalid(param, message string) *Error {
	return &Error{Status: http.StatusBadRequest, Type: "invalid_request_error", Param: param, Message: message}
}

// MissingModel is a request that names no model, neither in its path nor in its body: 400.
func MissingModel() *Error { return Invalid("model", "you must provide a model parameter") }

// UnknownModel is a model that nothing resolves to: 400, as in LiteLLM.
func UnknownModel(model string) *Error {
	return Invalid("model", "Invalid model name passed in model="+model)
}

// Unauthenticated is a missing or wrong key: 401. reason is shown; it must not hold the key.
func Unauthenticated(reason string) *Error {
	return &Error{Status: http.StatusUnauthorized, Message: reason}
}

// Forbidden is a key that may not use the model: 403.
func Forbidden(model, reason string) *Error {
	return &Error{Status: http.StatusForbidden, Message: reason}
}

// UnknownEndpoint is a path that Nestor does not have: 404.
func UnknownEndpoint(method, path string) *Error { return &Error{Status: http.StatusNotFound} }

// WrongMethod is an endpoint called with another method than POST: 405.
func WrongMethod(method, path string) *Error { return &Error{Status: http.StatusMethodNotAllowed} }

// BodyTimeout is a body that did not come in time: 408.
func BodyTimeout() *Error { return &Error{Status: http.StatusRequestTimeout} }

// TooLarge is a body over the limit, in bytes (0: unknown): 413.
func TooLarge(limit int) *Error { return &Error{Status: http.StatusRequestEntityTooLarge} }

// NoDeployment is a model whose deployments are all cooling or out of quota: 429.
func NoDeployment(model string, retryAfter time.Duration) *Error {
	return &Error{Status: http.StatusTooManyRequests, RetryAfter: retryAfter}
}

// Unavailable is a request that Nestor can't serve now through no fault of the client: 503.
func Unavailable(reason string) *Error {
	return &Error{Status: http.StatusServiceUnavailable, Message: reason}
}
