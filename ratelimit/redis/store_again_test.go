package redis

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nestor-gateway/nestor/ratelimit"
)

// rounds are some seconds of a replica's loop.
func (d *desk) rounds(i int) {
	for range 8 {
		d.stores[i].tick()
		d.stores[i].refill()
		d.pass(time.Second)
	}
}

// Redis remembers a limit for longer than the replica that forgot it.
func TestALimitThatIsDeclaredAgainIsNotTakenForALoss(t *testing.T) {
	at(t, 2, requests(40), func(t *testing.T, d *desk) {
		s := d.stores[0]
		id := d.taken(0, 2)
		s.Settle(id, ratelimit.Amounts{2, 0, 0})
		d.rounds(0)
		d.pass(3 * time.Minute)
		s.Declare(d.limits[1:])
		d.pass(11 * time.Minute)
		d.rounds(0)
		s.Declare(d.limits[1:])
		if s.names["a"] != nil {
			t.Fatal("it is not forgotten")
		}
		before := s.fleets[0].epoch
		e := s.Declare(d.limits)[0]
		if _, denial := d.take(0, 1, e); denial != nil {
			t.Errorf("denied: %v", denial)
		}
		if s.fleets[0].epoch != before {
			t.Error("an epoch began for the whole fleet")
		}
	})
}

func TestAStoreThatIsClosedWhileItAsksAdmitsNothing(t *testing.T) {
	at(t, 1, requests(40), func(t *testing.T, d *desk) {
		g, s := d.gates[0], d.stores[0]
		g.hold = make(chan struct{})
		answer := make(chan *ratelimit.Denial)
		go func() {
			_, denial := d.take(0, 1)
			answer <- denial
		}()
		synctest.Wait()
		closed := make(chan error)
		go func() { closed <- s.Close() }()
		synctest.Wait()
		g.release()
		if denial := <-answer; denial == nil {
			t.Error("it is admitted after the store was closed")
		}
		if err := <-closed; err != nil {
			t.Error(err)
		}
		for _, l := range d.model.entities[s.entities[0].key].leases {
			if l.amounts != [2]int64{} {
				t.Errorf("%v are leased to a replica that has left", l.amounts)
			}
		}
	})
}

func TestAReplicaIsReadyWithItsSeat(t *testing.T) {
	at(t, 1, requests(40), func(t *testing.T, d *desk) {
		d.join(false)
		began, seated := time.Now(), make(chan error)
		go func() { seated <- d.stores[1].Ready(context.Background()) }()
		d.beat(1)
		synctest.Wait()
		select {
		case err := <-seated:
			t.Fatalf("ready (%v) before the other replica knows of it", err)
		default:
		}
		go d.pass(2 * time.Second)
		if err := <-seated; err != nil || time.Since(began) > 2*time.Second {
			t.Errorf("after %v: %v", time.Since(began), err)
		}
		d.taken(1, 1)
	})
}

func TestAReplicaIsNotReadyWithoutRedis(t *testing.T) {
	at(t, 1, requests(40), func(t *testing.T, d *desk) {
		d.join(false)
		d.gates[1].cut = true
		failed := make(chan error)
		go func() { failed <- d.stores[1].Ready(context.Background()) }()
		d.beat(1)
		if err := <-failed; err == nil {
			t.Error("ready")
		}
		d.join(false)
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if err := d.stores[2].Ready(ctx); err == nil {
			t.Error("ready though nothing was asked")
		}
	})
}
