package budget

import (
	"context"
	"time"
)

const (
	// beat is how often the bank hears of this replica at least.
	beat = 5 * time.Second
	// breath is between calls to a bank that fails.
	breath = 50 * time.Millisecond
)

// Run asks the bank for what requests wait for, tells it that this replica lives, and settles reservations that nobody
// does. When the context ends it gives back what isn't used; rows may still be written then.
func (l *Ledger) Run(ctx context.Context) {
	// Not a ticker's own channel: under the race detector the runtime (Go 1.26) crashes when a synctest bubble selects on it.
	due := make(chan struct{}, 1)
	timer := time.AfterFunc(time.Second, func() { due <- struct{}{} })
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			l.giveBack(context.WithoutCancel(ctx))
			return
		case <-l.wake:
			if l.waited() {
				l.turn(ctx)
			}
		case <-due:
			timer.Reset(time.Second)
			l.expire()
			if l.due() {
				l.turn(ctx)
			}
		}
	}
}

func (l *Ledger) turn(ctx context.Context) {
	if l.exchange(ctx, nil) != nil {
		sleep(ctx, breath)
	}
}

// waited reports whether a call is asked for; another may have answered the question meanwhile.
func (l *Ledger) waited() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.asking) > 0
}

// due reports whether the bank has to hear of this replica: of what it can give back, or at all. While it fails it is
// called at every tick.
func (l *Ledger) due() bool {
	c := l.calls
	select {
	case c.sem <- struct{}{}:
		defer func() { <-c.sem }()
	default:
		return false
	}
	now := l.now()
	return c.lost.Load() || now >= c.sent+beat || len(c.idle(now)) > 0
}

func (l *Ledger) giveBack(ctx context.Context) {
	l.calls.closing.Store(true)
	_ = l.exchange(ctx, nil) // a bank that doesn't hear of it frees the leases later
}
