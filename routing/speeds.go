package routing

import (
	"sync"
	"time"

	"github.com/nestor-gateway/nestor/routing/strategy"
)

// speeds are what is known of how fast deployments answer, by id. They outlive snapshots.
type speeds struct{ byID sync.Map }

// of returns the speed of a deployment, nothing known at first.
func (s *speeds) of(id string) *strategy.Speed {
	if known, ok := s.byID.Load(id); ok {
		return known.(*strategy.Speed)
	}
	speed, _ := s.byID.LoadOrStore(id, new(strategy.Speed))
	return speed.(*strategy.Speed)
}

// means are those of a deployment's answers: see strategy.Speed.
func (s *speeds) means(id string, now, ttl time.Duration) (whole, first float64) {
	known, ok := s.byID.Load(id)
	if !ok {
		return 0, 0
	}
	return known.(*strategy.Speed).Means(now, ttl)
}

// retain forgets the deployments that known does not know.
func (s *speeds) retain(known func(id string) bool) {
	s.byID.Range(func(id, _ any) bool {
		if !known(id.(string)) {
			s.byID.Delete(id)
		}
		return true
	})
}

// Observe takes the speed of an attempt into account. A deployment that the current snapshot no longer has is left out.
func (r *Router) Observe(s Sample) {
	v := r.View()
	if _, ok := v.snapshot.byID[s.Deployment]; !ok {
		return
	}
	sample := strategy.Sample{Failed: s.Failed, Whole: s.Whole, FirstToken: s.FirstToken, Completion: s.Completion}
	r.speeds.of(s.Deployment).Observe(v.elapsed(), sample, v.snapshot.tuning.keep)
	r.look(s.Deployment)
}
