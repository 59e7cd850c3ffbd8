package redis

import (
	"context"
	"fmt"
)

// Ready waits until this replica has its seat in every fleet: until then it denies what is limited, for as long as a
// beat of the others takes. It returns an error at once where Redis does not answer, and when the context ends before.
func (s *Store) Ready(ctx context.Context) error {
	for {
		ready, next, err := s.seats()
		if ready || err != nil {
			return err
		}
		select {
		case <-next:
		case <-ctx.Done():
			return fmt.Errorf("other replicas do not know this one yet: %w", ctx.Err())
		}
	}
}

// seats says whether this replica has all its seats, and what is closed when that may have changed.
func (s *Store) seats() (all bool, next <-chan struct{}, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	all = true
	for _, f := range s.fleets {
		if f.down {
			return false, nil, errDown
		}
		all = all && f.began && f.seated
	}
	return all, s.beaten, nil
}

// announce lets those look that wait for a beat. The store is locked.
func (s *Store) announce() {
	close(s.beaten)
	s.beaten = make(chan struct{})
}
