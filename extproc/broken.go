package extproc

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/nestor-gateway/nestor/extproc/recent"
	"github.com/nestor-gateway/nestor/ratelimit"
)

// brokenLife is how long an attempt is remembered at least: longer than a body is waited for, unless a request may take
// longer.
const brokenLife = 10 * time.Minute

// brokenOff are attempts at which the provider has said that it failed, and not all that it had to say of it. What Envoy's
// log says of those that never come to an end is how the wait for the rest ended, and not that there was a failure.
type brokenOff struct {
	some atomic.Bool // whether there may be any
	mu   sync.Mutex
	ids  recent.Map[ratelimit.ID, struct{}]
}

func (b *brokenOff) add(id ratelimit.ID, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ids.Put(id, struct{}{}, now, brokenLife)
	b.some.Store(true)
}

// take reports whether an attempt is one of them, once.
func (b *brokenOff) take(id ratelimit.ID) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	among := b.ids.With(id)
	delete(among, id)
	b.some.Store(b.ids.Len() > 0)
	return among != nil
}
