package extproc

import (
	"testing"
	"time"

	"github.com/nestor-gateway/nestor/ratelimit"
)

func TestWhatBrokeOffIsRememberedOnceAndNotForEver(t *testing.T) {
	var b brokenOff
	now := time.Unix(1, 0)
	first, second := ratelimit.ID{1}, ratelimit.ID{2}
	b.add(first, now)
	if b.take(second) || !b.take(first) || b.take(first) || b.some.Load() {
		t.Error("want the first, once, and no other")
	}
	b.add(first, now)
	for range 2 {
		now = now.Add(brokenLife + time.Second)
		b.add(second, now)
	}
	if b.take(first) || !b.take(second) {
		t.Error("want the second alone after two lives")
	}
}
