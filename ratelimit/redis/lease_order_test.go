package redis

import (
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"
)

// TestNothingIsMintedInAnyOrder lets time pass, in steps of any size, while calls of the loop and of reservations
// wait to be run or for their answer: a replica then stands still in the middle of them.
func TestNothingIsMintedInAnyOrder(t *testing.T) {
	admitted := 0
	for seed := range uint64(60) {
		at(t, 2, requests(20), func(t *testing.T, d *desk) {
			r := rand.New(rand.NewPCG(seed, 3))
			for range 250 {
				d.something(r)
				synctest.Wait()
				d.mu.Lock()
				d.check()
				d.mu.Unlock()
			}
			for _, g := range d.gates {
				g.release()
			}
			synctest.Wait()
			admitted += len(d.ledger)
		})
	}
	if admitted < 60*20 {
		t.Errorf("only %d admitted", admitted)
	}
}

func (g *gate) release() {
	if hold := g.hold; hold != nil {
		g.hold = nil
		close(hold)
	}
}

func (d *desk) something(r *rand.Rand) {
	i := r.IntN(len(d.stores))
	s, g := d.stores[i], d.gates[i]
	switch r.IntN(10) {
	case 0, 1, 2:
		n := 1 + r.Int64N(6)
		go func() { _, _ = d.take(i, n) }()
	case 3:
		d.mu.Lock()
		defer d.mu.Unlock()
		if n := len(d.ledger); n > 0 {
			u := &d.ledger[r.IntN(n)]
			for _, s := range d.stores {
				if s.Refund(u.id) {
					u.n = 0
				}
			}
		}
	case 4, 5:
		go func() {
			s.tick()
			s.refill()
		}()
	case 6:
		if g.hold == nil {
			g.hold, g.early = make(chan struct{}), r.IntN(2) == 0
		}
	case 7, 8:
		g.release()
	default:
		most := []time.Duration{time.Millisecond, 300 * time.Millisecond, 3 * time.Second, 70 * time.Second}[r.IntN(4)]
		time.Sleep(time.Duration(r.Int64N(int64(most))))
	}
}
