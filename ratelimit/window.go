package ratelimit

import (
	"time"

	"github.com/nestor-gateway/nestor/ratelimit/journal"
)

// counted are the dimensions of a window; Parallel is a gauge.
const counted = 2

// A bucket takes what is used from its opening on, for the width of the window.
type bucket struct {
	opened, last time.Duration
	used         [counted]int64
}

// A grain is how finely a window counts: the width of its buckets, and how many it can have.
type grain struct {
	width   time.Duration
	buckets int64
}

// fine is for limits: of a steady use half a bucket's width waits longer than it must, 0.4 % of a Window.
// At most 121 buckets count at once; the rest is for those that a restart opens early.
// coarse is for entities that have no limits: their use is only looked at.
func fine() grain   { return grain{width: Window / 120, buckets: 126} }
func coarse() grain { return grain{width: Window / 15, buckets: 16} }

// A window knows what was used in the Window that ends now. Its buckets are numbered from 1 on.
type window struct {
	grain
	ring        []bucket // a power of two, grows as needed; number n is at n modulo its length
	first, next int64    // the oldest that counts, and the one that will be opened next
	used        [counted]int64
	kept        *journal.Ring // what outlives the process; nil where nothing does
}

func (w *window) at(number int64) *bucket { return &w.ring[number&int64(len(w.ring)-1)] }

// advance lets go of what no longer counts.
func (w *window) advance(now time.Duration) {
	for ; w.first < w.next; w.first++ {
		b := w.at(w.first)
		if now < b.last+Window {
			return
		}
		for d := range b.used {
			w.used[d] -= b.used[d]
		}
	}
}

// charge counts amounts from now on, and returns the number of their bucket.
func (w *window) charge(requests, tokens int64, now time.Duration) int64 {
	open := w.next - w.first
	if open == 0 || open < w.buckets && now-w.at(w.next-1).opened >= w.width {
		w.open(now)
	}
	b := w.at(w.next - 1)
	b.last = now
	b.used[Requests] += requests
	b.used[Tokens] += tokens
	w.used[Requests] += requests
	w.used[Tokens] += tokens
	w.keep(w.next - 1)
	return w.next - 1
}

// keep writes a bucket where it outlives the process.
func (w *window) keep(number int64) {
	if w.kept != nil {
		b := w.at(number)
		w.kept.Put(journal.Bucket{Number: number, Last: b.last, Used: b.used})
	}
}

// keepIn makes the window outlive the process from now on.
func (w *window) keepIn(ring *journal.Ring) {
	w.kept = ring
	for n := w.first; n < w.next; n++ {
		w.keep(n)
	}
}

// restore puts back a bucket that was kept: they come by their numbers. It takes nothing more.
func (w *window) restore(b journal.Bucket) {
	for w.next <= b.Number {
		w.open(0)
	}
	*w.at(b.Number) = bucket{opened: b.Last - Window, last: b.Last, used: b.Used}
	w.used[Requests] += b.Used[Requests]
	w.used[Tokens] += b.Used[Tokens]
}

func (w *window) open(now time.Duration) {
	if w.next-w.first == int64(len(w.ring)) {
		w.grow()
	}
	*w.at(w.next) = bucket{opened: now, last: now}
	w.next++
}

func (w *window) grow() {
	old := *w
	w.ring = make([]bucket, max(4, 2*len(old.ring)))
	for n := w.first; n < w.next; n++ {
		*w.at(n) = *old.at(n)
	}
}

// giveBack takes amounts out of the bucket that they were charged to, if that still counts.
func (w *window) giveBack(number, requests, tokens int64) {
	if number < w.first || number >= w.next {
		return
	}
	b := w.at(number)
	for d, amount := range [counted]int64{requests, tokens} {
		amount = min(amount, b.used[d])
		b.used[d] -= amount
		w.used[d] -= amount
	}
	w.keep(number)
}

// wait is the time until an amount no longer counts; the window has that much.
func (w *window) wait(d Dimension, amount int64, now time.Duration) time.Duration {
	for n := w.first; n < w.next; n++ {
		b := w.at(n)
		if amount -= b.used[d]; amount <= 0 {
			return b.last + Window - now
		}
	}
	return Window
}

// reset is the time until nothing counts any more.
func (w *window) reset(d Dimension, now time.Duration) time.Duration {
	for n := w.next - 1; n >= w.first; n-- {
		if b := w.at(n); b.used[d] > 0 {
			return b.last + Window - now
		}
	}
	return 0
}
