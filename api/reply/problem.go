package reply

import (
	"fmt"
	"net/http"
	"strconv"

	"github.com/nestor-gateway/nestor/access"
)

// Types of these errors are LiteLLM's; their codes are the status, as text.

// Failure is an error of any type.
func Failure(status int, kind, param, message string) Problem {
	return Problem{Status: status, Type: kind, Param: param, Code: strconv.Itoa(status), Message: message}
}

// Bad is about a field, or a parameter, of the request.
func Bad(param, format string, args ...any) Problem {
	return Failure(http.StatusBadRequest, "bad_request_error", param, fmt.Sprintf(format, args...))
}

// NotFound is about a record that the request names.
func NotFound(param, format string, args ...any) Problem {
	return Failure(http.StatusNotFound, "not_found_error", param, fmt.Sprintf(format, args...))
}

// Forbidden is about who asks.
func Forbidden(format string, args ...any) Problem {
	return Failure(http.StatusForbidden, "auth_error", "", fmt.Sprintf(format, args...))
}

// Denied is what package access says.
func Denied(d *access.Denial) Problem {
	return Problem{Status: d.Status, Type: d.Type, Code: d.Code, Param: d.Param, Message: d.Message}
}
