package redis

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nestor-gateway/nestor/ratelimit"
)

// A wire is between a replica and the model. It takes time, and messages get lost on it, before or
// after they have been run, or arrive twice.
type wire struct {
	world *world
	rand  *rand.Rand
	cut   bool
	deaf  bool // what is sent arrives, but no answer
}

var errLost = errors.New("lost")

func (w *wire) run(ctx context.Context, calls []*call) {
	w.world.mu.Lock()
	kind, delay, down := w.rand.Float64(), time.Duration(w.rand.IntN(20))*time.Millisecond, w.world.down || w.cut
	loss, deaf := w.world.loss, w.deaf
	w.world.mu.Unlock()
	fail := func() {
		<-ctx.Done()
		for _, c := range calls {
			c.err = errLost
		}
	}
	time.Sleep(delay)
	switch {
	case down || kind < loss:
		fail()
		return
	case kind < 2*loss: // run, at last, though nobody waits any more
		late := clones(calls)
		w.world.late.Go(func() {
			time.Sleep(delay * 20)
			w.world.model.run(context.Background(), late)
		})
		fail()
		return
	case kind < 3*loss:
		w.world.model.run(ctx, clones(calls))
	}
	w.world.model.run(ctx, calls)
	if deaf || kind > 1-loss {
		fail()
	}
}

func clones(calls []*call) []*call {
	out := make([]*call, len(calls))
	for i, c := range calls {
		out[i] = new(*c)
	}
	return out
}

// world is replicas that share a limit, what befalls them, and the account of what they admit.
type world struct {
	t     *testing.T
	rand  *rand.Rand
	model *model
	limit ratelimit.Limit
	ids   uint64
	work  sync.WaitGroup // requests
	late  sync.WaitGroup // messages that nobody waits for any more

	mu       sync.Mutex
	down     bool
	loss     float64
	step     time.Duration
	began    time.Time
	replicas []*Store
	idle     int // the replica that gets no requests but its first; -1 for none
	entity   []ratelimit.Entity
	uses     []*usage
	dead     map[string]bool
	silent   bool // nobody can say who is dead
	asked    int  // how often that was asked
}

type usage struct {
	at     time.Duration
	by     *Store
	tokens int64
	none   bool
}

func newWorld(t *testing.T, seed uint64, limit ratelimit.Limit, replicas int) *world {
	w := &world{t: t, rand: rand.New(rand.NewPCG(seed, 7)), limit: limit, began: time.Now(), idle: -1, dead: map[string]bool{}}
	w.model = newModel(func() int64 {
		w.mu.Lock()
		defer w.mu.Unlock()
		return (time.Since(w.began) + w.step + 1000*time.Hour).Microseconds()
	})
	for i := range replicas {
		w.start(i == 0)
		time.Sleep(2 * time.Second)
	}
	return w
}

func (w *world) start(fresh bool) {
	s := newStore(&wire{world: w, rand: rand.New(rand.NewPCG(w.rand.Uint64(), 1))}, 1,
		Options{Fresh: fresh, Gone: w.gone})
	s.start()
	w.replicas = append(w.replicas, s)
	w.entity = append(w.entity, s.Declare([]ratelimit.Limit{w.limit})[0])
}

// gone is what can be found out about a replica: often nothing, and then it takes a while.
func (w *world) gone(ctx context.Context, r Replica) bool {
	w.mu.Lock()
	w.asked++
	dead, known := w.dead[r.ID], !w.silent && w.asked%3 > 0
	w.mu.Unlock()
	if !known {
		<-ctx.Done()
	}
	return dead && known
}

// crash ends a replica that says nothing; another takes its place.
func (w *world) crash(i int) {
	w.replicas[i].stop()
	w.replicas[i].work.Wait()
	w.set(func() { w.dead[w.replicas[i].id] = true })
	w.replicas, w.entity = append(w.replicas[:i], w.replicas[i+1:]...), append(w.entity[:i], w.entity[i+1:]...)
	w.start(false)
}

func (w *world) request() {
	i := w.rand.IntN(len(w.replicas))
	if i == w.idle {
		return
	}
	s, q := w.replicas[i], &ratelimit.Reservation{Amounts: ratelimit.Amounts{1, w.rand.Int64N(100), 1}, Life: 5 * time.Minute}
	q.Entities = []ratelimit.Entity{w.entity[i]}
	w.ids++
	binary.BigEndian.PutUint64(q.ID[:], w.ids)
	fate, truth, takes := w.rand.IntN(10), w.rand.Int64N(q.Amounts[1]+1), time.Duration(w.rand.IntN(4000))*time.Millisecond
	w.work.Go(func() {
		if _, denial := s.Reserve(context.Background(), q); denial != nil {
			return
		}
		w.mu.Lock()
		u := &usage{at: time.Since(w.began), by: s, tokens: q.Amounts[1]}
		w.uses = append(w.uses, u)
		w.mu.Unlock()
		time.Sleep(takes)
		w.mu.Lock()
		defer w.mu.Unlock()
		switch {
		case fate == 0:
			if s.Refund(q.ID) {
				u.none = true
			}
		case fate < 8:
			if s.Settle(q.ID, ratelimit.Amounts{1, truth}) {
				u.tokens = truth
			}
		}
	})
}

