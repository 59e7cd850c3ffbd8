package redis

import (
	"testing"
	"time"

	"github.com/nestor-gateway/nestor/ratelimit"
)

// free is how many slots a replica can have, at once. It gives them back.
func (d *desk) free(i int) (n int) {
	d.t.Helper()
	var ids []ratelimit.ID
	for {
		id, denial := d.take(i, 1)
		if denial != nil {
			break
		}
		ids = append(ids, id)
	}
	for _, id := range ids {
		d.stores[i].Settle(id, ratelimit.Amounts{1, 1})
	}
	return len(ids)
}

// What a replica held that is missing is free when nothing can give a sign of life of it any more, but for its share.
func TestSlotsOfAMissingReplicaAreFreeAfterTwoWindows(t *testing.T) {
	for policy, want := range map[ratelimit.Policy]int{ratelimit.Closed: 4, ratelimit.Share: 2} {
		at(t, 2, ratelimit.Amounts{none, none, 4}, func(t *testing.T, d *desk) {
			d.most, d.limits[0].Lost = none, policy
			for _, s := range d.stores {
				s.Declare(d.limits)
			}
			for range 4 {
				d.taken(0, 1)
			}
			d.gates[0].cut = true
			d.pass(2*ratelimit.Window-2*time.Second, 1)
			if n := d.free(1); n != 0 {
				t.Errorf("policy %v: %d of 4 slots are free that a replica may hold which is missing", policy, n)
			}
			d.pass(3*time.Second, 1)
			if n := d.free(1); n != want {
				t.Errorf("policy %v: %d of 4 slots are free after two windows, want %d", policy, n, want)
			}
		})
	}
}

func TestSlotsThatOthersHeldAreShownForSomeSeconds(t *testing.T) {
	at(t, 2, ratelimit.Amounts{none, none, 4}, func(t *testing.T, d *desk) {
		d.most = none
		d.pass(time.Second)
		id := d.taken(0, 1)
		d.lease(0, 0) // which tells of it
		mine := d.taken(1, 1)
		held := func() int64 { return d.stores[1].Usage(0).Used[ratelimit.Parallel] }
		if n := held(); n != 2 {
			t.Errorf("%d are in flight, want one at each replica", n)
		}
		d.stores[0].Settle(id, ratelimit.Amounts{1, 1})
		d.stores[1].Settle(mine, ratelimit.Amounts{1, 1})
		d.pass(5 * time.Second)
		if n := held(); n != 0 {
			t.Errorf("%d are in flight when all is at rest", n)
		}
	})
}

// What one replica has used, another can have soon after.
func TestUnusedSlotsGoToTheReplicaThatNeedsThem(t *testing.T) {
	at(t, 2, ratelimit.Amounts{none, none, 4}, func(t *testing.T, d *desk) {
		d.most = none
		d.pass(2 * time.Second)
		for turn := range 6 {
			if n := d.free(turn % 2); n != 4 {
				t.Errorf("turn %d: %d of 4 slots are free, and none is used", turn, n)
			}
			for range 6 { // as Store.loop does
				d.pass(250 * time.Millisecond)
				for _, s := range d.stores {
					s.tick()
					s.refill()
				}
			}
		}
	})
}
