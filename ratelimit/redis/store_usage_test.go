package redis

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/nestor-gateway/nestor/ratelimit"
)

func TestUsageTellsThatLimitsAreClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		limit := ratelimit.Limit{Name: "deployment:a", Most: ratelimit.Amounts{600, none, none}, Lost: ratelimit.Closed}
		w := newWorld(t, 1, limit, 0)
		w.start(false)
		time.Sleep(2 * time.Second)
		s, e := w.replicas[0], w.entity[0]
		begins := s.Usage(e).Closed
		if begins < 55*time.Second || begins > 70*time.Second {
			t.Fatalf("a Redis that knows nothing closes for %v, want about a minute", begins)
		}
		time.Sleep(10 * time.Second)
		if left := s.Usage(e).Closed; left > begins-9*time.Second || left < begins-11*time.Second {
			t.Errorf("closed for %v ten seconds later, was %v", left, begins)
		}
		time.Sleep(begins)
		if closed := s.Usage(e).Closed; closed != 0 {
			t.Errorf("closed for %v though a Redis that answers has opened", closed)
		}
		w.set(func() { w.down = true })
		time.Sleep(10 * time.Second)
		if closed := s.Usage(e).Closed; closed != s.times.life {
			t.Errorf("without Redis closed for %v, want the guess %v", closed, s.times.life)
		}
		w.set(func() { w.down = false })
		time.Sleep(10 * time.Second)
		if closed := s.Usage(e).Closed; closed != 0 {
			t.Errorf("closed for %v with Redis back", closed)
		}
		w.end()
	})
}

func TestUsageTellsWhenSomethingIsFree(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		limit := ratelimit.Limit{Name: "deployment:a", Most: ratelimit.Amounts{2, none, none}}
		w := newWorld(t, 1, limit, 1)
		s, e := w.replicas[0], w.entity[0]
		w.request()
		w.work.Wait()
		if free := s.Usage(e).Free; free != [ratelimit.Dimensions]time.Duration{} {
			t.Errorf("one of two used, and yet %v", free)
		}
		time.Sleep(20 * time.Second)
		for range 3 {
			w.request()
			w.work.Wait()
		}
		if free := s.Usage(e).Free[ratelimit.Requests]; free < 38*time.Second || free > 42*time.Second {
			t.Errorf("free in %v, want about 40 s", free)
		}
		w.end()
	})
}
