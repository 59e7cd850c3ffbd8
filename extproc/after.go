package extproc

import (
	"slices"
	"time"

	nestorv1 "github.com/nestor-gateway/nestor/proto/nestor/v1"
	"github.com/nestor-gateway/nestor/routing"
)

const (
	// maxAttempts bounds the attempts at one request, whatever the config and the client say.
	maxAttempts = 20
	// maxBackOff bounds the wait before the same deployment is tried again.
	maxBackOff  = 2 * time.Second
	baseBackOff = 250 * time.Millisecond
)

// setback is what a failed attempt means for the next one.
type setback struct {
	class      routing.Class
	retryAfter time.Duration
	// closed is for how long the provider takes nothing more.
	closed time.Duration
	// free attempts never reached an upstream: they count against nothing but maxAttempts.
	free bool
}

// after says what the request does next once an attempt has failed: another deployment of the same
// group, the same one again, or a fallback; false when the failure is shown to the client.
func after(view *routing.View, d *nestorv1.Decision, b setback) (plan, bool) {
	if d.Attempt >= maxAttempts {
		return plan{}, false
	}
	next := plan{attempt: d.Attempt, snapshot: d.Snapshot, group: d.Group, tried: d.Tried, groups: d.Groups, retries: d.Retries, fallbacks: d.Fallbacks}
	if b.free {
		next.delay = baseBackOff
		return next, true
	}
	next.tried = append(next.tried, d.Deployment)
	if mayRetry(view, d, b, next.tried) {
		next.retries++
		next.wait = backOff(len(next.tried), max(b.retryAfter, b.closed))
		return next, true
	}
	group, ok := fallback(view.Snapshot(), d, b.class)
	if !ok {
		return plan{}, false
	}
	return next.fallBack(group), true
}

// fallBack is the plan that goes on in another group.
func (p plan) fallBack(group string) plan {
	p.groups = append(slices.Clip(p.groups), p.group)
	p.group, p.tried, p.missed = group, nil, 0
	p.wait, p.delay = 0, 0
	p.fallbacks++
	return p
}

// mayRetry reports whether the group is tried again. Retries count anew in every group, as in LiteLLM.
func mayRetry(view *routing.View, d *nestorv1.Decision, b setback, tried []string) bool {
	target, ok := view.Snapshot().Resolve(d.Group)
	if !ok {
		return false
	}
	others := view.Others(target, tried)
	if !retryable(b.class, others) || b.closed > maxBackOff && !others {
		return false
	}
	deployment, ok := view.Snapshot().Deployment(d.Deployment)
	if !ok {
		return false
	}
	limit := view.Snapshot().Retries(deployment, target.Group, b.class)
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
	return min(max(wait, retryAfter), maxBackOff)
}

// fallback returns the next name to pick from: those of the request first, then the config's.
func fallback(s *routing.Snapshot, d *nestorv1.Decision, class routing.Class) (string, bool) {
	if d.DisableFallbacks || int(d.Fallbacks) >= s.MaxFallbacks() {
		return "", false
	}
	been := []string{d.Group}
	for i := len(d.Groups) - 1; i >= 0; i-- {
		been = append(been, d.Groups[i])
	}
	for _, name := range slices.Concat(d.FallbackGroups, s.Fallbacks(class, been...)) {
		if isNew(s, name, been) {
			return name, true
		}
	}
	return "", false
}

// isNew reports whether a name leads to a group that the request has not been to.
func isNew(s *routing.Snapshot, name string, been []string) bool {
	to, ok := s.Resolve(name)
	return ok && !slices.ContainsFunc(been, func(b string) bool {
		t, _ := s.Resolve(b)
		return t.Group == to.Group
	})
}
