package routing

import (
	"sync"
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

// Tracker holds counters and cooldowns by deployment id. It outlives snapshots, and is safe for concurrent use.
type Tracker struct {
	now   func() time.Time
	start time.Time

	mu   sync.Mutex
	byID map[string]*record
}

// record is what is known of one deployment. Times count from the tracker's start.
type record struct {
	fails, successes window
	// counted are the failures that allowed_fails is about.
	counted window
	until   time.Duration
}

// window counts what happened since the first event of it, for a time fixed then.
type window struct {
	ends time.Duration
	n    int
}

func (w *window) add(now, length time.Duration) int {
	if now >= w.ends {
		*w = window{ends: now + length}
	}
	w.n++
	return w.n
}

func (w *window) count(now time.Duration) int {
	if now >= w.ends {
		return 0
	}
	return w.n
}

// NewTracker returns a tracker that reads the time from now.
func NewTracker(now func() time.Time) *Tracker {
	return &Tracker{now: now, start: now(), byID: map[string]*record{}}
}

// elapsed is the time since the tracker's start, which no change of the wall clock moves.
func (t *Tracker) elapsed() time.Duration { return t.now().Sub(t.start) }

// record returns what is known of a deployment. The lock must be held.
func (t *Tracker) record(id string) *record {
	r, ok := t.byID[id]
	if !ok {
		r = &record{}
		t.byID[id] = r
	}
	return r
}

func (t *Tracker) succeeded(id string) {
	now := t.elapsed()
	t.mu.Lock()
	defer t.mu.Unlock()
	t.record(id).successes.add(now, failureWindow)
}

// failed counts a failure. When it cools the deployment down it returns for how long and until when.
func (t *Tracker) failed(d *Deployment, f Failure, p cooldownPolicy) (length, until time.Duration) {
	now := t.elapsed()
	t.mu.Lock()
	defer t.mu.Unlock()
	r := t.record(d.ID)
	r.fails.add(now, failureWindow)
	length = p.length(d, f)
	if length <= 0 || !p.cools(r, f, now) {
		return 0, 0
	}
	r.until = max(r.until, now+length)
	return length, r.until
}

// cooling returns the deployments that are left alone, and until when.
func (t *Tracker) cooling() map[string]time.Duration {
	now := t.elapsed()
	t.mu.Lock()
	defer t.mu.Unlock()
	cooling := map[string]time.Duration{}
	for id, r := range t.byID {
		if r.until > now {
			cooling[id] = r.until
		}
	}
	return cooling
}

func (t *Tracker) until(id string) (time.Time, bool) {
	now := t.elapsed()
	t.mu.Lock()
	defer t.mu.Unlock()
	r, ok := t.byID[id]
	if !ok || r.until <= now {
		return time.Time{}, false
	}
	return t.start.Add(r.until), true
}

// retain forgets the deployments that known does not have.
func (t *Tracker) retain(known func(id string) bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for id := range t.byID {
		if !known(id) {
			delete(t.byID, id)
		}
	}
}

// cooldownPolicy is what a config says about cooldowns.
type cooldownPolicy struct {
	off     bool
	time    time.Duration
	allowed *int
	byClass map[string]int
}

func newCooldownPolicy(r *config.Router) cooldownPolicy {
	p := cooldownPolicy{off: r.DisableCooldowns, time: defaultCooldown, allowed: r.AllowedFails, byClass: r.AllowedFailsPolicy}
	if r.CooldownTime != nil && *r.CooldownTime > 0 {
		p.time = *r.CooldownTime
	}
	return p
}

// length is how long a deployment is left alone: its own cooldown_time, what the upstream asked for, or the router's.
func (p *cooldownPolicy) length(d *Deployment, f Failure) time.Duration {
	switch {
	case p.off:
		return 0
	case d.CooldownTime != nil:
		return *d.CooldownTime
	case f.RetryAfter > 0:
		return f.RetryAfter
	}
	return p.time
}

// cools decides whether a failure that was counted cools the deployment down.
func (p *cooldownPolicy) cools(r *record, f Failure, now time.Duration) bool {
	status := f.status()
	if !blames(status) {
		return false
	}
	allowed, byClass := p.allowedFor(f, status)
	if status == statusPaymentRequired && f.Alone && !byClass {
		return false
	}
	if p.allowed != nil || p.byClass != nil {
		return r.counted.add(now, p.time) > allowed
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
func (p *cooldownPolicy) allowedFor(f Failure, status int) (int, bool) {
	names := f.Class.exceptions()
	switch {
	case f.Class == Internal && status == statusBadGateway:
		names = []string{"BadGatewayError"}
	case f.Class == Internal && status == statusUnavailable:
		names = []string{"ServiceUnavailableError"}
	case status >= statusInternal:
		names = names[:min(len(names), 1)]
	}
	for _, name := range names {
		if n, ok := p.byClass[name+"AllowedFails"]; ok {
			return n, true
		}
	}
	if p.allowed != nil {
		return *p.allowed, false
	}
	return defaultAllowedFails, false
}

// Statuses that are treated on their own.
const (
	statusUnauthorized    = 401
	statusPaymentRequired = 402
	statusNotFound        = 404
	statusTimeout         = 408
	statusTooMany         = 429
	statusInternal        = 500
	statusBadGateway      = 502
	statusUnavailable     = 503
)

// status is the failure's, or the one that stands for its class where there was no answer.
func (f Failure) status() int {
	switch {
	case f.Class == Connection:
		return statusUnavailable
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
