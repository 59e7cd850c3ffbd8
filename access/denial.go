package access

import (
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/nestor-gateway/nestor/access/record"
	"github.com/nestor-gateway/nestor/access/routes"
)

// Denial says why something is not allowed: an error in the shape of OpenAI's API, with LiteLLM's types.
// It never holds a key or a part of one.
type Denial struct {
	// Status is HTTP's.
	Status int
	// Type, Code and Param are null in the answer when empty.
	Type, Code, Param, Message string
	// RetryAfter is when the same may be allowed; 0: not by waiting.
	RetryAfter time.Duration
}

func (d *Denial) Error() string { return d.Message }

const authError = "auth_error"

func unauthenticated(kind, message string) *Denial {
	return &Denial{Status: http.StatusUnauthorized, Type: kind, Code: "401", Message: "Authentication Error, " + message}
}

func noKey() *Denial {
	return unauthenticated(authError, "No api key passed in: send it as `Authorization: Bearer KEY`, `api-key: KEY` or `x-api-key: KEY`")
}

func wrongKey() *Denial {
	return unauthenticated(authError, "Invalid proxy server token passed: the API key is not valid")
}

// unknownKey is a wrong key where there is a store, with the type that LiteLLM gives it.
func unknownKey() *Denial {
	d := unauthenticated("token_not_found_in_db", "Invalid proxy server token passed: the API key is not known. Create one with /key/generate")
	d.Param = "key"
	return d
}

func blockedKey() *Denial {
	return unauthenticated(authError, "Key is blocked. Update via `/key/unblock` if you're an admin.")
}

func expiredKey(expires, now time.Time) *Denial {
	const format = "2006-01-02 15:04:05.999999-07:00" // Python's
	return unauthenticated("expired_key", fmt.Sprintf("Expired Key. Key Expiry time %s and current time %s",
		expires.UTC().Format(format), now.UTC().Format(format)))
}

func blockedTeam(id string) *Denial {
	return unauthenticated(authError, fmt.Sprintf("Team=%s is blocked. Update via `/team/unblock` if you're an admin.", id))
}

// missingTeam is a key of a team that is gone: what the team allowed is not known.
func missingTeam(id string) *Denial {
	return unauthenticated(authError, fmt.Sprintf("Team doesn't exist in db. Team=%s.", id))
}

// missingBudget is a key whose limits are those of a budget that is gone.
func missingBudget(id string) *Denial {
	return unauthenticated(authError, fmt.Sprintf("Budget doesn't exist in db. Budget=%s.", id))
}

// wrongNetwork says "unknown" where a request does not tell from where it comes.
func wrongNetwork(address netip.Addr) *Denial {
	from := "unknown"
	if address.IsValid() {
		from = address.String()
	}
	return &Denial{Status: http.StatusForbidden, Type: authError, Code: "403",
		Message: fmt.Sprintf("Access forbidden: IP address %s not allowed.", from)}
}

func wrongModel(kind record.Kind, model string) *Denial {
	return &Denial{
		Status: http.StatusForbidden, Type: string(kind) + "_model_access_denied", Code: "403", Param: "model",
		Message: fmt.Sprintf("The requested model '%.200s' is not available for this API key, or the model name is invalid. "+
			"Check the models available to you and try again.", model),
	}
}

func wrongRoute(allowed []string, route string) *Denial {
	return &Denial{
		Status: http.StatusForbidden, Type: authError, Code: "403",
		Message: fmt.Sprintf("Virtual key is not allowed to call this route. Only allowed to call routes: [%s]. Tried to call route: %.200s",
			strings.Join(allowed, ", "), routes.WithoutQuery(route)),
	}
}
