package redis

import (
	"context"
	"time"

	"github.com/nestor-gateway/nestor/ratelimit"
)

// rounds is how often a reservation asks Redis before it gives up: each time others may have taken
// what it got.
const rounds = 100

// Reserve holds the amounts of all entities, or of none. It waits for Redis, 100 ms at most each time, only where
// a limit is nearly used up, or was not used for some seconds.
func (s *Store) Reserve(ctx context.Context, q *ratelimit.Reservation) (ratelimit.Standing, *ratelimit.Denial) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for range rounds {
		if s.closed {
			return ratelimit.Standing{}, &ratelimit.Denial{RetryAfter: s.times.beat, Full: true}
		}
		now := s.now()
		s.settleExpired(now)
		if h := s.held.find(&q.ID); h != nil {
			return standing(h.entities(), now), nil
		}
		h := s.held.take(q)
		if gone, ok := s.resolve(h, q); !ok {
			s.held.keep(h)
			return ratelimit.Standing{}, &ratelimit.Denial{Entity: gone, Never: true}
		}
		denial, short := s.judge(h, now)
		switch {
		case denial != nil && (!short || denial.Never):
			out := standing(h.entities(), now)
			s.held.keep(h)
			return out, denial
		case !short:
			s.commit(h, now)
			return standing(h.entities(), now), nil
		}
		wait := s.ask(h, now)
		s.held.keep(h)
		if !s.await(ctx, wait) {
			break
		}
	}
	return ratelimit.Standing{}, &ratelimit.Denial{Entity: q.Entities[0], RetryAfter: s.times.denial}
}

// await unlocks the store until the channels are closed. It reports whether they were before the context's end.
func (s *Store) await(ctx context.Context, channels []chan struct{}) bool {
	s.mu.Unlock()
	defer s.mu.Lock()
	for _, c := range channels {
		select {
		case <-c:
		case <-ctx.Done():
			return false
		}
	}
	return true
}

func (s *Store) resolve(h *hold, q *ratelimit.Reservation) (ratelimit.Entity, bool) {
	for i, handle := range q.Entities {
		e := s.entity(handle)
		if e == nil {
			return handle, false
		}
		h.add(e, q.HasCounted(i))
	}
	return 0, true
}

// judge returns the denial that lasts longest, and whether Redis has to be asked.
func (s *Store) judge(h *hold, now time.Duration) (worst *ratelimit.Denial, short bool) {
	for i := range h.parts {
		e, asked := h.parts[i].entity, h.parts[i].share(h.asked)
		for d := range ratelimit.Dimension(ratelimit.Dimensions) {
			v, denial := e.judge(d, asked[d], now)
			short = short || v == unsure
			if v == no && (worst == nil || after(&denial, worst)) {
				worst = new(denial)
			}
		}
	}
	return worst, short
}

func after(a, b *ratelimit.Denial) bool {
	if a.Never != b.Never {
		return a.Never
	}
	return a.RetryAfter > b.RetryAfter
}

type verdict uint8

const (
	yes verdict = iota
	no
	unsure
)

// judge says whether an amount of a dimension is there.
func (e *entity) judge(d ratelimit.Dimension, amount int64, now time.Duration) (verdict, ratelimit.Denial) {
	most, denial := e.most[d], ratelimit.Denial{Entity: e.handle, Dimension: d}
	switch {
	case most == ratelimit.None:
		return yes, denial
	case most == 0 || amount > min(most, largest):
		denial.Never, denial.Full = true, most == 0
		return no, denial
	case amount == 0 || amount <= e.room(d, now):
		return yes, denial
	case e.fleet.down:
		return e.alone(d, amount, now)
	case e.fleet.began && !e.fleet.seated && e.fleet.current(now):
		denial.RetryAfter, denial.Full = e.fleet.store.times.beat/10, true
		return no, denial
	}
	if r := &e.denied[d]; now < r.until && amount >= r.least {
		denial.RetryAfter, denial.Full = max(r.retry-now, time.Millisecond), r.full
		if amount > r.least && d != ratelimit.Parallel {
			denial.RetryAfter = max(denial.RetryAfter, e.wait(d, amount, now))
		}
		return no, denial
	}
	return unsure, denial
}

// wait is how long it takes until an amount is there, by what this replica knows.
func (e *entity) wait(d ratelimit.Dimension, amount int64, now time.Duration) time.Duration {
	used := e.used(now)
	lack := used[d] + amount - e.most[d]
	if own := e.history.wait(int(d), lack, now, &e.fleet.store.times); own > 0 {
		return own
	}
	return e.reset(int(d), now)
}

