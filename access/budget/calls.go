package budget

import (
	"sync/atomic"
	"time"
)

// calls is what is known of the calls to the bank. They are made one at a time: who has put something into sem owns
// the plain fields.
type calls struct {
	sem     chan struct{}
	replica string
	seq     int64
	sent    time.Duration         // the last call
	leased  map[*Account]struct{} // by the bank, or perhaps: an answer was lost

	// Leases may be used until a time, by reservations that live as long as the bank was told.
	until, told atomic.Int64
	// life is what reservations live, at most.
	life atomic.Int64
	// epoch changes when until has passed: what was leased before is worth nothing.
	epoch atomic.Uint64
	// lost says that the last call failed, closing that no lease is needed any more.
	lost, closing atomic.Bool
}

func newCalls(replica string) *calls {
	c := &calls{sem: make(chan struct{}, 1), replica: replica, leased: map[*Account]struct{}{}}
	c.live(Shortest)
	return c
}

// trusted reports whether leases may be used by a reservation with that life.
func (c *calls) trusted(now, life time.Duration) bool {
	return int64(now) < c.until.Load() && int64(life) <= c.told.Load()
}

// live takes note of how long a reservation lives.
func (c *calls) live(life time.Duration) {
	for {
		longest := c.life.Load()
		if int64(life) <= longest || c.life.CompareAndSwap(longest, int64(life)) {
			return
		}
	}
}
