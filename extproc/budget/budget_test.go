package budget

import (
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

func TestRetriesAreAShareOfTheRequestsOrTheFloor(t *testing.T) {
	for _, c := range []struct {
		requests, want     int
		percent, perSecond float64
	}{
		{requests: 1000, percent: 20, perSecond: 0, want: 200},
		{requests: 1000, percent: 20, perSecond: 10, want: 200},
		{requests: 500, percent: 20, perSecond: 10, want: 100},
		{requests: 100, percent: 20, perSecond: 10, want: 100},
		{requests: 0, percent: 20, perSecond: 0.5, want: 5},
		{requests: 7, percent: 20, perSecond: 0, want: 1},
		{requests: 10, percent: 200, perSecond: 0, want: 20},
		{requests: 10, percent: 0, perSecond: 0, want: 0},
	} {
		b := New(time.Now)
		for range c.requests {
			b.Request()
		}
		got := 0
		for range 2000 {
			if b.Retry(c.percent, c.perSecond) {
				got++
			}
		}
		if got != c.want {
			t.Errorf("%+v: %d retries", c, got)
		}
	}
}

func TestWhatIsLongAgoDoesNotCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := New(time.Now)
		for range 10 {
			b.Request()
		}
		time.Sleep(9 * time.Second)
		if !b.Retry(20, 0) {
			t.Error("9 s later the requests still count")
		}
		time.Sleep(time.Second)
		if b.Retry(20, 0) {
			t.Error("10 s later the requests are over")
		}
		time.Sleep(time.Hour)
		for n := range 20 {
			if b.Retry(0, 1) != (n < 10) {
				t.Errorf("retry %d after an hour", n)
			}
		}
	})
}

// A slot runs for a part of its second, so the time looked back on is between 9 and 10 s.
func TestTheBudgetHoldsForAnyTraffic(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		begin := time.Unix(0, 0)
		now := begin
		b := New(func() time.Time { return now })
		const percent, perSecond = 20.0, 0.5
		var requests, retries []time.Time
		for range rapid.IntRange(1, 400).Draw(t, "steps") {
			now = now.Add(time.Duration(rapid.IntRange(0, 1500).Draw(t, "ms")) * time.Millisecond)
			for range rapid.IntRange(0, 9).Draw(t, "requests") {
				b.Request()
				requests = append(requests, now)
			}
			granted := b.Retry(percent, perSecond)
			if granted {
				retries = append(retries, now)
			}
			since := func(all []time.Time, seconds int) (n int) {
				for _, at := range all {
					if now.Sub(at) < time.Duration(seconds)*time.Second {
						n++
					}
				}
				return n
			}
			if most := max(percent/100*float64(since(requests, 10)), 10*perSecond); granted && float64(since(retries, 9)) > most {
				t.Fatalf("%d retries in 9 s, allowed %v", since(retries, 9), most)
			}
			if most := max(percent/100*float64(since(requests, 9)), 10*perSecond); !granted && float64(since(retries, 10)+1) <= most {
				t.Fatalf("refused after %d retries in 10 s, allowed %v", since(retries, 10), most)
			}
		}
	})
}

func TestNothingIsAllocated(t *testing.T) {
	b := New(time.Now)
	if n := testing.AllocsPerRun(100, func() { b.Request(); b.Retry(20, 10) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkRequest(b *testing.B) {
	budget := New(time.Now)
	b.ReportAllocs()
	for b.Loop() {
		budget.Request()
	}
}
