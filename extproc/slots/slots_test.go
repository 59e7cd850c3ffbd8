package slots

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestAPlaceIsLookedForUntilThereIsOneOrTheTimeIsOver(t *testing.T) {
	for free, want := range map[time.Duration]time.Duration{
		0:                      10 * time.Millisecond,
		20 * time.Millisecond:  30 * time.Millisecond,
		150 * time.Millisecond: 150 * time.Millisecond,
		time.Hour:              150 * time.Millisecond,
	} {
		synctest.Test(t, func(t *testing.T) {
			begin, w := time.Now(), Waiters{}
			w.Await(t.Context(), func() bool { return time.Since(begin) < free })
			if got := time.Since(begin); got != want || w.number.Load() != 0 {
				t.Errorf("free after %v: waited %v, want %v; %d wait still", free, got, want, w.number.Load())
			}
		})
	}
}

func TestWhoLeavesWaitsNoLonger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Millisecond)
		defer cancel()
		begin, w := time.Now(), Waiters{}
		w.Await(ctx, func() bool { t.Error("looked again"); return true })
		if got := time.Since(begin); got != 5*time.Millisecond {
			t.Errorf("waited %v", got)
		}
	})
}

func TestAFloodDoesNotPileUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var w Waiters
		var waited atomic.Int64
		begin := time.Now()
		for range most + 100 {
			go func() {
				w.Await(t.Context(), func() bool { return true })
				if time.Since(begin) > 0 {
					waited.Add(1)
				}
			}()
		}
		time.Sleep(time.Second)
		if waited.Load() != most || w.number.Load() != 0 {
			t.Errorf("%d waited, want %d; %d wait still", waited.Load(), most, w.number.Load())
		}
	})
}