// check judges the account: at every end of an interval of a window.
func (w *world) check() (admitted int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var requests, tokens int64
	first := 0
	for _, u := range w.uses {
		if u.none {
			continue
		}
		admitted++
		requests, tokens = requests+1, tokens+u.tokens
		for ; w.uses[first].at <= u.at-ratelimit.Window; first++ {
			if old := w.uses[first]; !old.none {
				requests, tokens = requests-1, tokens-old.tokens
			}
		}
		if requests > w.limit.Most[0] || tokens > w.limit.Most[1] {
			w.t.Fatalf("%d requests and %d tokens in the minute that ends at %s", requests, tokens, u.at)
		}
	}
	return admitted
}

// admitted is how many requests were admitted from a time on, by one replica or, with nil, by all.
func (w *world) admitted(since time.Duration, by *Store) (n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, u := range w.uses {
		if u.at >= since && !u.none && (by == nil || u.by == by) {
			n++
		}
	}
	return n
}

// cut cuts a replica off from Redis, or ends that.
func (w *world) cut(i int, cut bool) {
	w.set(func() { w.replicas[i].server.(*wire).cut = cut })
}

func (w *world) end() {
	w.work.Wait()
	for _, s := range w.replicas {
		_ = s.Close()
	}
	w.late.Wait()
}

// run lets time pass under load; what befalls is drawn each second.
func (w *world) run(d time.Duration, befalls func(second int)) {
	for second := range int(d / time.Second) {
		befalls(second)
		for range 20 {
			w.request()
			time.Sleep(50 * time.Millisecond)
		}
	}
}

func (w *world) set(change func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	change()
}

var shared = ratelimit.Limit{Name: "deployment:a", Most: ratelimit.Amounts{240, 14000, none}}

// worlds runs a test with several seeds, and with ten times as many where tests may take long.
func worlds(t *testing.T, n int, test func(t *testing.T, seed uint64)) {
	if os.Getenv("NESTOR_TEST_LONG") != "" {
		n *= 10
	}
	for seed := range uint64(n) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { test(t, seed) })
		})
	}
}

func TestALimitIsUsedUpAndNeverExceeded(t *testing.T) {
	worlds(t, 3, func(t *testing.T, seed uint64) {
		limit := shared
		limit.Most[ratelimit.Tokens] = none
		w := newWorld(t, seed, limit, 3)
		w.run(5*time.Minute, func(int) {})
		w.end()
		if admitted := w.check(); admitted*100 < 97*5*240 {
			t.Errorf("%d admitted, want 97 %% of %d", admitted, 5*240)
		}
	})
}

// burst makes as many requests at once.
func (w *world) burst(n int) {
	for range n {
		w.request()
	}
}

func TestACrashLeavesTheLeaseCharged(t *testing.T) {
	worlds(t, 4, func(t *testing.T, seed uint64) {
		limit := shared
		limit.Most = ratelimit.Amounts{600, none, none}
		w := newWorld(t, seed, limit, 2)
		// A replica dies while it uses up its lease; what it leaves is asked for as soon as it is free.
		for second := range 240 {
			for range 20 {
				w.burst(3)
				time.Sleep(50 * time.Millisecond)
			}
			if second%3 == 2 {
				w.crash(w.rand.IntN(2))
			}
		}
		w.end()
		w.check()
	})
}

func TestALeaseIsNotUsedAfterItsEnd(t *testing.T) {
	worlds(t, 4, func(t *testing.T, seed uint64) {
		limit := shared
		limit.Most, limit.Lost = ratelimit.Amounts{600, none, none}, ratelimit.Closed
		w := newWorld(t, seed, limit, 2)
		w.run(3*time.Second, func(int) {})
		// One replica is cut off with a lease and not asked; the other uses up the limit, and then the first is asked.
		w.set(func() { w.replicas[0].server.(*wire).cut = true })
		w.idle = 0
		w.run(25*time.Second, func(int) { w.burst(40) })
		w.idle = 1
		w.burst(400)
		time.Sleep(10 * time.Second)
		w.idle = 0
		w.run(40*time.Second, func(int) { w.burst(200) })
		w.set(func() { w.replicas[0].server.(*wire).cut = false })
		w.end()
		if used := w.check(); used < 600 {
			t.Errorf("%d admitted, want the limit used up", used)
		}
	})
}

func TestNothingThatBefallsMints(t *testing.T) {
	worlds(t, 5, func(t *testing.T, seed uint64) {
		w := newWorld(t, seed, shared, 3)
		w.set(func() { w.loss = 0.02 })
		until := -1
		cut, deaf := map[*Store]int{}, map[*Store]int{}
		w.run(8*time.Minute, func(second int) {
			if second == until {
				w.set(func() { w.down = false })
			}
			for _, s := range w.replicas {
				w.set(func() {
					s.server.(*wire).cut, s.server.(*wire).deaf = second < cut[s], second < deaf[s]
				})
			}
			switch w.rand.IntN(160) {
			case 0:
				w.model.flush()
			case 1:
				w.set(func() { w.down = true })
				w.model.restart()
				until = second + 1 + w.rand.IntN(10)
			case 2:
				w.set(func() { w.down = true })
				until = second + 1 + w.rand.IntN(150)
			case 3, 4:
				w.crash(w.rand.IntN(len(w.replicas)))
			case 5:
				w.set(func() { w.step += time.Duration(w.rand.IntN(200)-100) * time.Second })
			case 6:
				cut[w.replicas[w.rand.IntN(3)]] = second + 1 + w.rand.IntN(200)
			case 7:
				deaf[w.replicas[w.rand.IntN(3)]] = second + 1 + w.rand.IntN(200)
			}
		})
		w.set(func() { w.down = false })
		w.end()
		if admitted := w.check(); admitted < 60 {
			t.Errorf("only %d admitted", admitted)
		} else {
			t.Log(admitted)
		}
	})
}
