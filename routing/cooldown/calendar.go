package cooldown

import (
	"container/heap"
	"math"
	"sync/atomic"
	"time"
)

// Calendar knows until when numbered things are out of use. Only Due and Empty may be called while another
// goroutine changes it.
type Calendar struct {
	queue endings
	// next is the first of the ends, far away when there is none.
	next atomic.Int64
}

const noEnd = math.MaxInt64

// NewCalendar returns a calendar of n things, all of them in use.
func NewCalendar(n int) *Calendar {
	c := &Calendar{queue: endings{ends: make([]time.Duration, n), place: make([]int32, n)}}
	c.next.Store(noEnd)
	return c
}

// End is until when a thing is out of use; 0 when it is not.
func (c *Calendar) End(i int32) time.Duration { return c.queue.ends[i] }

// Set takes a thing out of use until a time, unless it is for longer already. It reports whether that changed anything.
func (c *Calendar) Set(i int32, until time.Duration) bool {
	q := &c.queue
	if until <= q.ends[i] {
		return false
	}
	before := q.ends[i]
	q.ends[i] = until
	if before == 0 {
		heap.Push(q, i)
	} else {
		heap.Fix(q, int(q.place[i]))
	}
	c.update()
	return true
}

// Clear puts a thing back into use.
func (c *Calendar) Clear(i int32) {
	if c.queue.ends[i] == 0 {
		return
	}
	heap.Remove(&c.queue, int(c.queue.place[i]))
	c.queue.ends[i] = 0
	c.update()
}

// Due reports whether a time has come by now that Ended has not given yet.
func (c *Calendar) Due(now time.Duration) bool { return int64(now) >= c.next.Load() }

// Empty reports whether everything is in use.
func (c *Calendar) Empty() bool { return c.next.Load() == noEnd }

// Ended puts back into use whatever's time has come by now, and calls f for it.
func (c *Calendar) Ended(now time.Duration, f func(i int32)) {
	for c.Due(now) {
		i := c.queue.ids[0]
		c.Clear(i)
		f(i)
	}
}

// Each calls f for everything that is out of use, in no order. f must not change the calendar.
func (c *Calendar) Each(f func(i int32)) {
	for _, i := range c.queue.ids {
		f(i)
	}
}

func (c *Calendar) update() {
	next := int64(noEnd)
	if len(c.queue.ids) > 0 {
		next = int64(c.queue.ends[c.queue.ids[0]])
	}
	c.next.Store(next)
}

// endings is a heap, the first end on top.
type endings struct {
	// ends are 0 for what is not in the heap; place is where in ids it is.
	ends  []time.Duration
	place []int32
	ids   []int32
}

func (e *endings) Len() int           { return len(e.ids) }
func (e *endings) Less(i, j int) bool { return e.ends[e.ids[i]] < e.ends[e.ids[j]] }

func (e *endings) Swap(i, j int) {
	e.ids[i], e.ids[j] = e.ids[j], e.ids[i]
	e.place[e.ids[i]], e.place[e.ids[j]] = int32(i), int32(j)
}

func (e *endings) Push(x any) {
	i := x.(int32)
	e.place[i] = int32(len(e.ids))
	e.ids = append(e.ids, i)
}

func (e *endings) Pop() any {
	last := len(e.ids) - 1
	i := e.ids[last]
	e.ids = e.ids[:last]
	return i
}
