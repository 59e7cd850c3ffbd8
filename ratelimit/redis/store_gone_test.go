package redis

import (
	"testing"
	"time"

	"github.com/nestor-gateway/nestor/ratelimit"
)

// requests are limited alone, and three replicas share them.
func requestsOnly(n int64) ratelimit.Limit {
	limit := shared
	limit.Most = ratelimit.Amounts{n, none, none}
	return limit
}

func TestWhatAReplicaMayUseThatIsCutOffAloneIsSetAside(t *testing.T) {
	worlds(t, 3, func(t *testing.T, seed uint64) {
		w := newWorld(t, seed, requestsOnly(240), 3)
		w.run(time.Minute, func(int) {})
		lone := w.replicas[0]
		w.cut(0, true)
		w.run(4*time.Minute, func(int) { w.burst(10) })
		if n := w.admitted(4*time.Minute, lone); n < 70 || n > 80 {
			t.Errorf("it admitted %d in the last minute of its share, want 80 less what is lost at the edges", n)
		}
		if n := w.admitted(4*time.Minute, nil); n < 230 {
			t.Errorf("all admitted %d in that minute, want 240", n)
		}
		w.cut(0, false)
		back := time.Since(w.began) + time.Minute
		w.run(3*time.Minute, func(int) { w.burst(10) })
		if n := w.admitted(back, nil); n < 2*240*97/100 {
			t.Errorf("%d admitted in two minutes after it was back, want %d", n, 2*240)
		}
		w.end()
		w.check()
	})
}

func TestAReplicaThatIsCutOffAloneClosesAtLast(t *testing.T) {
	worlds(t, 2, func(t *testing.T, seed uint64) {
		w := newWorld(t, seed, requestsOnly(240), 3)
		lone := w.replicas[0]
		w.cut(0, true)
		cut := time.Since(w.began)
		w.run(14*time.Minute, func(int) {})
		if w.admitted(cut+9*time.Minute, lone) == 0 {
			t.Error("it closed early")
		}
		if n := w.admitted(cut+10*time.Minute, lone); n > 0 {
			t.Errorf("it admitted %d later than 10 minutes after Redis' last answer", n)
		}
		if n := w.admitted(cut+12*time.Minute, nil); n < 2*240*97/100 {
			t.Errorf("the others admitted %d in the last two minutes, want %d", n, 2*240)
		}
		w.end()
		w.check()
	})
}

func TestWhatADeadReplicaMightUseIsFreeWhenItIsKnownToBeGone(t *testing.T) {
	worlds(t, 3, func(t *testing.T, seed uint64) {
		w := newWorld(t, seed, requestsOnly(240), 3)
		w.run(time.Minute, func(int) {})
		w.crash(w.rand.IntN(3))
		died := time.Since(w.began)
		w.run(2*time.Minute, func(int) {})
		if n := w.admitted(died+time.Minute, nil); n < 240*97/100 {
			t.Errorf("%d admitted in the second minute after, want 97 %% of 240", n)
		}
		w.end()
		w.check()
	})
}

func TestTheOnlyReplicaIsReplacedAtOnce(t *testing.T) {
	worlds(t, 4, func(t *testing.T, seed uint64) {
		w := newWorld(t, seed, requestsOnly(240), 1)
		w.run(5*time.Second, func(int) {})
		before := w.admitted(0, nil)
		w.crash(0)
		died := time.Since(w.began)
		w.run(20*time.Second, func(int) { w.burst(10) })
		if n := w.admitted(died, nil); before > 120 || before+n < 200 {
			t.Errorf("%d admitted before and %d in 20 s after, want the limit of 240 used but for what the dead one had leased", before, n)
		}
		w.end()
		w.check()
	})
}

func TestWhatADeadReplicaMightUseStaysSetAsideWhileNobodyKnows(t *testing.T) {
	worlds(t, 2, func(t *testing.T, seed uint64) {
		w := newWorld(t, seed, requestsOnly(240), 3)
		w.set(func() { w.silent = true })
		w.run(time.Minute, func(int) {})
		w.crash(0)
		died := time.Since(w.began)
		w.run(10*time.Minute, func(int) {})
		if n := w.admitted(died+9*time.Minute, nil); n < 150 || n > 160 {
			t.Errorf("%d admitted in the tenth minute after, want two thirds of 240", n)
		}
		w.run(3*time.Minute, func(int) {})
		if n := w.admitted(died+12*time.Minute, nil); n < 240*97/100 {
			t.Errorf("%d admitted in the thirteenth minute after, want 97 %% of 240", n)
		}
		w.end()
		w.check()
	})
}

func TestAFailoverAndBackMintsNothing(t *testing.T) {
	worlds(t, 4, func(t *testing.T, seed uint64) {
		w := newWorld(t, seed, requestsOnly(240), 3)
		for range 6 {
			w.run(time.Duration(5+w.rand.IntN(20))*time.Second, func(int) {})
			back := w.model.failOver()
			w.run(time.Duration(1+w.rand.IntN(6))*time.Second, func(int) { w.burst(30) })
			if w.rand.IntN(2) == 0 {
				w.crash(w.rand.IntN(3)) // the first server has never heard of who takes its place
				w.run(3*time.Second, func(int) {})
			}
			back()
			w.run(20*time.Second, func(int) { w.burst(30) })
		}
		w.end()
		w.check()
	})
}

// A step back by about as much as time has passed since is the one that nobody can notice; it is not tried here.
func TestATimeThatStepsWhileNobodyIsThereMintsNothing(t *testing.T) {
	for _, step := range []time.Duration{-time.Hour, 0, time.Hour} {
		worlds(t, 2, func(t *testing.T, seed uint64) {
			w := newWorld(t, seed, requestsOnly(240), 3)
			w.run(30*time.Second, func(int) { w.burst(10) })
			for i := range w.replicas {
				w.cut(i, true)
			}
			w.run(time.Duration(10+w.rand.IntN(120))*time.Second, func(int) { w.burst(10) })
			w.set(func() { w.step += step })
			w.crash(2) // and who takes its place reaches Redis, alone
			w.run(4*time.Minute, func(int) { w.burst(10) })
			w.cut(0, false)
			w.cut(1, false)
			w.run(2*time.Minute, func(int) { w.burst(10) })
			w.end()
			w.check()
		})
	}
}

func TestWhatIsLeasedGivesWayToWhatIsSetAside(t *testing.T) {
	now := time.Hour
	m := newModel(func() int64 { return now.Microseconds() })
	clock := func() time.Duration { return now }
	a := newStore(m, 1, Options{Now: clock, Fresh: true})
	b := newStore(m, 1, Options{Now: clock, Fresh: true})
	e := b.entity(b.Declare([]ratelimit.Limit{requestsOnly(60)})[0])
	meet := func(s *Store) {
		if err := s.fleets[0].ensure(t.Context(), true); err != nil {
			t.Fatal(err)
		}
	}
	for range 3 {
		meet(a)
		meet(b)
	}
	e.wants.need[0], e.wants.waiting[0] = 40, 40
	for range 4 { // the lease is prolonged, and not used
		b.fleets[0].exchange(t.Context(), []*entity{e})
		if want := int64(40); now < time.Hour+b.times.life && e.left[0] != want {
			t.Fatalf("%d are leased after %s, want %d", e.left[0], now-time.Hour, want)
		}
		e.wants.need[0], e.wants.waiting[0] = 0, 0
		now += 2 * time.Second
		meet(b)
	}
	if e.left[0] != 30 {
		t.Errorf("%d are still leased, want half of 60: the rest is the other's, who is missing", e.left[0])
	}
}
