package ratelimit

import (
	"context"
	"time"
)

// longest is how long a reservation is held at most, and when it names no time of its own.
const longest = 24 * time.Hour

// Reserve holds the amounts of all entities, or of none. A Denial of what can Never succeed has no RetryAfter.
// An entity that was forgotten (see Declare) admits nothing.
func (m *Memory) Reserve(_ context.Context, q *Reservation) (Standing, *Denial) {
	s, hash := m.shard(&q.ID)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return Standing{}, &Denial{RetryAfter: guess, Full: true}
	}
	if standing, held := m.held(s, &q.ID, hash); held {
		return standing, nil
	}
	r := s.take()
	if gone, ok := m.prepare(r, q); !ok {
		s.keep(r)
		return Standing{}, &Denial{Entity: gone, Never: true}
	}
	standing, now, denial := m.hold(r, q)
	if denial != nil {
		s.keep(r)
		return standing, denial
	}
	s.reap(now)
	s.insert(m, r, hash)
	return standing, nil
}

// held returns the standing of the reservation that has the ID, if there is one. One that was loaded ends here at
// its estimate: the earlier process may have died before it held everything, and told nobody.
func (m *Memory) held(s *shard, id *ID, hash uint64) (Standing, bool) {
	link := s.find(id, hash)
	if link == nil {
		return Standing{}, false
	}
	r := *link
	r.lock()
	defer r.unlock()
	now := r.advance(m.now())
	if now < r.ends && !r.loaded {
		return r.standing(now), true
	}
	if now < r.ends {
		r.release()
	}
	s.drop(link)
	return Standing{}, false
}

// prepare fills in everything but the time; it returns the handle that stands for nothing any more.
func (m *Memory) prepare(r *reservation, q *Reservation) (Entity, bool) {
	r.id = q.ID
	r.amounts = bounded(q.Amounts)
	r.loaded = false
	r.prepare(len(q.Entities))
	for i, handle := range q.Entities {
		e := m.entity(handle)
		if e == nil {
			return handle, false
		}
		r.add(e, q.HasCounted(i))
	}
	return 0, true
}

// hold takes what the reservation needs of its entities, all or nothing.
func (m *Memory) hold(r *reservation, q *Reservation) (Standing, time.Duration, *Denial) {
	r.lock()
	defer r.unlock()
	now := r.advance(m.now())
	if denial := r.deny(&q.Amounts, now, m.opens); denial != nil {
		return r.standing(now), now, denial
	}
	r.ends = now + min(q.Life, longest)
	if q.Life <= 0 {
		r.ends = now + longest
	}
	m.commit(r, now)
	return r.standing(now), now, nil
}

// commit charges before it registers: who dies in between has used more than there is to settle, never less.
func (m *Memory) commit(r *reservation, now time.Duration) {
	for i := range r.holds {
		h := &r.holds[i]
		h.entity.charge(h, now)
		if m.file != nil && h.entity.limited && h.entity.window.kept == nil {
			m.keep(h.entity)
		}
	}
	for i := range r.holds {
		h := &r.holds[i]
		h.entity.register(h)
		if h.entity.window.kept != nil {
			m.keepHold(h, i)
		}
	}
}

// deny returns the denial that lasts longest.
func (r *reservation) deny(amounts *Amounts, now, opens time.Duration) *Denial {
	var worst *Denial
	for i := range r.holds {
		h := &r.holds[i]
		asked := h.share(*amounts)
		denial, denied := h.entity.deny(&asked, now, opens)
		if denied && (worst == nil || denial.after(worst)) {
			worst = &Denial{}
			*worst = denial
		}
	}
	return worst
}

// Settle replaces what a reservation holds by what was used.
func (m *Memory) Settle(id ID, used Amounts) bool {
	s, hash := m.shard(&id)
	s.mu.Lock()
	defer s.mu.Unlock()
	link := s.find(&id, hash)
	if link == nil || s.closed {
		return false
	}
	held := m.settle(*link, bounded(used))
	s.drop(link)
	return held
}

// settle reports whether the reservation was held: one that has ended was let go of when time passed its end.
func (m *Memory) settle(r *reservation, used Amounts) bool {
	r.lock()
	defer r.unlock()
	now := r.advance(m.now())
	if now >= r.ends {
		return false
	}
	for i := range r.holds {
		r.holds[i].entity.settle(&r.holds[i], &used, now)
	}
	return true
}

// Refund gives a reservation back whole.
func (m *Memory) Refund(id ID) bool { return m.Settle(id, Amounts{}) }

// bounded brings amounts from outside to what sums can take.
func bounded(a Amounts) Amounts {
	for d := range a {
		a[d] = min(max(0, a[d]), largest)
	}
	return a
}
