package cooldown

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestCalendarGivesEachEndOnce(t *testing.T) {
	c := NewCalendar(3)
	for _, set := range []struct {
		deployment int32
		at         time.Duration
		want       bool
	}{{0, 5, true}, {1, 3, true}, {0, 9, true}, {0, 7, false}} {
		if got := c.Set(set.deployment, set.at); got != set.want {
			t.Errorf("set %d to %d: %v", set.deployment, set.at, got)
		}
	}
	got := map[time.Duration][]int32{}
	for now := range time.Duration(12) {
		if c.Due(now) {
			c.Ended(now, func(i int32) { got[now] = append(got[now], i) })
		}
	}
	if diff := cmp.Diff(map[time.Duration][]int32{3: {1}, 9: {0}}, got); diff != "" {
		t.Error(diff)
	}
	if c.End(0) != 0 || c.Due(time.Hour) {
		t.Error("something is left")
	}
}
