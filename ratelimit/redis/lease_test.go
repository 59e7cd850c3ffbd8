package redis

import (
	"context"
	"encoding/binary"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nestor-gateway/nestor/ratelimit"
)

// A gate is between a replica and the model. It can hold answers up, lose what is asked, and keep a copy of it.
type gate struct {
	model *model
	hold  chan struct{} // until it is closed, answers wait
	early bool          // and what is asked too
	cut   bool
	mu    sync.Mutex
	last  *call
}

func (g *gate) run(ctx context.Context, calls []*call) {
	g.mu.Lock()
	cut, hold := g.cut, g.hold
	for _, c := range calls {
		if g.last = c; cut {
			c.err = errLost
		}
	}
	g.mu.Unlock()
	if cut {
		return
	}
	if hold != nil && g.early {
		<-hold
	}
	g.model.run(ctx, calls)
	if hold != nil && !g.early {
		<-hold
	}
}

// A desk is replicas without loops, so that they ask Redis only when the test has them do so, and the ledger.
type desk struct {
	t      *testing.T
	model  *model
	stores []*Store
	gates  []*gate
	most   int64
	ids    uint64
	limits []ratelimit.Limit
	ledger []took
	mu     sync.Mutex
}

type took struct {
	at time.Duration
	n  int64
	id ratelimit.ID
}

// at runs a test on some replicas that all know each other.
func at(t *testing.T, replicas int, most ratelimit.Amounts, test func(t *testing.T, d *desk)) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		d := &desk{t: t, most: most[0], limits: []ratelimit.Limit{
			{Name: "a", Most: most, Lost: ratelimit.Closed}, {Name: "b", Most: ratelimit.Amounts{1, none, none}}}}
		d.model = newModel(func() int64 { return (time.Since(began) + 1000*time.Hour).Microseconds() })
		for i := range replicas {
			d.join(i == 0)
			for range 3 {
				d.beat()
			}
		}
		test(t, d)
		d.check()
	})
}

func (d *desk) join(fresh bool) {
	g := &gate{model: d.model}
	s := newStore(g, 1, Options{Fresh: fresh})
	s.Declare(d.limits)
	d.stores, d.gates = append(d.stores, s), append(d.gates, g)
	d.t.Cleanup(func() { s.stop(); s.work.Wait() })
}

func (d *desk) beat(which ...int) {
	if which == nil {
		for i := range d.stores {
			which = append(which, i)
		}
	}
	for _, i := range which {
		_ = d.stores[i].fleets[0].ensure(context.Background(), true)
	}
}

// pass lets time pass, and the replicas beat.
func (d *desk) pass(t time.Duration, which ...int) {
	for end := time.Now().Add(t); time.Now().Before(end); {
		time.Sleep(min(time.Second, time.Until(end)))
		d.beat(which...)
	}
}

// take reserves so many requests at a replica, and as many tokens, of the first limit where none is named.
func (d *desk) take(i int, n int64, entities ...ratelimit.Entity) (ratelimit.ID, *ratelimit.Denial) {
	if entities == nil {
		entities = []ratelimit.Entity{0}
	}
	d.mu.Lock()
	d.ids++
	q := &ratelimit.Reservation{Amounts: ratelimit.Amounts{n, n, 1}, Entities: entities, Life: time.Hour}
	binary.BigEndian.PutUint64(q.ID[:], d.ids)
	d.mu.Unlock()
	_, denial := d.stores[i].Reserve(context.Background(), q)
	if denial == nil && slices.Contains(entities, 0) {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.ledger = append(d.ledger, took{time.Duration(time.Now().UnixNano()), n, q.ID})
	}
	return q.ID, denial
}

func (d *desk) taken(i int, n int64) ratelimit.ID {
	d.t.Helper()
	id, denial := d.take(i, n)
	if denial != nil {
		d.t.Fatalf("%d at replica %d are denied: %v", n, i, denial)
	}
	return id
}

func (d *desk) denied(i int, n int64) {
	d.t.Helper()
	if _, denial := d.take(i, n); denial == nil {
		d.t.Fatalf("%d at replica %d are admitted", n, i)
	}
}

