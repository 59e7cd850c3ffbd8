package extproc

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/nestor-gateway/nestor/ratelimit"
)

// brokenLife is how long an attempt is remembered at least: longer than a body is waited for, unless a request may take
// longer.
const brokenLife = 10 * time.Minute

// brokenOff are attempts at which the provider has said that it failed, and not all that it had to say of it. What Envoy's
// log says of those that never come to an end is how the wait for the rest ended, and not that there was a failure. Two
// generations bound what is remembered of those without an entry.
type brokenOff struct {
	some       atomic.Bool // whether there may be any
	mu         sync.Mutex
	young, old map[ratelimit.ID]struct{}
	turnedAt   time.Time
}

func (b *brokenOff) add(id ratelimit.ID, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.young == nil || now.Sub(b.turnedAt) > brokenLife {
		b.old, b.young, b.turnedAt = b.young, map[ratelimit.ID]struct{}{}, now
	}
	b.young[id] = struct{}{}
	b.some.Store(true)
}

// take reports whether an attempt is one of them, once.
func (b *brokenOff) take(id ratelimit.ID) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, all := range []map[ratelimit.ID]struct{}{b.young, b.old} {
		if _, ok := all[id]; ok {
			delete(all, id)
			b.some.Store(len(b.young)+len(b.old) > 0)
			return true
		}
	}
	return false
}
