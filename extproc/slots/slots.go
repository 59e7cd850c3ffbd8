// Package slots waits for a place among the requests in flight. Envoy tells of the end of a request some 20 ms after
// the client has read its answer, and the client may have sent the next one by then.
package slots

import (
	"context"
	"sync/atomic"
	"time"
)

const (
	// firstWait is the first of four waits, each twice the one before: 150 ms in all.
	firstWait = 10 * time.Millisecond
	lastWait  = 80 * time.Millisecond
	// most may wait at once, so that a flood is refused and does not pile up.
	most = 1000
)

// Waiters are those who wait for a place. They hold nothing meanwhile. It is safe for concurrent use.
type Waiters struct{ number atomic.Int64 }

// Await calls again after a short while, and after longer ones for as long as it reports that there is no place.
// It returns when there is one, when 150 ms are over, when ctx is, or at once where too many wait already.
func (w *Waiters) Await(ctx context.Context, again func() (full bool)) {
	defer w.number.Add(-1)
	if w.number.Add(1) > most {
		return
	}
	timer := time.NewTimer(firstWait)
	defer timer.Stop()
	for wait := firstWait; wait <= lastWait; wait *= 2 {
		timer.Reset(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			return
		}
		if !again() {
			return
		}
	}
}