// lease has a replica get a lease of so much, of which it uses nothing yet.
func (d *desk) lease(i int, n int64) {
	d.t.Helper()
	s := d.stores[i]
	e := s.entities[0]
	e.wants.waiting = [3]int64{n, 0, 0}
	if e.begin(); e.done == nil {
		d.t.Fatal("an exchange goes on")
	}
	s.exchange([]*entity{e})
	if e.left[0] < n {
		d.t.Fatalf("a lease of %d, want %d", e.left[0], n)
	}
}

// check wants no window with more than the limit.
func (d *desk) check() {
	d.t.Helper()
	for _, first := range d.ledger {
		sum := int64(0)
		for _, e := range d.ledger {
			if e.at >= first.at && e.at < first.at+ratelimit.Window {
				sum += e.n
			}
		}
		if sum > d.most {
			d.t.Fatalf("%d admitted in a window, want %d at most: %v", sum, d.most, d.ledger)
		}
	}
}

func requests(n int64) ratelimit.Amounts { return ratelimit.Amounts{n, none, none} }

func TestALeaseOfADeadReplicaCountsFromItsEnd(t *testing.T) {
	at(t, 2, requests(40), func(t *testing.T, d *desk) {
		d.lease(0, 10)
		d.pass(2800 * time.Millisecond)
		d.gates[0].cut = true
		d.taken(0, 10) // and it dies
		d.taken(1, 30)
		d.pass(57*time.Second, 1)
		for range 40 {
			d.pass(100*time.Millisecond, 1)
			_, _ = d.take(1, 10)
		}
		if d.check(); len(d.ledger) != 6 {
			t.Errorf("%d admitted, want all of the limit when those of the dead are free", len(d.ledger))
		}
	})
}

func TestALeaseThatHasEndedAdmitsNothing(t *testing.T) {
	at(t, 2, requests(40), func(t *testing.T, d *desk) {
		d.lease(0, 10)
		d.gates[0].cut = true
		d.pass(65*time.Second, 1)
		d.taken(1, 40)
		d.denied(0, 10)
	})
}

func TestALeaseThatNobodyUsedIsReportedAndGivenBack(t *testing.T) {
	at(t, 2, requests(10), func(t *testing.T, d *desk) {
		if _, denial := d.take(0, 1, 1); denial != nil {
			t.Fatal(denial)
		}
		if _, denial := d.take(0, 1, 0, 1); denial == nil {
			t.Fatal("want the second limit to deny, and so the first to be leased in vain")
		}
		d.model.flush()
		d.beat()
		d.beat()
		_, _ = d.take(1, 10)
		_, _ = d.take(0, 1)
		d.check()
		for range 3 {
			time.Sleep(3 * time.Second)
			d.stores[0].tick()
			d.stores[0].refill()
		}
		if l := d.model.entities[d.stores[0].entities[0].key].leases[d.gates[0].last.args[0].(string)]; l.amounts != [2]int64{} {
			t.Errorf("%v are leased that nobody uses", l.amounts)
		}
	})
}

func TestAnOverrunWhileRedisIsAskedIsPaid(t *testing.T) {
	at(t, 1, ratelimit.Amounts{none, 100, none}, func(t *testing.T, d *desk) {
		d.most = none
		first := d.taken(0, 50)
		d.gates[0].hold = make(chan struct{})
		var denial *ratelimit.Denial
		go func() { _, denial = d.take(0, 30) }()
		synctest.Wait()
		d.stores[0].Settle(first, ratelimit.Amounts{50, 90})
		d.gates[0].release()
		synctest.Wait()
		if denial == nil {
			t.Fatal("30 tokens are admitted where 90 of 100 are used")
		}
		d.taken(0, 10)
		d.denied(0, 1)
	})
}

func TestAnOverrunIsToldAtOnce(t *testing.T) {
	at(t, 2, ratelimit.Amounts{none, 100, none}, func(t *testing.T, d *desk) {
		d.most = none
		first := d.taken(0, 50)
		d.stores[0].refill()
		d.stores[0].Settle(first, ratelimit.Amounts{50, 80})
		d.stores[0].refill()
		d.denied(1, 21)
		d.taken(1, 10)
	})
}

func TestWhatIsGivenBackIsNotUsedBeforeRedisKnows(t *testing.T) {
	at(t, 2, requests(12), func(t *testing.T, d *desk) {
		id := d.taken(0, 8)
		d.lease(0, 1)
		d.pass(30 * time.Second)
		d.lease(0, 1)
		d.stores[0].Refund(id)
		d.ledger = nil
		d.taken(0, 8) // and it dies
		d.pass(31*time.Second, 1)
		_, _ = d.take(1, 8)
	})
}

