package manage

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/nestor-gateway/nestor/access"
	"github.com/nestor-gateway/nestor/api/reply"
)

// Types of errors are LiteLLM's; its codes are the status, as text.

func failure(status int, kind, param, message string) reply.Problem {
	return reply.Problem{Status: status, Type: kind, Param: param, Code: strconv.Itoa(status), Message: message}
}

// bad is about a field, or a parameter, of the request.
func bad(param, format string, args ...any) reply.Problem {
	return failure(http.StatusBadRequest, "bad_request_error", param, fmt.Sprintf(format, args...))
}

func notFound(param, format string, args ...any) reply.Problem {
	return failure(http.StatusNotFound, "not_found_error", param, fmt.Sprintf(format, args...))
}

func forbidden(format string, args ...any) reply.Problem {
	return failure(http.StatusForbidden, "auth_error", "", fmt.Sprintf(format, args...))
}

func denied(d *access.Denial) reply.Problem {
	return reply.Problem{Status: d.Status, Type: d.Type, Code: d.Code, Param: d.Param, Message: d.Message}
}

func wrongMethod(route, method string, has map[string]endpoint) reply.Problem {
	takes := strings.Join(slices.Sorted(maps.Keys(has)), ", ")
	return reply.Problem{Status: http.StatusMethodNotAllowed, Type: reply.InvalidRequest, Code: "method_not_allowed", Allows: takes,
		Message: fmt.Sprintf("%s takes %s, not %.20s", route, takes, method)}
}
