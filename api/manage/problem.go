package manage

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/nestor-gateway/nestor/api/reply"
)

func wrongMethod(route, method string, has map[string]endpoint) reply.Problem {
	takes := strings.Join(slices.Sorted(maps.Keys(has)), ", ")
	return reply.Problem{Status: http.StatusMethodNotAllowed, Type: reply.InvalidRequest, Code: "method_not_allowed", Allows: takes,
		Message: fmt.Sprintf("%s takes %s, not %.20s", route, takes, method)}
}
