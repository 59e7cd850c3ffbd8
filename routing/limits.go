package routing

import (
	"time"

	"github.com/nestor-gateway/nestor/ratelimit"
)

// Limits is the store that keeps the limits of deployments, references and groups, and counts what is in flight.
type Limits interface {
	ratelimit.Limiter
	// Declare puts limits in force, and returns their entities in the same order. An entity that was declared
	// before, by its name, keeps what it has used; one that is no longer declared is forgotten once nothing of it counts.
	Declare(limits []ratelimit.Limit) []ratelimit.Entity
	Usage(e ratelimit.Entity) ratelimit.Usage
}

// Obstacle is a limit that keeps all deployments of a target from a request.
type Obstacle struct {
	Dimension ratelimit.Dimension
	// Never says that the request is larger than any of its deployments' limits.
	Never bool
	// Room is that limit: of several the one that gives way first, and where Never holds the largest.
	Room ratelimit.Room
}

// Sample is what one attempt taught about the speed of a deployment.
type Sample struct {
	Deployment string
	// Failed attempts have no times.
	Failed bool
	// Whole is the time of the whole answer; FirstToken that of the first byte of a stream, 0 for others.
	Whole, FirstToken time.Duration
	// Completion is the tokens of the answer; 0 when they are not known.
	Completion int64
}

// Settle replaces what the attempt at a deployment holds by what was used. See ratelimit.Limiter.
func (r *Router) Settle(deployment string, id ratelimit.ID, used ratelimit.Amounts) bool {
	return r.limits != nil && r.limits.Settle(id, used)
}

// Refund gives back what the attempt at a deployment holds. See ratelimit.Limiter.
func (r *Router) Refund(deployment string, id ratelimit.ID) bool {
	return r.limits != nil && r.limits.Refund(id)
}

// Observe takes the speed of an attempt into account.
func (r *Router) Observe(s Sample) {}

// Exhausted says that a provider admits nothing more to a deployment in a dimension for some time.
func (r *Router) Exhausted(deployment string, d ratelimit.Dimension, wait time.Duration) {}
