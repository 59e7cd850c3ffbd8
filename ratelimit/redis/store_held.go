package redis

import (
	"container/heap"
	"time"

	"github.com/nestor-gateway/nestor/ratelimit"
)

// A hold is a reservation that is not settled.
type hold struct {
	id    ratelimit.ID
	asked ratelimit.Amounts
	life  time.Duration
	ends  time.Duration
	place int // in the heap
	parts []part
	few   [4]part // room for them
}

// A part is what a hold has of one entity.
type part struct {
	entity *entity
	bucket int64 // that it was charged to
	again  bool  // the request counts already: see ratelimit.Reservation.Again
}

// share is what the entity holds, or has used, of a reservation's amounts.
func (p *part) share(a ratelimit.Amounts) ratelimit.Amounts {
	if p.again {
		a[ratelimit.Requests] = 0
	}
	return a
}

func (h *hold) entities() []part { return h.parts }

// add adds an entity, once.
func (h *hold) add(e *entity, again bool) {
	for i := range h.parts {
		if h.parts[i].entity == e {
			return
		}
	}
	h.parts = append(h.parts, part{entity: e, again: again})
}

// reservations are all holds, by id and by their end.
type reservations struct {
	byID map[ratelimit.ID]*hold
	ends holdHeap
	free []*hold
}

// longest is how long a reservation is held at most, and when it names no time of its own.
const longest = 24 * time.Hour

func (r *reservations) find(id *ratelimit.ID) *hold { return r.byID[*id] }

// take returns an unused hold.
func (r *reservations) take(q *ratelimit.Reservation) *hold {
	var h *hold
	if n := len(r.free); n > 0 {
		h, r.free = r.free[n-1], r.free[:n-1]
	} else {
		h = &hold{}
	}
	h.id, h.asked = q.ID, bounded(q.Amounts)
	for d := range q.Amounts {
		if q.Amounts[d] > largest {
			h.asked[d] = largest + 1 // more than any limit
		}
	}
	h.life = min(q.Life, longest)
	if q.Life <= 0 {
		h.life = longest
	}
	h.parts = h.few[:0]
	return h
}

// keep takes a hold back that is not used any more.
func (r *reservations) keep(h *hold) {
	clear(h.parts)
	h.parts = nil
	r.free = append(r.free, h)
}

func (r *reservations) insert(h *hold, now time.Duration) {
	if r.byID == nil {
		r.byID = map[ratelimit.ID]*hold{}
	}
	h.ends = now + h.life
	r.byID[h.id] = h
	heap.Push(&r.ends, h)
}

func (r *reservations) remove(h *hold) {
	delete(r.byID, h.id)
	heap.Remove(&r.ends, h.place)
}

// Settle replaces what a reservation holds by what was used.
func (s *Store) Settle(id ratelimit.ID, used ratelimit.Amounts) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	s.settleExpired(now)
	h := s.held.find(&id)
	if h == nil {
		return false
	}
	s.settle(h, bounded(used), now)
	return true
}

// Refund gives a reservation back whole.
func (s *Store) Refund(id ratelimit.ID) bool { return s.Settle(id, ratelimit.Amounts{}) }

func (s *Store) settle(h *hold, used ratelimit.Amounts, now time.Duration) {
	s.held.remove(h)
	for i := range h.parts {
		p := &h.parts[i]
		e := p.entity
		more, less := p.truth(&h.asked, &used)
		e.held -= h.asked[ratelimit.Parallel]
		e.touched = now
		e.denied[ratelimit.Parallel] = refusal{}
		if more != [2]int64{} {
			e.charge(more, now)
			s.tellSoon(e)
		}
		if less != [2]int64{} {
			e.giveBack(p.bucket, less, now)
		}
		s.active[e] = struct{}{}
	}
	s.held.keep(h)
}

// truth is what was used beyond what was asked for, and what was asked for and not used.
func (p *part) truth(asked, used *ratelimit.Amounts) (more, less [2]int64) {
	held, truth := p.share(*asked), p.share(*used)
	for d := range more {
		more[d], less[d] = max(0, truth[d]-held[d]), max(0, held[d]-truth[d])
	}
	return more, less
}

// tellSoon has Redis told of what was used without a lease, before it grants that to others.
func (s *Store) tellSoon(e *entity) {
	if !e.limited || e.queued || e.done != nil || e.fleet.down || !e.owes() {
		return
	}
	e.queued = true
	s.low = append(s.low, e)
	s.poke()
}

// owes says that more of a limit was used than was leased.
func (e *entity) owes() bool {
	return e.owed[0] > 0 && e.most[0] != ratelimit.None || e.owed[1] > 0 && e.most[1] != ratelimit.None
}

// settleExpired settles what nobody has settled in time, at what it holds.
func (s *Store) settleExpired(now time.Duration) {
	for len(s.held.ends) > 0 && s.held.ends[0].ends <= now {
		h := s.held.ends[0]
		s.settle(h, h.asked, now)
	}
}

// bounded brings amounts from outside to what sums can take.
func bounded(a ratelimit.Amounts) ratelimit.Amounts {
	for d := range a {
		a[d] = min(max(0, a[d]), largest)
	}
	return a
}

// holdHeap has the hold that ends first at 0.
type holdHeap []*hold

func (h holdHeap) Len() int           { return len(h) }
func (h holdHeap) Less(i, j int) bool { return h[i].ends < h[j].ends }
func (h holdHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].place, h[j].place = i, j
}

func (h *holdHeap) Push(x any) {
	x.(*hold).place = len(*h)
	*h = append(*h, x.(*hold))
}

func (h *holdHeap) Pop() any {
	old := *h
	last := old[len(old)-1]
	*h = old[:len(old)-1]
	return last
}
