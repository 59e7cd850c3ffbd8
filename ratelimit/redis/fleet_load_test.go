package redis

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nestor-gateway/nestor/ratelimit"
)

func TestAUsedUpLimitAsksLittle(t *testing.T) {
	worlds(t, 1, func(t *testing.T, seed uint64) {
		limit := shared
		limit.Most = requests(240)
		w := newWorld(t, seed, limit, 3)
		w.run(time.Minute, func(int) {})
		synctest.Wait()
		before, requests := w.model.calls, w.ids
		w.run(2*time.Minute, func(int) {})
		synctest.Wait()
		calls := float64(w.model.calls-before) - 3*120 // the beats
		w.end()
		if each := calls / float64(w.ids-requests); each > 0.5 {
			t.Errorf("%.2f scripts for a request, want 0.5 at most", each)
		}
		if admitted := w.check(); admitted*100 < 97*3*240 {
			t.Errorf("%d admitted, want 97 %% of %d", admitted, 3*240)
		}
	})
}

// A crew is replicas with their loops, a few milliseconds from a Redis that never fails.
type crew struct {
	*model
	rand   *rand.Rand
	stores []*Store
	began  time.Time
	work   sync.WaitGroup
	ids    uint64

	mu   sync.Mutex
	book ledger
}

func (c *crew) run(ctx context.Context, calls []*call) {
	time.Sleep(3 * time.Millisecond)
	c.model.run(ctx, calls)
	c.mu.Lock()
	for _, one := range calls {
		c.book.note(one)
	}
	c.mu.Unlock()
	time.Sleep(3 * time.Millisecond)
}

// crewed runs a test with replicas that share some limits.
func crewed(t *testing.T, replicas int, limits []ratelimit.Limit, test func(t *testing.T, c *crew)) {
	synctest.Test(t, func(t *testing.T) {
		c := &crew{rand: rand.New(rand.NewPCG(1, 1)), began: time.Now(), book: ledger{leases: map[any][2]int64{}}}
		c.model = newModel(func() int64 { return (time.Since(c.began) + 1000*time.Hour).Microseconds() })
		for i := range replicas {
			s := newStore(c, 1, Options{Fresh: i == 0})
			s.start()
			s.Declare(limits)
			c.stores = append(c.stores, s)
			time.Sleep(3 * time.Second)
		}
		all := c.stores
		test(t, c)
		for _, s := range all {
			_ = s.Close()
		}
	})
}

// request reserves at some replica, and settles after a time with the truth. It reports the moment of both.
func (c *crew) request(amounts ratelimit.Amounts, truth int64, takes time.Duration, admitted, settled func(at time.Duration)) {
	s, q := c.stores[c.rand.IntN(len(c.stores))], &ratelimit.Reservation{Amounts: amounts, Entities: []ratelimit.Entity{0}, Life: time.Hour}
	c.ids++
	binary.BigEndian.PutUint64(q.ID[:], c.ids)
	c.work.Go(func() {
		if _, denial := s.Reserve(context.Background(), q); denial != nil {
			return
		}
		c.mu.Lock()
		admitted(time.Since(c.began))
		c.mu.Unlock()
		time.Sleep(takes)
		c.mu.Lock()
		settled(time.Since(c.began))
		c.mu.Unlock()
		s.Settle(q.ID, ratelimit.Amounts{1, truth})
	})
}

// A ledger is what Redis granted, what it was told of use, and what it got back.
type ledger struct {
	leases                  map[any][2]int64 // by replica
	granted, used, returned [2]int64
	minted                  []string
}

// places in the arguments and in the reply of a refresh
const (
	keepArgument  = 19
	deltaArgument = 23
	extraReply    = 2
)