// alone says what holds while Redis is lost and the lease is used up.
func (e *entity) alone(d ratelimit.Dimension, amount int64, now time.Duration) (verdict, ratelimit.Denial) {
	f, t := e.fleet, &e.fleet.store.times
	denial := ratelimit.Denial{Entity: e.handle, Dimension: d, RetryAfter: t.beat, Full: true}
	if e.lost == ratelimit.Open {
		return yes, denial
	}
	if e.lost == ratelimit.Closed || f.most == 0 || !f.shares {
		return no, denial
	}
	begins, ends := f.share()
	if now < begins {
		denial.RetryAfter = begins - now
		return no, denial
	}
	if now >= ends {
		return no, denial
	}
	part := e.most[d] / f.most
	e.history.advance(now, t)
	used := e.held
	if d != ratelimit.Parallel {
		used = e.history.sum[d]
	}
	if used+amount <= part {
		return yes, denial
	}
	denial.Full = used >= part
	if d != ratelimit.Parallel {
		denial.RetryAfter = max(t.beat, e.history.wait(int(d), used+amount-part, now, t))
	}
	return no, denial
}

// commit takes what was judged to be there.
func (s *Store) commit(h *hold, now time.Duration) {
	for i := range h.parts {
		p := &h.parts[i]
		e, asked := p.entity, p.share(h.asked)
		p.bucket = e.charge([2]int64{asked[0], asked[1]}, now)
		e.held += asked[ratelimit.Parallel]
		e.touched = now
		e.wants.parallel = max(e.wants.parallel, e.held)
		s.active[e] = struct{}{}
		if !e.queued && e.done == nil && e.runsLow(now) {
			e.queued = true
			s.low = append(s.low, e)
			s.poke()
		}
	}
	s.held.insert(h, now)
}

// runsLow says that an eighth of the lease is left, or less, and that more may be there.
func (e *entity) runsLow(now time.Duration) bool {
	if !e.limited || e.fleet.down || !e.leased(now) {
		return false
	}
	for d := range 2 {
		if e.most[d] != ratelimit.None && e.granted[d] >= 8 && e.left[d] <= e.granted[d]/8 {
			return true
		}
	}
	return false
}

// ask lets Redis be asked for the entities that have not enough, and returns what is closed when that is over.
func (s *Store) ask(h *hold, now time.Duration) (wait []chan struct{}) {
	var batch []*entity
	for i := range h.parts {
		e, asked := h.parts[i].entity, h.parts[i].share(h.asked)
		if !e.lacks(&asked, now) {
			continue
		}
		if e.begin() {
			batch = append(batch, e)
		}
		wait = append(wait, e.done)
	}
	if len(batch) > 0 {
		s.work.Add(1)
		go func() {
			defer s.work.Done()
			s.exchange(batch)
		}()
	}
	return wait
}

// lacks notes what is needed, and reports whether Redis has to be asked for it.
func (e *entity) lacks(asked *ratelimit.Amounts, now time.Duration) bool {
	lacks := false
	for d := range ratelimit.Dimension(ratelimit.Dimensions) {
		v, _ := e.judge(d, asked[d], now)
		lacks = lacks || v == unsure
	}
	if !lacks {
		return false
	}
	w := &e.wants
	for d, n := range asked {
		if w.need[d] == 0 && n > e.room(ratelimit.Dimension(d), now) {
			w.need[d] = n
		}
		w.waiting[d] += n
	}
	return true
}

// standing is how much the tightest of the entities admits.
func standing(parts []part, now time.Duration) ratelimit.Standing {
	s := ratelimit.Standing{{Limit: ratelimit.None}, {Limit: ratelimit.None}, {Limit: ratelimit.None}}
	for i := range parts {
		e := parts[i].entity
		if !e.limited {
			continue
		}
		used := e.used(now)
		for d := range s {
			left := max(0, e.most[d]-used[d])
			if e.most[d] == ratelimit.None || s[d].Limit != ratelimit.None && left >= s[d].Remaining {
				continue
			}
			s[d] = ratelimit.Room{Limit: e.most[d], Remaining: left}
			if d != int(ratelimit.Parallel) {
				s[d].Reset = e.reset(d, now)
			}
		}
	}
	return s
}
