package cooldown

import (
	"time"

	"github.com/nestor-gateway/nestor/routing/config"
)

// What LiteLLM does when the config says nothing (its router_utils/cooldown_handlers.py and constants.py).
const (
	defaultCooldown     = 5 * time.Second
	defaultAllowedFails = 3
	// A minute's failures cool a deployment down when they are more than half of at least minRequests,
	// or all of at least aloneRequests where there is no other deployment.
	minRequests   = 5
	aloneRequests = 1000
	failureWindow = time.Minute
)

// Failure is what went wrong with one attempt.
type Failure struct {
	Class Class
	// Status is the upstream's; what it is does not matter for a Connection.
	Status int
	// RetryAfter is what the upstream asked for; 0 when it did not.
	RetryAfter time.Duration
	// Alone: the called group has no other deployment.
	Alone bool
}

// Policy is what a config says about cooldowns.
type Policy struct {
	off bool
	// Time is the router's cooldown_time, always positive.
	Time    time.Duration
	allowed *int
	byClass map[string]int
}

// NewPolicy reads the settings of a config.
func NewPolicy(r *config.Router) Policy {
	p := Policy{off: r.DisableCooldowns, Time: defaultCooldown, allowed: r.AllowedFails, byClass: r.AllowedFailsPolicy}
	if r.CooldownTime != nil && *r.CooldownTime > 0 {
		p.Time = *r.CooldownTime
	}
	return p
}

// length is how long a deployment is left alone: its own cooldown_time, what the upstream asked for, or the router's.
func (p *Policy) length(own *time.Duration, f Failure) time.Duration {
	switch {
	case p.off:
		return 0
	case own != nil:
		return *own
	case f.RetryAfter > 0:
		return f.RetryAfter
	}
	return p.Time
}

// cools decides whether a failure that was counted cools the deployment down.
func (p *Policy) cools(r *record, f Failure, now time.Duration) bool {
	status := f.status()
	if !blames(status) {
		return false
	}
	allowed, byClass := p.allowedFor(f, status)
	if status == statusPaymentRequired && f.Alone && !byClass {
		return false
	}
	if p.allowed != nil || p.byClass != nil {
		return r.counted.add(now, p.Time) > allowed
	}
	if status == statusTooMany && !f.Alone {
		return true
	}
	fails := r.fails.count(now)
	total := fails + r.successes.count(now)
	return fails == total && total >= aloneRequests ||
		2*fails > total && total >= minRequests && !f.Alone ||
		status < 500 && status != statusTooMany && status != statusTimeout
}

// allowedFor is how many failures of a kind are allowed, and whether the policy by class says so.
func (p *Policy) allowedFor(f Failure, status int) (int, bool) {
	names := f.Class.exceptions()
	switch {
	case f.Class == Internal && status == statusBadGateway:
		names = []string{"BadGatewayError"}
	case f.Class == Internal && status == statusUnavailable:
		names = []string{"ServiceUnavailableError"}
	case status >= statusInternal:
		names = names[:min(len(names), 1)]
	}
	if n, ok := byNames(p.byClass, names, "AllowedFails"); ok {
		return n, true
	}
	if p.allowed != nil {
		return *p.allowed, false
	}
	return defaultAllowedFails, false
}

// Statuses that are treated on their own.
const (
	statusBadRequest      = 400
	statusUnauthorized    = 401
	statusPaymentRequired = 402
	statusNotFound        = 404
	statusTimeout         = 408
	statusTooMany         = 429
	statusInternal        = 500
	statusBadGateway      = 502
	statusUnavailable     = 503
)

// status is the failure's, or the one that stands for its class where there was no answer, or where the answer had
// another one: that of LiteLLM's exception.
func (f Failure) status() int {
	switch f.Class {
	case Connection:
		return statusUnavailable
	case ContextWindow, ContentPolicy:
		return statusBadRequest
	case Authentication:
		return statusUnauthorized
	case NotFound:
		return statusNotFound
	case RateLimit:
		return statusTooMany
	}
	switch {
	case f.Status == 0 && f.Class == Timeout:
		return statusTimeout
	case f.Status == 0:
		return statusInternal
	}
	return f.Status
}

// blames reports whether a status speaks against the deployment rather than the request.
func blames(status int) bool {
	switch status {
	case statusUnauthorized, statusPaymentRequired, statusNotFound, statusTimeout, statusTooMany:
		return true
	}
	return status >= statusInternal
}
