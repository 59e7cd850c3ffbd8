package redis

import (
	"context"
	"time"
)

// A doubt is about a replica that is missing: whether it is cut off from Redis, or gone.
type doubt struct {
	asked time.Duration // when it was asked last
	busy  bool
	gone  bool // for certain
}

const (
	// inquiryTime bounds one question.
	inquiryTime = time.Second
	// inquiries is how many replicas are asked for at a time.
	inquiries = 8
)

// inquire asks whether those replicas are gone that have missed some beats. The store is locked.
func (s *Store) inquire(now time.Duration) {
	if s.gone == nil {
		return
	}
	missing := map[string]bool{}
	for _, f := range s.fleets {
		f.news = false
		if f.down || !f.began {
			continue
		}
		for _, o := range f.others {
			if o.left || o.age+now-f.last < s.times.missing() {
				continue
			}
			missing[o.ID] = true
			f.news = s.doubt(o.Replica, now) && o.age < shareLife*s.times.window-s.times.life || f.news
		}
	}
	for id, d := range s.doubts {
		if !missing[id] && !d.busy {
			delete(s.doubts, id)
		}
	}
}

// missing is the age of its last beat from which on a replica may be asked for.
func (t *times) missing() time.Duration { return 3 * t.beat }

// doubt reports whether a replica is known to be gone, and has it asked for now and then until it is.
func (s *Store) doubt(r Replica, now time.Duration) bool {
	d := s.doubts[r.ID]
	if d == nil {
		d = &doubt{asked: now - s.times.life}
		s.doubts[r.ID] = d
	}
	if d.gone || d.busy || now < d.asked+s.times.life || s.asking >= inquiries {
		return d.gone
	}
	d.busy, d.asked = true, now
	s.asking++
	s.work.Go(func() {
		ctx, cancel := context.WithTimeout(s.context, inquiryTime)
		gone := s.gone(ctx, r)
		cancel()
		s.mu.Lock()
		defer s.mu.Unlock()
		d.busy, d.gone = false, gone
		s.asking--
		if gone {
			s.log.Info("a replica that shares limits is gone: what was set aside for it is free", "replica", r.ID, "address", r.Address)
		}
	})
	return false
}

// gone are the ids of those of which Redis has to be told that they are gone.
func (f *fleet) gone() (ids []string) {
	for _, o := range f.others {
		if d := f.store.doubts[o.ID]; d != nil && d.gone && !o.left {
			ids = append(ids, o.ID)
		}
	}
	return ids
}
