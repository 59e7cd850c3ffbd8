package ratelimit_test

import (
	"testing"
	"time"

	"github.com/nestor-gateway/nestor/ratelimit"
)

// holds compares what every entity holds.
func (k *keeper) holds(want int64) {
	k.Helper()
	for i, e := range k.entities {
		if got := k.Usage(e).Used[ratelimit.Parallel]; got != want {
			k.Fatalf("entity %d holds %d, want %d", i, got, want)
		}
	}
}

// Nobody could renew what an earlier process held; what it held at its end may still be in use, however long
// nobody was there.
func TestWhatAnEarlierProcessHeldGetsALifeAnew(t *testing.T) {
	most := []ratelimit.Amounts{{none, none, 2}, {20, none, none}}
	for _, away := range []time.Duration{0, time.Minute, 5 * time.Minute, time.Hour} {
		k := newKeeper(t, most...)
		k.life = 2 * time.Minute
		k.admitted(ratelimit.Amounts{1, 10, 1}, k.entities...)
		renewed := k.admitted(ratelimit.Amounts{1, 10, 1}, k.entities...)
		k.clock.Advance(4 * time.Minute)
		k.Close()
		k.clock.Advance(away)
		k.open(false, most...)
		k.holds(2)
		k.denied(ratelimit.Amounts{1, 10, 1}, k.entities...)
		k.clock.Advance(k.life - time.Millisecond)
		k.holds(2)
		k.Renew(renewed, k.life)
		k.clock.Advance(time.Millisecond)
		k.holds(1)
		k.clock.Advance(k.life - time.Millisecond)
		k.holds(0)
	}
}

func TestARestartForgetsNoRenewal(t *testing.T) {
	most := []ratelimit.Amounts{{none, none, 2}, {20, none, none}}
	k := newKeeper(t, most...)
	id := k.admitted(ratelimit.Amounts{1, 10, 1}, k.entities...)
	k.clock.Advance(4 * time.Minute)
	k.Renew(id, 5*time.Minute)
	for range 3 {
		k.reopen(most...)
		k.clock.Advance(time.Minute)
	}
	k.clock.Advance(2*time.Minute - time.Millisecond)
	k.holds(1)
	k.clock.Advance(time.Millisecond)
	k.holds(0)
}

func TestAClosedStoreRenewsNothing(t *testing.T) {
	k := newKeeper(t, ratelimit.Amounts{5, none, none})
	id := k.admitted(ratelimit.Amounts{1, 10, 1}, k.entities...)
	k.Close()
	if k.Renew(id, time.Hour) {
		t.Fatal("a closed store renews")
	}
}
