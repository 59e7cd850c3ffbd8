package redis

import (
	"time"

	"github.com/nestor-gateway/nestor/ratelimit"
)

// largest is the most of anything at a time: sums of it stay exact in the numbers of Lua.
const largest = 1 << 46

// An entity is what a replica knows of something that is limited.
type entity struct {
	handle  ratelimit.Entity
	fleet   *fleet
	key     string
	most    ratelimit.Amounts
	lost    ratelimit.Policy
	limited bool
	apart   bool          // in force by Put
	dropped time.Duration // when it was first not declared any more; 0 while it is

	history history
	pending []delta // what Redis has not been told of the history
	held    int64   // in Parallel, by this replica

	// left of the lease may be used until it ends; granted was there at first.
	left, granted [2]int64
	// owed is what was used without a lease since the last request was made: the answer to that does not know of it.
	owed    [2]int64
	ends    time.Duration
	slots   int64         // in Parallel this replica may hold, granted by Redis
	slotted time.Duration // when they were asked for
	queued  bool          // is in the store's list of those that are low

	view   view
	denied [ratelimit.Dimensions]refusal

	// epoch is the one in which Redis has been told what was used.
	epoch    string
	seq      int64 // of the last request
	known    int64 // the last that was answered
	answered time.Duration
	flight   *request      // sent and not answered
	done     chan struct{} // closed when the exchange that goes on is over; nil when none does
	wants    demand
	touched  time.Duration // when anything was last held or settled
}

// A delta is what was used in a bucket, or given back of it.
type delta struct {
	bucket int64
	used   [2]int64
}

// A refusal is what Redis had not got.
type refusal struct {
	until time.Duration // it is repeated until then
	least int64         // and holds for this much or more
	retry time.Duration // when this much may be free
	full  bool
}

// view is what Redis knew when it was last asked.
type view struct {
	at     time.Duration
	others ratelimit.Amounts // used by other replicas
	reset  [2]time.Duration
}

// demand is what the last lease has seen of requests, and so how large the next should be.
type demand struct {
	since    time.Duration
	asked    [2]int64   // since then
	rate     [2]float64 // in a second
	need     [3]int64   // of the first that waits
	waiting  [3]int64   // of all that wait
	parallel int64      // most held since then
}

func (e *entity) limit(l ratelimit.Limit, twice bool) {
	for d := range l.Most {
		l.Most[d] = max(0, l.Most[d])
		if twice {
			l.Most[d] = min(l.Most[d], e.most[d])
		}
		if l.Most[d] != e.most[d] {
			e.denied[d] = refusal{}
		}
		if l.Most[d] < e.most[d] {
			e.drop(d)
		}
	}
	e.most, e.lost = l.Most, l.Lost
	e.limited = e.most != ratelimit.Unlimited()
}

// drop gives up what was leased by a larger limit.
func (e *entity) drop(d int) {
	if d == int(ratelimit.Parallel) {
		e.slots = 0
	} else {
		e.left[d] = 0
	}
}

// idle says that nothing counts.
func (e *entity) idle(now time.Duration) bool {
	e.history.advance(now, &e.fleet.store.times)
	return e.held == 0 && e.history.sum == [2]int64{} && (!e.limited || len(e.pending) == 0)
}

// leased says whether the lease lives.
func (e *entity) leased(now time.Duration) bool { return now < e.ends }

// room says how much may be used without asking.
func (e *entity) room(d ratelimit.Dimension, now time.Duration) int64 {
	switch {
	case d == ratelimit.Parallel && e.fleet.current(now) && e.epoch == e.fleet.epoch && e.slotted >= e.fleet.lapsed:
		return e.slots - e.held
	case d != ratelimit.Parallel && e.leased(now):
		return e.left[d]
	}
	return 0
}

// charge takes what is used into the history, and out of the lease as far as there is one.
func (e *entity) charge(used [2]int64, now time.Duration) (bucket int64) {
	e.history.advance(now, &e.fleet.store.times)
	bucket = e.history.add(used)
	e.tell(bucket, used)
	for d, n := range used {
		leased := int64(0)
		if e.leased(now) {
			leased = min(n, e.left[d])
		}
		e.left[d] -= leased
		e.owed[d] += n - leased
		e.wants.asked[d] += n
	}
	return bucket
}

// giveBack takes back what was charged to a bucket, if it still counts. The lease does not get it: it may be
// used again when Redis has been told.
func (e *entity) giveBack(bucket int64, used [2]int64, now time.Duration) {
	e.history.advance(now, &e.fleet.store.times)
	if e.history.remove(bucket, used) {
		e.tell(bucket, [2]int64{-used[0], -used[1]})
		e.denied[ratelimit.Requests], e.denied[ratelimit.Tokens] = refusal{}, refusal{}
	}
}

// tell notes what Redis has to be told.
func (e *entity) tell(bucket int64, used [2]int64) {
	if used == [2]int64{} {
		return
	}
	for i := len(e.pending) - 1; i >= 0; i-- {
		if e.pending[i].bucket == bucket {
			e.pending[i].used[0] += used[0]
			e.pending[i].used[1] += used[1]
			return
		}
	}
	if n := len(e.pending); n > 0 && e.pending[0].bucket <= bucket-buckets {
		e.pending = append(e.pending[:0], e.pending[1:]...)
	}
	e.pending = append(e.pending, delta{bucket, used})
}

// over says whether Redis should be asked although nobody waits: there is something to report or to give
// back, and the lease is at its end.
func (e *entity) over(now time.Duration) bool {
	return e.limited && !e.queued && e.done == nil && !e.fleet.down && !e.leased(now) && !e.settled(now)
}

// spares says that this replica has slots that it has not needed for a while, and that others may.
func (e *entity) spares(now time.Duration) bool {
	return e.limited && !e.queued && e.done == nil && !e.fleet.down && e.slots > e.held && e.fleet.turns() > 0 && e.quiet(now)
}

// quiet says that nothing was held or settled for a while.
func (e *entity) quiet(now time.Duration) bool { return now >= e.touched+2*e.fleet.store.times.bucket }

// settled says that Redis knows everything, and has everything back.
func (e *entity) settled(now time.Duration) bool {
	return !e.limited || len(e.pending) == 0 && e.flight == nil && e.left == [2]int64{} && e.slots <= e.held &&
		(e.epoch == e.fleet.epoch || e.history.sum == [2]int64{} && e.held == 0)
}

// used is what all replicas have used, as far as it is known.
func (e *entity) used(now time.Duration) ratelimit.Amounts {
	t := &e.fleet.store.times
	e.history.advance(now, t)
	u := ratelimit.Amounts{e.history.sum[0], e.history.sum[1], e.held}
	if e.view.at > 0 && now < e.view.at+t.window {
		for d, n := range e.view.others[:ratelimit.Parallel] {
			u[d] += n
		}
	}
	if e.view.at > 0 && now < e.view.at+t.life {
		u[ratelimit.Parallel] += e.view.others[ratelimit.Parallel]
	}
	return u
}

// reset is how long anything counts.
func (e *entity) reset(d int, now time.Duration) time.Duration {
	t := &e.fleet.store.times
	own := max(0, e.history.wait(d, e.history.sum[d], now, t))
	if e.view.at > 0 && e.view.others[d] > 0 {
		own = max(own, e.view.at+e.view.reset[d]-now)
	}
	return own
}
