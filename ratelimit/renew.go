package ratelimit

import "time"

// Renew has a reservation held for a time from now on at least; of a Life that ends later nothing is taken.
// It reports whether the reservation was held.
func (m *Memory) Renew(id ID, life time.Duration) bool {
	s, hash := m.shard(&id)
	s.mu.Lock()
	defer s.mu.Unlock()
	link := s.find(&id, hash)
	if link == nil || s.closed {
		return false
	}
	if !m.renew(*link, life) {
		s.drop(link)
		return false
	}
	return true
}

// renew reports whether the reservation was held, as settle does.
func (m *Memory) renew(r *reservation, life time.Duration) bool {
	r.lock()
	defer r.unlock()
	now := r.advance(m.now())
	if now >= r.ends {
		return false
	}
	if ends := now + min(life, longest); ends > r.ends {
		r.ends = ends
		for i := range r.holds {
			r.holds[i].postpone()
		}
	}
	return true
}

// postpone takes note that the reservation ends later than it did.
func (h *hold) postpone() {
	if h.record != nil {
		h.record.Postpone(h.of.ends)
	}
	h.entity.holds.postpone(h)
}
