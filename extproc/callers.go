package extproc

import (
	"errors"
	"slices"

	"github.com/nestor-gateway/nestor/access"
	"github.com/nestor-gateway/nestor/extproc/openai"
	"github.com/nestor-gateway/nestor/ratelimit"
	"github.com/nestor-gateway/nestor/routing"
)

// callers are the limits of who asks that a request counts on.
type callers struct {
	// also are those on which an attempt counts as a request, counted those on which the request has counted before.
	also, counted []ratelimit.Entity
	// limits are all of them, of whatever the attempt could be made at.
	limits []callerLimit
}

// callerLimit is one of the limits of who asks.
type callerLimit struct {
	*access.Limited
	entity ratelimit.Entity
	// fallback says that the limit is for the name of a fallback alone: it keeps the request from nothing else.
	fallback bool
}

// countOn makes the attempt count on the limits of who asks: as a whole, for the called model, and in a fallback for the
// name of that too.
func (d *decided) countOn() {
	who, c := d.request.who, &d.callers
	if who.Key == nil {
		return
	}
	c.also, c.counted = c.also[:0], c.counted[:0]
	var room [8]*access.Limited
	called := who.Limits(room[:0], d.model)
	for _, l := range called {
		c.add(l, false, len(d.plan.Counted) > 0)
	}
	if len(d.plan.Groups) == 0 {
		return
	}
	all := who.ModelLimits(called, d.plan.Group)
	for _, l := range all[len(called):] {
		if !slices.Contains(called, l) {
			c.add(l, true, d.hasCounted(l))
		}
	}
}

// hasCounted reports whether an attempt before has counted on a limit for the name that it was made at.
func (d *decided) hasCounted(l *access.Limited) bool {
	return slices.ContainsFunc(d.plan.Counted, func(name string) bool {
		return slices.Contains(d.request.who.ModelLimits(nil, name), l)
	})
}

func (c *callers) add(l *access.Limited, fallback, counted bool) {
	e, ok := l.Entity()
	if !ok {
		return
	}
	if c.find(e) == nil {
		c.limits = append(c.limits, callerLimit{l, e, fallback})
	}
	if counted {
		c.counted = append(c.counted, e)
	} else {
		c.also = append(c.also, e)
	}
}

// find returns what an entity stands for; nil when it is none of them.
func (c *callers) find(e ratelimit.Entity) *callerLimit {
	for i := range c.limits {
		if c.limits[i].entity == e {
			return &c.limits[i]
		}
	}
	return nil
}

// refuse reports whether who asks may make no attempt, wherever: a limit for the name of a fallback passes over that one alone.
func (c *callers) refuse(err error) bool {
	none, ok := errors.AsType[*routing.NoneError](err)
	if !ok || !none.Caller {
		return false
	}
	l := c.find(none.Entity)
	return l == nil || !l.fallback
}

// instead is what the client gets where who asks may not have one more attempt: the failure of the one before, as if none
// could have been made. On the first attempt, and where that failure is not known here, it is the refusal.
func (s *Server) instead(d *decided, refusal *openai.Error) *openai.Error {
	failure := d.plan.Failure
	if failure == nil {
		return refusal
	}
	s.Log.Debug("no retry: who asks may not have it", "call_id", d.request.id, "why", refusal.Message)
	return failure
}
