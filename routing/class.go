package routing

import (
	"time"

	"github.com/nestor-gateway/nestor/routing/cooldown"
)

type (
	// Class is the kind of a failure.
	Class = cooldown.Class
	// Failure is what went wrong with one attempt.
	Failure = cooldown.Failure
	// Tracker holds counters and cooldowns by deployment id. It outlives snapshots, and is safe for concurrent use.
	Tracker = cooldown.Tracker
)

// NewTracker returns a tracker that reads the time from now.
func NewTracker(now func() time.Time) *Tracker { return cooldown.New(now) }

// The classes of failures. Connection is a failure before any answer: refused, reset, no such host.
const (
	BadRequest       = cooldown.BadRequest
	Authentication   = cooldown.Authentication
	PermissionDenied = cooldown.PermissionDenied
	NotFound         = cooldown.NotFound
	Timeout          = cooldown.Timeout
	Conflict         = cooldown.Conflict
	RateLimit        = cooldown.RateLimit
	ContextWindow    = cooldown.ContextWindow
	ContentPolicy    = cooldown.ContentPolicy
	Internal         = cooldown.Internal
	Connection       = cooldown.Connection
)
