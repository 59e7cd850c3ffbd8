// Package budget bounds retries to a share of the requests, so that providers that fail are not
// sent several times what they already can't serve.
package budget

import (
	"sync"
	"time"
)

const (
	// A budget looks back over slots of a second: the one that runs and those before it.
	slots  = 10
	length = time.Second
)

// Budget counts requests and retries of the last 10 s. It is safe for concurrent use.
type Budget struct {
	now   func() time.Time
	begin time.Time

	mu      sync.Mutex
	ring    [slots]counts
	sum     counts
	current int64 // the slot that runs, counted from begin
}

type counts struct{ requests, retries int64 }

// New returns a budget of no requests yet.
func New(now func() time.Time) *Budget { return &Budget{now: now, begin: now()} }

// Request counts a request, whose retries may follow.
func (b *Budget) Request() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.turn()
	b.ring[b.current%slots].requests++
	b.sum.requests++
}

// Retry counts a retry and reports true, or reports false where the retries would be both more than
// percent of the requests and, over the time looked back on, more than perSecond: the larger of the two is what may be.
func (b *Budget) Retry(percent, perSecond float64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.turn()
	most := max(percent*float64(b.sum.requests)/100, perSecond*(slots*length).Seconds())
	if float64(b.sum.retries+1) > most {
		return false
	}
	b.ring[b.current%slots].retries++
	b.sum.retries++
	return true
}

// turn forgets the slots that are too long ago. The lock must be held.
func (b *Budget) turn() {
	now := int64(b.now().Sub(b.begin) / length)
	for n := 0; b.current < now && n < slots; n++ {
		b.current++
		old := &b.ring[b.current%slots]
		b.sum.requests -= old.requests
		b.sum.retries -= old.retries
		*old = counts{}
	}
	b.current = max(b.current, now)
}
