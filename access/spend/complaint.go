package spend

import (
	"sync"
	"time"
)

// quiet is for how long the same complaint is not said again.
const quiet = 30 * time.Second

// complaint adds up what goes wrong over and over.
type complaint struct {
	mu    sync.Mutex
	count int
	said  time.Time
}

// due adds n and returns how much is to be told now; 0 is nothing.
func (c *complaint) due(n int, now time.Time) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.count += n
	if !c.said.IsZero() && now.Sub(c.said) < quiet {
		return 0
	}
	n, c.count, c.said = c.count, 0, now
	return n
}

// over ends what went wrong, and reports whether anything did.
func (c *complaint) over() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	was := !c.said.IsZero()
	c.count, c.said = 0, time.Time{}
	return was
}
