package strategy

import "time"

const (
	// roundTime is how long it takes at most until what time alone changes is seen, while draws are frequent:
	// tokens that left the window, times that are too old, requests that ended without a word.
	roundTime = 200 * time.Millisecond
	// roundMost is how many leaves one draw looks at for that.
	roundMost = 16
)

// rounds goes round the leaves as time passes.
type rounds struct {
	leaves []int32
	next   int
	at     time.Duration
}

// due says how many leaves it is time to look at.
func (r *rounds) due(now time.Duration) int {
	each := max(roundTime/time.Duration(max(len(r.leaves), 1)), 1)
	n := min(int((now-r.at)/each), len(r.leaves), roundMost)
	if n > 0 {
		r.at = max(r.at+time.Duration(n)*each, now-roundTime)
	}
	return n
}

// catchUp looks at the leaves whose turn it is. The lock must be held.
func (c *Chooser) catchUp(now time.Duration) {
	r := &c.rounds
	for range r.due(now) {
		c.refresh(r.leaves[r.next], now)
		r.next = (r.next + 1) % len(r.leaves)
	}
}