func (l *ledger) note(c *call) {
	if c.err != nil || c.script.name != "refresh" || c.reply[0] != int64(answered) && c.reply[0] != int64(same) {
		return
	}
	var next [2]int64
	for d := range next {
		used := int64(0)
		for i := deltaArgument; i < len(c.args); i += 3 {
			used += c.args[i+1+d].(int64)
		}
		keep, extra := c.args[keepArgument+d].(int64), c.reply[extraReply+d].(int64)
		back := l.leases[c.args[0]][d] - keep - used
		if back < 0 {
			l.minted = append(l.minted, fmt.Sprintf("%d of %s were used without a lease: %v", -back, ratelimit.Dimension(d), c.args))
		}
		l.used[d] += used
		l.granted[d] += max(0, extra)
		l.returned[d] += back + max(0, -extra)
		next[d] = keep + extra
	}
	l.leases[c.args[0]] = next
}

func TestGrantedIsUsedOrGivenBack(t *testing.T) {
	limits := []ratelimit.Limit{{Name: "a", Most: ratelimit.Amounts{240, 14000, none}}}
	crewed(t, 3, limits, func(t *testing.T, c *crew) {
		var used [2]int64
		for range 3 * 60 * 20 {
			asked, fate := c.rand.Int64N(100), c.rand.IntN(2)
			truth := asked
			if fate == 0 {
				truth = c.rand.Int64N(asked + 1)
			}
			c.request(ratelimit.Amounts{1, asked, 1}, truth, time.Duration(c.rand.IntN(2000))*time.Millisecond, func(time.Duration) {
				used[0], used[1] = used[0]+1, used[1]+truth
			}, func(time.Duration) {})
			time.Sleep(50 * time.Millisecond)
		}
		c.work.Wait()
		time.Sleep(15 * time.Second)
		synctest.Wait()
		b := &c.book
		for _, m := range b.minted {
			t.Error(m)
		}
		var outstanding [2]int64
		for _, l := range b.leases {
			outstanding[0], outstanding[1] = outstanding[0]+l[0], outstanding[1]+l[1]
		}
		for d := range used {
			if b.granted[d] != used[d]+b.returned[d]+outstanding[d] || used[d] == 0 || outstanding[d] != 0 {
				t.Errorf("%s: %d granted, %d used, %d given back, %d outstanding", ratelimit.Dimension(d), b.granted[d], used[d], b.returned[d], outstanding[d])
			}
		}
	})
}

func TestParallelLimitsHoldAcrossReplicas(t *testing.T) {
	limits := []ratelimit.Limit{{Name: "a", Most: ratelimit.Amounts{none, none, 10}}}
	crewed(t, 3, limits, func(t *testing.T, c *crew) {
		flying, most, total := 0, 0, 0
		for range 3 * 60 * 20 {
			c.request(ratelimit.Amounts{1, 1, 1}, 1, time.Duration(c.rand.IntN(2000))*time.Millisecond, func(time.Duration) {
				flying, total = flying+1, total+1
				most = max(most, flying)
			}, func(time.Duration) { flying-- })
			time.Sleep(50 * time.Millisecond)
		}
		c.work.Wait()
		if most > 10 || total < 3*60*5 {
			t.Errorf("%d at a time and %d in all, want 10 at a time at most and %d in all", most, total, 3*60*5)
		}
		synctest.Wait()
		for _, s := range c.stores {
			if held := s.entities[0].held; held != 0 {
				t.Errorf("%d are held at the end", held)
			}
		}
		time.Sleep(10 * time.Second)
		c.stores = c.stores[2:]
		most = 0
		for range 12 {
			c.request(ratelimit.Amounts{1, 1, 1}, 1, time.Second, func(time.Duration) { most++ }, func(time.Duration) {})
		}
		c.work.Wait()
		if most != 10 {
			t.Errorf("%d of 10 are free when nothing is held", most)
		}
	})
}

