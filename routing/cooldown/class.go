package cooldown

// Class is the kind of a failure, as LiteLLM's exceptions divide them:
// retry_policy, allowed_fails_policy and the lists of fallbacks are by class.
type Class string

// The classes of failures. Connection is a failure before any answer: refused, reset, no such host.
const (
	BadRequest       Class = "bad_request"
	Authentication   Class = "authentication"
	PermissionDenied Class = "permission_denied"
	NotFound         Class = "not_found"
	Timeout          Class = "timeout"
	Conflict         Class = "conflict"
	RateLimit        Class = "rate_limit"
	ContextWindow    Class = "context_window"
	ContentPolicy    Class = "content_policy"
	Internal         Class = "internal"
	Connection       Class = "connection"
)

// exceptions are the names by which LiteLLM's policies know the class, the most telling first.
func (c Class) exceptions() []string {
	switch c {
	case BadRequest:
		return []string{"BadRequestError"}
	case ContextWindow:
		return []string{"ContextWindowExceededError", "BadRequestError"}
	case ContentPolicy:
		return []string{"ContentPolicyViolationError", "BadRequestError"}
	case Authentication:
		return []string{"AuthenticationError"}
	case NotFound:
		return []string{"NotFoundError"}
	case Timeout:
		return []string{"TimeoutError"}
	case RateLimit:
		return []string{"RateLimitError"}
	case Internal, Connection:
		return []string{"InternalServerError", "ServiceUnavailableError"}
	}
	return nil
}

// ByClass looks a class up in one of LiteLLM's policies, whose keys are names of its exceptions with a suffix:
// "Retries" in a retry policy, "AllowedFails" in an allowed_fails_policy.
func ByClass(policy map[string]int, c Class, suffix string) (int, bool) {
	return byNames(policy, c.exceptions(), suffix)
}

func byNames(policy map[string]int, names []string, suffix string) (int, bool) {
	for _, name := range names {
		if n, ok := policy[name+suffix]; ok {
			return n, true
		}
	}
	return 0, false
}
