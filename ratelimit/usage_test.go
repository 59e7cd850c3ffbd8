package ratelimit_test

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/nestor-gateway/nestor/ratelimit"
	"github.com/nestor-gateway/nestor/ratelimit/limitertest"
)

func TestUsageTellsWhenSomethingIsFree(t *testing.T) {
	clock := limitertest.NewClock()
	m := ratelimit.NewMemory(ratelimit.Options{Now: clock.Now, Fresh: true})
	e := m.Declare([]ratelimit.Limit{{Name: "a", Most: ratelimit.Amounts{2, 100, 2}}, {Name: "b", Most: ratelimit.Unlimited()}})
	free := func(entity ratelimit.Entity, want [ratelimit.Dimensions]time.Duration) {
		t.Helper()
		u := m.Usage(entity)
		if diff := cmp.Diff(want, u.Free); diff != "" || u.Closed != 0 {
			t.Error(diff, u.Closed)
		}
	}
	reserve := func(id byte) {
		t.Helper()
		r := ratelimit.Reservation{ID: ratelimit.ID{id}, Amounts: ratelimit.Amounts{1, 10, 1}, Entities: e, Life: time.Hour}
		if _, denial := m.Reserve(context.Background(), &r); denial != nil {
			t.Fatal(denial)
		}
	}
	reserve(1)
	free(e[0], [ratelimit.Dimensions]time.Duration{})
	clock.Advance(20 * time.Second)
	reserve(2)
	free(e[0], [ratelimit.Dimensions]time.Duration{ratelimit.Requests: 40 * time.Second, ratelimit.Parallel: time.Second})
	free(e[1], [ratelimit.Dimensions]time.Duration{})
}

func TestUsageTellsThatLimitsAreClosed(t *testing.T) {
	clock := limitertest.NewClock()
	m := ratelimit.NewMemory(ratelimit.Options{Now: clock.Now})
	e := m.Declare([]ratelimit.Limit{{Name: "a", Most: ratelimit.Amounts{10, none, none}}, {Name: "b", Most: ratelimit.Unlimited()}})
	for _, want := range []time.Duration{ratelimit.Window, ratelimit.Window / 2, 0, 0} {
		if got, unlimited := m.Usage(e[0]).Closed, m.Usage(e[1]).Closed; got != want || unlimited != 0 {
			t.Errorf("closed for %v, want %v; what has no limit for %v", got, want, unlimited)
		}
		clock.Advance(ratelimit.Window / 2)
	}
}