func TestOverrunsAreADebtOfAllReplicas(t *testing.T) {
	const limit = 12000
	limits := []ratelimit.Limit{{Name: "a", Most: ratelimit.Amounts{none, limit, none}}}
	crewed(t, 3, limits, func(t *testing.T, c *crew) {
		type use struct {
			at     time.Duration
			tokens int64
		}
		var uses, debts []use
		sum := func(all []use, from, to time.Duration) (n int64) {
			for i := len(all) - 1; i >= 0 && all[i].at > from; i-- {
				if all[i].at <= to {
					n += all[i].tokens
				}
			}
			return n
		}
		// What was used beyond a reservation counts for all when Redis was told and the leases of before have ended.
		const known = 4 * time.Second
		worst := int64(0)
		for range 4 * 60 * 20 {
			asked := 1 + c.rand.Int64N(50)
			truth := asked
			if c.rand.IntN(4) == 0 {
				truth += c.rand.Int64N(200)
			}
			c.request(ratelimit.Amounts{1, asked, 1}, truth, time.Duration(c.rand.IntN(3000))*time.Millisecond, func(at time.Duration) {
				uses = append(uses, use{at, asked})
				worst = max(worst, sum(uses, at-ratelimit.Window, at)+sum(debts, at-ratelimit.Window, at-known))
			}, func(at time.Duration) { debts = append(debts, use{at, truth - asked}) })
			time.Sleep(50 * time.Millisecond)
		}
		c.work.Wait()
		if worst > limit || worst < limit*9/10 {
			t.Errorf("%d tokens in a window, want %d at most, and nearly that", worst, limit)
		}
	})
}

func TestManyLimitsOfWhichFewAreUsedCostNothing(t *testing.T) {
	limits := make([]ratelimit.Limit, 10_000)
	for i := range limits {
		limits[i] = ratelimit.Limit{Name: fmt.Sprint("deployment:", i), Most: requests(60)}
	}
	crewed(t, 2, limits, func(t *testing.T, c *crew) {
		for range 20 {
			c.request(ratelimit.Amounts{1, 1, 1}, 1, time.Second, func(time.Duration) {}, func(time.Duration) {})
			time.Sleep(100 * time.Millisecond)
		}
		c.work.Wait()
		synctest.Wait()
		if n, _ := c.count(); n != 1 {
			t.Errorf("Redis knows %d limits, want the one that was used", n)
		}
		time.Sleep(2 * ratelimit.Window)
		synctest.Wait()
		_, before := c.count()
		time.Sleep(ratelimit.Window)
		synctest.Wait()
		if _, now := c.count(); now-before > 2*61 {
			t.Errorf("Redis was asked %d times in a minute in which nobody asked, want the beats alone", now-before)
		}
		for _, s := range c.stores {
			s.mu.Lock()
			if len(s.active) != 0 {
				t.Errorf("%d limits are still busy", len(s.active))
			}
			s.mu.Unlock()
		}
	})
}

func TestAReplicaThatStoodStillAdmitsNothingByWhatItKnew(t *testing.T) {
	for _, pause := range []time.Duration{time.Second, 2800 * time.Millisecond, 3100 * time.Millisecond, 30 * time.Second,
		61 * time.Second, 64 * time.Second, 130 * time.Second} {
		at(t, 2, requests(40), func(t *testing.T, d *desk) {
			// It is stopped when Redis has granted, and before it reads that.
			d.gates[0].hold = make(chan struct{})
			go func() { _, _ = d.take(0, 10) }()
			synctest.Wait()
			for end := time.Now().Add(pause); time.Now().Before(end); d.pass(min(time.Second, time.Until(end)), 1) {
				_, _ = d.take(1, 10)
			}
			d.gates[0].release()
			synctest.Wait()
			for range 70 {
				_, _ = d.take(0, 10)
				_, _ = d.take(1, 10)
				d.pass(time.Second)
			}
			if len(d.ledger) < 4 {
				t.Errorf("after %s: only %d admitted", pause, len(d.ledger))
			}
		})
	}
}
