// Package retry says what a request does next once an attempt at it has failed, and remembers it until then.
package retry

import (
	"slices"
	"time"

	nestorv1 "github.com/nestor-gateway/nestor/proto/nestor/v1"
	"github.com/nestor-gateway/nestor/routing"
)

const (
	// MaxAttempts bounds the attempts at one request, whatever the config and the client say.
	MaxAttempts = 20
	// MaxBackOff bounds the wait before the same deployment is tried again.
	MaxBackOff  = 2 * time.Second
	baseBackOff = 250 * time.Millisecond
)

// Setback is what a failed attempt means for the next one.
type Setback struct {
	Class      routing.Class
	RetryAfter time.Duration
	// Closed is for how long the provider takes nothing more.
	Closed time.Duration
	// Free attempts never reached an upstream: they count against nothing but MaxAttempts.
	Free bool
	// Counts says that the attempt counts as a request on the limits of who asks, however many follow.
	Counts bool
}

// After says what the request does next once an attempt has failed: another deployment of the same
// group, the same one again, or a fallback; false when the failure is shown to the client.
func After(view *routing.View, d *nestorv1.Decision, b Setback) (Plan, bool) {
	if d.Attempt >= MaxAttempts {
		return Plan{}, false
	}
	next := Plan{Attempt: d.Attempt, Snapshot: d.Snapshot, Group: d.Group, Tried: d.Tried, Groups: d.Groups, Retries: d.Retries, Fallbacks: d.Fallbacks, Counted: d.Counted}
	if b.Counts && !slices.Contains(d.Counted, d.Group) {
		next.Counted = append(slices.Clip(d.Counted), d.Group)
	}
	if b.Free {
		next.Delay = baseBackOff
		return next, true
	}
	next.Tried = append(next.Tried, d.Deployment)
	if mayRetry(view, d, b, next.Tried) {
		next.Retries++
		next.Wait = backOff(len(next.Tried), max(b.RetryAfter, b.Closed))
		return next, true
	}
	group, ok := Fallback(view.Snapshot(), d, b.Class)
	if !ok {
		return Plan{}, false
	}
	return next.FallBack(group), true
}

// FallBack is the plan that goes on in another group.
func (p Plan) FallBack(group string) Plan {
	p.Groups = append(slices.Clip(p.Groups), p.Group)
	p.Group, p.Tried, p.Missed = group, nil, 0
	p.Wait, p.Delay = 0, 0
	p.Fallbacks++
	return p
}

// mayRetry reports whether the group is tried again. Retries count anew in every group, as in LiteLLM.
func mayRetry(view *routing.View, d *nestorv1.Decision, b Setback, tried []string) bool {
	target, ok := view.Snapshot().Resolve(d.Group)
	if !ok {
		return false
	}
	others := view.Others(target, uint8(d.EndpointNumber), tried)
	if !retryable(b.Class, others) || b.Closed > MaxBackOff && !others {
		return false
	}
	deployment, ok := view.Snapshot().Deployment(d.Deployment)
	if !ok {
		return false
	}
	limit := view.Snapshot().Retries(deployment, d.Group, b.Class)
	if d.NumRetries != nil {
		limit = min(limit, int(*d.NumRetries))
	}
	done := len(d.Tried)
	if len(d.Groups) == 0 {
		done = int(d.Retries)
	}
	return done < limit
}

// retryable follows LiteLLM: what another attempt can mend. A refused credential is
// the deployment's own, so only another deployment can help.
func retryable(class routing.Class, others bool) bool {
	switch class {
	case routing.Connection, routing.Timeout, routing.Conflict, routing.RateLimit, routing.Internal:
		return true
	case routing.Authentication, routing.PermissionDenied:
		return others
	default:
		return false
	}
}

// backOff doubles with every attempt; what the provider asks for counts where it is longer.
func backOff(attempts int, retryAfter time.Duration) time.Duration {
	wait := baseBackOff << min(attempts-1, 3)
	return min(max(wait, retryAfter), MaxBackOff)
}

// Fallback returns the next name to pick from: those of the request first, then the config's.
// A name that has been picked from, whatever it is called, is left out, and one none of whose providers has the endpoint.
func Fallback(s *routing.Snapshot, d *nestorv1.Decision, class routing.Class) (string, bool) {
	if d.DisableFallbacks || int(d.Fallbacks) >= s.MaxFallbacks() {
		return "", false
	}
	been := []string{d.Group}
	for i := len(d.Groups) - 1; i >= 0; i-- {
		been = append(been, d.Groups[i])
	}
	for _, name := range slices.Concat(d.FallbackGroups, s.Fallbacks(class, been...)) {
		if to, ok := s.Resolve(name); ok && isNew(s, to, been) && to.Serves(uint8(d.EndpointNumber)) {
			return name, true
		}
	}
	return "", false
}

// isNew reports whether the request has not been to a group.
func isNew(s *routing.Snapshot, to routing.Target, been []string) bool {
	return !slices.ContainsFunc(been, func(b string) bool {
		t, _ := s.Resolve(b)
		return t.Group == to.Group
	})
}