func TestSlotsOfALapseAreAskedForAnew(t *testing.T) {
	at(t, 2, ratelimit.Amounts{none, none, 2}, func(t *testing.T, d *desk) {
		d.most = none
		for _, id := range []ratelimit.ID{d.taken(0, 1), d.taken(0, 1)} {
			d.stores[0].Settle(id, ratelimit.Amounts{1, 1})
		}
		d.pass(6*time.Second, 1)
		d.model.fleets["nestor:rl:{0}"].replicas[d.gates[0].last.args[0].(string)].parted = true // as if it were gone
		d.taken(1, 1)
		d.taken(1, 1)
		d.beat(0)
		d.denied(0, 1)
	})
}

func TestOneWhoDoesNotLiveGetsNothing(t *testing.T) {
	at(t, 2, requests(10), func(t *testing.T, d *desk) {
		d.taken(0, 1)
		d.pass(6*time.Second, 1)
		s := d.stores[0]
		e := s.entities[0]
		e.wants.waiting[0] = 5
		ok := s.fleets[0].refresh(context.Background(), []*entity{e})
		if ok || e.room(ratelimit.Requests, s.now()) != 0 {
			t.Fatalf("%d are leased to one who has not said that it lives", e.left[0])
		}
	})
}

func TestAnEvictedEntityIsNotTakenForNew(t *testing.T) {
	at(t, 2, requests(10), func(t *testing.T, d *desk) {
		d.taken(0, 9)
		d.model.evict(d.stores[0].entities[0].key)
		d.denied(1, 9)
		d.beat()
		d.beat()
		d.denied(1, 9)
		d.pass(time.Second)
		d.taken(1, 1)
	})
}

func TestAServerThatKnowsTheScriptsIsNotTakenForTheSame(t *testing.T) {
	at(t, 2, requests(10), func(t *testing.T, d *desk) {
		d.taken(0, 9)
		// A failover and back: the first server has lost the last writes.
		d.model.run_ = newRun()
		clear(d.model.entities)
		d.denied(1, 9)
		d.beat()
		d.beat()
		d.denied(1, 9)
		d.pass(time.Second)
		d.taken(1, 1)
	})
}

func TestAnUnansweredRequestIsSentAgainAtAnyTime(t *testing.T) {
	at(t, 1, requests(10), func(t *testing.T, d *desk) {
		epoch := d.stores[0].fleets[0].epoch
		d.gates[0].cut = true
		d.denied(0, 1)
		d.pass(5 * time.Second)
		d.gates[0].cut = false
		d.beat()
		d.taken(0, 1)
		if d.stores[0].fleets[0].epoch != epoch {
			t.Error("it took another epoch")
		}
	})
}

func TestAMessageOfAnEarlierEpochChangesNothing(t *testing.T) {
	at(t, 2, requests(10), func(t *testing.T, d *desk) {
		d.taken(0, 5)
		old := new(*d.gates[0].last)
		d.model.flush()
		d.beat()
		d.beat()
		d.taken(1, 4)
		d.model.run(context.Background(), []*call{old})
		if old.reply[0] != int64(stranger) {
			t.Errorf("it is answered %v", old.reply)
		}
		d.denied(1, 2)
	})
}

func TestAReplicaThatOthersDoNotKnowGetsNothing(t *testing.T) {
	at(t, 1, requests(10), func(t *testing.T, d *desk) {
		d.join(false)
		d.beat(1)
		_, _ = d.take(1, 10)
		d.model.flush()
		d.beat(0)
		d.beat(0)
		_, _ = d.take(0, 10)
	})
}

func TestClocksAreNotLearntFromAnAnswerThatCameLate(t *testing.T) {
	at(t, 0, requests(10), func(t *testing.T, d *desk) {
		d.join(true)
		d.gates[0].hold = make(chan struct{})
		go d.beat()
		synctest.Wait()
		time.Sleep(30 * time.Second) // the process stands still
		d.gates[0].release()
		synctest.Wait()
		d.taken(0, 10)
		d.pass(ratelimit.Window + time.Second)
		d.taken(0, 10)
	})
}
