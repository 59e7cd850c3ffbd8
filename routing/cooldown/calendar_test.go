package cooldown

import (
	"maps"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
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

func TestCalendarForgetsWhatIsCleared(t *testing.T) {
	c := NewCalendar(4)
	for i, at := range []time.Duration{7, 5, 3, 9} {
		c.Set(int32(i), at)
	}
	c.Clear(2)
	c.Clear(2)
	c.Clear(0)
	c.Set(0, 4)
	var got []int32
	c.Ended(6, func(i int32) { got = append(got, i) })
	if diff := cmp.Diff([]int32{0, 1}, got); diff != "" || c.Empty() {
		t.Error(diff, c.Empty())
	}
	c.Each(func(i int32) { got = append(got, i) })
	c.Clear(3)
	if diff := cmp.Diff([]int32{0, 1, 3}, got); diff != "" || !c.Empty() || c.Due(time.Hour) {
		t.Error(diff, c.Empty())
	}
}

// TestCalendarIsAList compares with a map that is searched.
func TestCalendarIsAList(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c, ends := NewCalendar(6), map[int32]time.Duration{}
		now := time.Duration(0)
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			i := int32(rapid.IntRange(0, 5).Draw(t, "i"))
			switch rapid.IntRange(0, 2).Draw(t, "step") {
			case 0:
				at := now + time.Duration(rapid.IntRange(1, 20).Draw(t, "at"))
				if changed := at > ends[i]; c.Set(i, at) != changed {
					t.Fatalf("set %d to %d over %d: changed is not %v", i, at, ends[i], changed)
				}
				ends[i] = max(ends[i], at)
			case 1:
				c.Clear(i)
				delete(ends, i)
			default:
				now += time.Duration(rapid.IntRange(0, 5).Draw(t, "wait"))
				ended := map[int32]bool{}
				c.Ended(now, func(i int32) { ended[i] = true })
				for i, at := range ends {
					if ended[i] != (at <= now) {
						t.Fatalf("at %d: %d of %d ended: %v", now, i, at, ended[i])
					}
				}
				maps.DeleteFunc(ends, func(_ int32, at time.Duration) bool { return at <= now })
			}
			for i := range int32(6) {
				if c.End(i) != ends[i] {
					t.Fatalf("%d ends at %d, want %d", i, c.End(i), ends[i])
				}
			}
			if c.Empty() != (len(ends) == 0) {
				t.Fatalf("empty: %v of %v", c.Empty(), ends)
			}
		}
	})
}
