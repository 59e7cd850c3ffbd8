package strategy

import (
	"sync"
	"time"
)

// Speeds are what is known of how fast deployments answer, by id. They outlive snapshots, and are safe for
// concurrent use.
type Speeds struct{ byID sync.Map }

// Of returns the speed of a deployment, nothing known at first.
func (s *Speeds) Of(id string) *Speed {
	if known, ok := s.byID.Load(id); ok {
		return known.(*Speed)
	}
	speed, _ := s.byID.LoadOrStore(id, new(Speed))
	return speed.(*Speed)
}

// Means are those of a deployment's answers: see Speed.
func (s *Speeds) Means(id string, now, ttl time.Duration) (whole, first float64) {
	known, ok := s.byID.Load(id)
	if !ok {
		return 0, 0
	}
	return known.(*Speed).Means(now, ttl)
}

// Retain forgets the deployments that known does not know.
func (s *Speeds) Retain(known func(id string) bool) {
	s.byID.Range(func(id, _ any) bool {
		if !known(id.(string)) {
			s.byID.Delete(id)
		}
		return true
	})
}
