package extproc

import (
	"sync"
	"time"
)

// plan is what the next attempt at a request begins with.
type plan struct {
	attempt   uint32 // the one that failed
	missed    uint32 // attempts since then that this process knows nothing of
	snapshot  uint64
	group     string   // the name to pick from
	tried     []string // its deployments that failed this request
	groups    []string // the names picked from before
	retries   uint32
	fallbacks uint32
	wait      time.Duration // back-off, if no untried deployment is left
	delay     time.Duration // wait in any case
}

// planLife is how long a plan waits for its attempt. Envoy makes it within its back-off, at most 1 s.
const planLife = time.Minute

// pending holds the plans between a failure and the next attempt. Nothing else about a request
// is remembered: the Decision carries its history. Two generations bound the memory: a plan
// whose attempt never comes lives between one and two planLives.
type pending struct {
	now func() time.Time

	mu       sync.Mutex
	young    map[string]plan
	old      map[string]plan
	turnedAt time.Time
}

func newPending(now func() time.Time) *pending {
	return &pending{now: now, young: map[string]plan{}, old: map[string]plan{}, turnedAt: now()}
}

func (p *pending) put(request string, next plan) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if now := p.now(); now.Sub(p.turnedAt) > planLife {
		p.old, p.young, p.turnedAt = p.young, map[string]plan{}, now
	}
	p.young[request] = next
}

// get returns the plan of a request. It stays: an attempt that dies with its connection to
// the processor is made again, with the same plan.
func (p *pending) get(request string) (plan, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if next, ok := p.young[request]; ok {
		return next, true
	}
	next, ok := p.old[request]
	return next, ok
}
