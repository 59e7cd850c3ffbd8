package redis

import (
	"context"
	"slices"
	"time"

	"github.com/nestor-gateway/nestor/ratelimit"
)

// A request is one refresh, sent with the same arguments until it is answered.
type request struct {
	epoch string
	seq   int64
	full  bool // reports the whole history, not only what is new
	sent  time.Duration
	args  []any
	used  [2]int64 // the replica's own, as Redis knows it with this
	need  [3]int64 // of the first that waits, whatever the lease has
	most  ratelimit.Amounts
}

// outcomes of a refresh
const (
	answered = 0 // the lease was granted, however small
	stranger = 1 // in another epoch
	stepped  = 2 // the clocks disagree
	late     = 3 // a later request was answered before
	undone   = 4 // the entity is as it was before an earlier answer
	same     = 5 // nothing was granted nor noted: for Redis this request was never made
)

// begin makes the caller the one who asks for the entity. It reports whether anybody does so already.
func (e *entity) begin() bool {
	e.queued = false
	if e.done != nil || !e.limited {
		return false
	}
	e.done = make(chan struct{})
	return true
}

// exchange asks Redis for the leases of entities that the caller has begun with, and ends with all of them.
func (s *Store) exchange(batch []*entity) {
	byFleet := map[*fleet][]*entity{}
	for _, e := range batch {
		byFleet[e.fleet] = append(byFleet[e.fleet], e)
	}
	for f, entities := range byFleet {
		f.exchange(s.context, entities)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range batch {
		e.wants.need, e.wants.waiting = [3]int64{}, [3]int64{}
		close(e.done)
		e.done = nil
	}
}

// attempts is how often an exchange begins again because Redis is in another epoch than the replica.
const attempts = 4

func (f *fleet) exchange(ctx context.Context, entities []*entity) {
	for range attempts {
		if f.ensure(ctx, false) != nil || !f.seat() || f.refresh(ctx, entities) {
			return
		}
	}
}

// refresh sends one request for each entity. It reports whether that was all: otherwise a beat has to come first.
func (f *fleet) refresh(ctx context.Context, entities []*entity) bool {
	s := f.store
	s.mu.Lock()
	calls, requests := make([]*call, len(entities)), make([]*request, len(entities))
	for i, e := range entities {
		requests[i] = e.request(s.now())
		calls[i] = &call{script: s.asks, keys: []string{f.key, e.key}, args: requests[i].args, load: f.load}
	}
	s.mu.Unlock()

	s.run(ctx, calls)

	s.mu.Lock()
	defer s.mu.Unlock()
	now, all := s.now(), true
	for i, c := range calls {
		switch {
		case c.err == errUnknown:
			f.unknown, f.doubtful, all = true, true, false
		case c.err != nil:
			f.fail(c.err, now)
		case f.apply(entities[i], requests[i], c.reply, now):
			all = false
		}
	}
	f.load = f.load && !all
	return all
}

// run is server.run in bounded time.
func (s *Store) run(ctx context.Context, calls []*call) {
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	s.server.run(ctx, calls)
}

// request returns the one in flight, or the next.
func (e *entity) request(now time.Duration) *request {
	f := e.fleet
	if e.flight != nil && e.flight.epoch == f.epoch {
		e.flight.args = slices.Clone(e.flight.args)
		e.flight.args[lowArgument], e.flight.args[lowArgument+1] = f.bounds(now)
		return e.flight
	}
	r := &request{epoch: f.epoch, full: e.epoch != f.epoch, sent: now}
	e.history.advance(now, &f.store.times)
	deltas := e.pending
	if r.full {
		deltas = e.history.report()
	}
	e.pending, e.owed = nil, [2]int64{}
	r.used = e.history.sum
	e.seq++
	r.seq = e.seq
	r.args = e.arguments(r, deltas, now)
	e.flight = r
	return r
}

// lowArgument is the place of what alone is new when a request is sent again: the bounds of the clock.
const lowArgument = 4

// arguments are in the order in which script_refresh.lua names them.
func (e *entity) arguments(r *request, deltas []delta, now time.Duration) []any {
	f, t := e.fleet, &e.fleet.store.times
	known := e.known
	if r.full || now > e.answered+t.window/2 {
		known = 0
	}
	low, high := f.bounds(now)
	var keep [2]int64
	if e.leased(now) {
		keep = e.left
	}
	r.need, r.most = e.wants.need, e.most
	want, slots := e.wish(keep, now)
	args := make([]any, 0, 23+3*len(deltas))
	args = append(args, f.store.id, r.epoch, r.seq, known, low, high,
		micros(t.window), micros(t.bucket), micros(t.slack), micros(t.lease), micros(t.life))
	for _, most := range e.most {
		if most == ratelimit.None {
			most = -1
		}
		args = append(args, min(most, 1<<50))
	}
	args = append(args, want[0], want[1], slots, max(0, r.need[0]-keep[0]), max(0, r.need[1]-keep[1]), keep[0], keep[1], e.held, flag(e.lost == ratelimit.Share))
	for _, d := range deltas {
		args = append(args, d.bucket+f.shift, d.used[0], d.used[1])
	}
	return args
}

func micros(d time.Duration) int64 { return d.Microseconds() }

// wish says how much more should be leased, and how many slots held: what those need who wait, and what
// will be needed for most of a lease's life at the rate of late. Nothing when nobody has asked since.
func (e *entity) wish(keep [2]int64, now time.Duration) (want [2]int64, slots int64) {
	t, w := &e.fleet.store.times, &e.wants
	elapsed := max(now-w.since, t.bucket).Seconds()
	ahead := (t.lease * 9 / 10).Seconds()
	idle := now-w.since >= t.lease-t.margin && w.asked == [2]int64{}
	for d := range 2 {
		rate := float64(w.asked[d]+w.waiting[d]) / elapsed
		w.rate[d] = max(rate, w.rate[d]*0.7+rate*0.3)
		if idle {
			w.rate[d] = 0
		}
		want[d] = min(max(0, max(w.waiting[d], int64(w.rate[d]*ahead))-keep[d]), largest)
		w.asked[d] = 0
	}
	slots = e.held + w.waiting[2]
	if !idle && !e.quiet(now) {
		slots = max(slots, w.parallel) + w.waiting[2]
	}
	w.since, w.parallel = now, e.held
	return want, slots
}

// apply takes an answer in. It reports whether a beat is needed and then another request.
func (f *fleet) apply(e *entity, r *request, reply []any, now time.Duration) bool {
	if e.flight != r || r.epoch != f.epoch {
		return false
	}
	in := reader{values: reply}
	outcome := in.number()
	switch outcome {
	case stranger:
		f.doubtful, f.unknown = true, true // another server may answer now
		return true
	case stepped:
		f.doubtful = true
		return true
	case undone:
		f.doubtful, f.back = true, true
		return true
	case late:
		e.flight, e.epoch = nil, ""
		f.doubtful, f.back = true, true
		return true
	}
	clock := time.Duration(in.number()) * time.Microsecond
	g := grantOf(&in)
	if in.err != nil {
		f.fail(in.err, now)
		return false
	}
	e.flight, e.epoch = nil, r.epoch
	switch {
	case outcome == answered:
		e.known, e.answered = r.seq, r.sent
	case r.full:
		e.known = 0
	}
	e.take(r, &g, min(now, max(r.sent, clock-f.low)), now)
	return false
}

// grant is what a refresh answers.
type grant struct {
	extra, used, leased, free [2]int64
	slots, taken, busy        int64
	retry, reset              [2]time.Duration
	closed                    time.Duration
}

func grantOf(in *reader) (g grant) {
	pair := func() [2]int64 { return [2]int64{in.number(), in.number()} }
	span := func() time.Duration { return time.Duration(in.number()) * time.Microsecond }
	g.extra = pair()
	g.slots = in.number()
	g.used, g.leased, g.free = pair(), pair(), pair()
	g.retry = [2]time.Duration{span(), span()}
	g.reset = [2]time.Duration{span(), span()}
	g.taken, g.busy = in.number(), in.number()
	g.closed = span()
	return g
}

// take puts a grant into force that was made at a time or before: what was left of the lease before went on
// being used.
func (e *entity) take(r *request, g *grant, made, now time.Duration) {
	t := &e.fleet.store.times
	ends := r.sent + t.lease - t.margin
	for d := range 2 {
		if !e.leased(now) {
			e.left[d] = 0
		}
		if g.extra[d] < 0 || now < ends && e.most[d] >= r.most[d] {
			paid := max(0, min(g.extra[d], e.owed[d]))
			e.left[d] = max(0, e.left[d]+g.extra[d]-paid) // what was left may be taken back
			e.owed[d] -= paid
		}
		e.granted[d] = e.left[d]
		e.view.others[d] = max(0, g.used[d]-r.used[d])
	}
	e.ends = max(e.ends, ends)
	e.slots, e.slotted = g.slots, r.sent
	if e.most[ratelimit.Parallel] < r.most[ratelimit.Parallel] {
		e.slots = 0
	}
	e.view.at, e.view.reset, e.view.others[2] = made, g.reset, g.busy
	for d := range e.denied {
		e.denied[d] = e.refused(ratelimit.Dimension(d), r, g, made, now)
	}
	if e.left != [2]int64{} {
		e.fleet.store.active[e] = struct{}{} // to be given back if nobody uses it
	}
}

// turns is how long a replica leaves what becomes free of a limit to the others that live: together they ask as often
// as one alone would.
func (f *fleet) turns() time.Duration {
	others := time.Duration(0)
	for _, o := range f.others {
		if !o.left && o.age < f.store.times.life {
			others++
		}
	}
	return min(others, 3) * f.store.times.denial
}

// refused is what the answer refuses, if anything.
func (e *entity) refused(d ratelimit.Dimension, r *request, g *grant, made, now time.Duration) refusal {
	t := &e.fleet.store.times
	need, retry, free := r.need[d], t.denial, e.most[d]-g.taken-e.held
	if need == 0 || e.most[d] == ratelimit.None || e.room(d, now) >= need {
		return refusal{}
	}
	if d != ratelimit.Parallel {
		free, retry = g.free[d], max(g.retry[d], time.Millisecond)
	}
	if g.closed > 0 {
		return refusal{until: r.sent + t.denial/4, least: 1, retry: made + g.closed, full: true}
	}
	until := r.sent + min(retry, t.denial)
	if d != ratelimit.Parallel {
		until = max(until, r.sent+e.fleet.turns())
	}
	return refusal{until: until, least: need, retry: max(made+retry, until), full: free <= 0}
}

// report tells Redis, in a new epoch, of everything that this replica has used. It reports whether Redis has
// answered for all of it.
func (f *fleet) report(ctx context.Context) bool {
	for some := range slices.Chunk(f.unreported(), 64) {
		if !f.refresh(ctx, some) {
			return false
		}
	}
	return len(f.unreported()) == 0
}

func (f *fleet) unreported() (all []*entity) {
	s := f.store
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	for e := range s.active {
		if e.fleet == f && e.limited && e.epoch != f.epoch && (!e.idle(now) || e.leased(now)) {
			all = append(all, e)
		}
	}
	return all
}
