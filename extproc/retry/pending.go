package retry

import (
	"sync"
	"time"

	"github.com/nestor-gateway/nestor/extproc/openai"
	"github.com/nestor-gateway/nestor/extproc/recent"
)

// Plan is what the next attempt at a request begins with.
type Plan struct {
	Attempt   uint32 // the one that failed
	Missed    uint32 // attempts since then that this process knows nothing of
	Snapshot  uint64
	Group     string   // the name to pick from
	Tried     []string // its deployments that failed this request
	Groups    []string // the names picked from before
	Retries   uint32
	Fallbacks uint32
	Counted   []string      // of the names picked from, those on whose limits of who asks the request has counted
	Failure   *openai.Error // what the client gets where who asks may not have another attempt; nil where it is not known
	Wait      time.Duration // back-off, if no untried deployment is left
	Delay     time.Duration // wait in any case
}

// At is the plan for an attempt, the next one or a later one.
func (p Plan) At(attempt uint32) Plan {
	if attempt > p.Attempt+1 {
		p.Missed = attempt - p.Attempt - 1
		p.Retries += p.Missed
	}
	return p
}

// planLife is how long a plan waits for its attempt. Envoy makes it within its back-off, at most 1 s.
const planLife = time.Minute

// Pending holds the plans between a failure and the next attempt. Nothing else about a request
// is remembered: the Decision carries its history.
type Pending struct {
	now func() time.Time

	mu    sync.Mutex
	plans recent.Map[string, Plan]
}

// NewPending returns one that holds nothing.
func NewPending(now func() time.Time) *Pending {
	return &Pending{now: now}
}

// Put keeps the plan of a request.
func (p *Pending) Put(request string, next Plan) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.plans.Put(request, next, p.now(), planLife)
}

// Get returns the plan of a request. It stays, but for the Failure, which has a body: an attempt that dies with its
// connection to the processor is made again, with the same plan.
func (p *Pending) Get(request string) (Plan, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	plans := p.plans.With(request)
	if plans == nil {
		return Plan{}, false
	}
	next := plans[request]
	stays := next
	stays.Failure = nil
	plans[request] = stays
	return next, true
}
