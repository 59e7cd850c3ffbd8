package redis

import (
	"container/heap"
	"time"

	"github.com/nestor-gateway/nestor/ratelimit"
)

// Renew has a reservation held for a time from now on at least; of a Life that ends later nothing is taken.
// It reports whether the reservation was held.
func (s *Store) Renew(id ratelimit.ID, life time.Duration) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	s.settleExpired(now)
	h := s.held.find(&id)
	if h == nil {
		return false
	}
	if ends := now + min(life, longest); ends > h.ends {
		h.ends = ends
		heap.Fix(&s.held.ends, h.place)
	}
	return true
}
