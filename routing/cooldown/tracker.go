// Package cooldown decides from their failures which deployments are left alone, and for how long, as LiteLLM does.
package cooldown

import (
	"sync"
	"time"
)

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

// New returns a tracker that reads the time from now.
func New(now func() time.Time) *Tracker {
	return &Tracker{now: now, start: now(), byID: map[string]*record{}}
}

// Elapsed is the time since the tracker's start, which no change of the wall clock moves.
func (t *Tracker) Elapsed() time.Duration { return t.now().Sub(t.start) }

// record returns what is known of a deployment. The lock must be held.
func (t *Tracker) record(id string) *record {
	r, ok := t.byID[id]
	if !ok {
		r = &record{}
		t.byID[id] = r
	}
	return r
}

// Succeeded counts a successful attempt.
func (t *Tracker) Succeeded(id string) {
	now := t.Elapsed()
	t.mu.Lock()
	defer t.mu.Unlock()
	t.record(id).successes.add(now, failureWindow)
}

// Failed counts a failure of the deployment with an id, whose own cooldown_time is own, nil for none.
// When that cools it down it returns for how long and until when.
func (t *Tracker) Failed(id string, own *time.Duration, f Failure, p Policy) (length, until time.Duration) {
	now := t.Elapsed()
	t.mu.Lock()
	defer t.mu.Unlock()
	r := t.record(id)
	r.fails.add(now, failureWindow)
	length = p.length(own, f)
	if length <= 0 || !p.cools(r, f, now) {
		return 0, 0
	}
	r.until = max(r.until, now+length)
	return length, r.until
}

// Cool leaves a deployment alone for some time, as another process has decided, and returns until when.
func (t *Tracker) Cool(id string, length time.Duration) (until time.Duration) {
	now := t.Elapsed()
	t.mu.Lock()
	defer t.mu.Unlock()
	r := t.record(id)
	r.until = max(r.until, now+length)
	return r.until
}

// Cooling returns the deployments that are left alone, and until when.
func (t *Tracker) Cooling() map[string]time.Duration {
	now := t.Elapsed()
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

// Until says until when a deployment is left alone; false when it is not.
func (t *Tracker) Until(id string) (time.Time, bool) {
	now := t.Elapsed()
	t.mu.Lock()
	defer t.mu.Unlock()
	r, ok := t.byID[id]
	if !ok || r.until <= now {
		return time.Time{}, false
	}
	return t.start.Add(r.until), true
}

// Retain forgets the deployments that known does not have.
func (t *Tracker) Retain(known func(id string) bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for id := range t.byID {
		if !known(id) {
			delete(t.byID, id)
		}
	}
}
