package cooldown

import (
	"container/heap"
	"math"
	"sync/atomic"
	"time"
)

// Calendar knows when the cooldowns of numbered deployments end. Only Due may be called while another
// goroutine changes it.
type Calendar struct {
	// ends are 0 for deployments that are not cooling.
	ends  []time.Duration
	queue endings
	// next is the first of the ends, far away when there is none.
	next atomic.Int64
}

// NewCalendar returns a calendar of n deployments, none of them cooling.
func NewCalendar(n int) *Calendar {
	c := &Calendar{ends: make([]time.Duration, n)}
	c.next.Store(math.MaxInt64)
	return c
}

// End is when the cooldown of a deployment ends; 0 when it is not cooling.
func (c *Calendar) End(i int32) time.Duration { return c.ends[i] }

// Set ends the cooldown of a deployment at a time, unless it ends later already.
func (c *Calendar) Set(i int32, at time.Duration) bool {
	if at <= c.ends[i] {
		return false
	}
	c.ends[i] = at
	heap.Push(&c.queue, ending{at, i})
	c.next.Store(int64(c.queue[0].at))
	return true
}

// Due reports whether a cooldown has ended by now that Ended has not given yet.
func (c *Calendar) Due(now time.Duration) bool { return int64(now) >= c.next.Load() }

// Ended calls f for the deployments whose cooldown has ended by now.
func (c *Calendar) Ended(now time.Duration, f func(i int32)) {
	for len(c.queue) > 0 && c.queue[0].at <= now {
		if e := heap.Pop(&c.queue).(ending); c.ends[e.deployment] == e.at {
			c.ends[e.deployment] = 0
			f(e.deployment)
		}
	}
	next := int64(math.MaxInt64)
	if len(c.queue) > 0 {
		next = int64(c.queue[0].at)
	}
	c.next.Store(next)
}

// ending is the end of a cooldown. It counts only while ends has the same.
type ending struct {
	at         time.Duration
	deployment int32
}

// endings is a heap, the first end on top.
type endings []ending

func (e endings) Len() int           { return len(e) }
func (e endings) Less(i, j int) bool { return e[i].at < e[j].at }
func (e endings) Swap(i, j int)      { e[i], e[j] = e[j], e[i] }
func (e *endings) Push(x any)        { *e = append(*e, x.(ending)) }
func (e *endings) Pop() any {
	old := *e
	last := old[len(old)-1]
	*e = old[:len(old)-1]
	return last
}
