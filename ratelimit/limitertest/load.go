package limitertest

import (
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nestor-gateway/nestor/ratelimit"
)

// testUtilisation asks for somewhat more than the limit, evenly, and wants nearly all of the limit.
func testUtilisation(t *testing.T, b *bench) {
	for _, rpm := range []int64{5, 60, 600, 6000} {
		e := b.declare(ratelimit.Amounts{rpm, none, none})[0]
		b.clock.Advance(2 * window)
		const windows = 5
		step := min(200*time.Millisecond, window*10/time.Duration(rpm*11))
		admitted := int64(0)
		for end := b.clock.Now() + windows*window; b.clock.Now() < end; b.clock.Advance(step) {
			if id, denial := b.reserve(ratelimit.Amounts{1, 10, 1}, e); denial == nil {
				admitted++
				b.Settle(id, ratelimit.Amounts{1, 20})
			}
		}
		if most := windows * rpm; admitted > most || admitted*100 < most*97 {
			t.Errorf("rpm %d: %d are admitted in %d windows, want 97 %% of %d at least", rpm, admitted, windows, most)
		}
	}
}

// testConcurrent has more asked for than is there, while the clock stands still.
func testConcurrent(t *testing.T, b *bench) {
	const limit, goroutines, each = 500, 8, 100
	e := b.declare(ratelimit.Amounts{limit, none, none}, ratelimit.Amounts{2 * limit, none, none})
	var admitted atomic.Int64
	parallel(goroutines, func(int) {
		for range each {
			if _, denial := b.reserve(ratelimit.Amounts{1, 10, 1}, e...); denial == nil {
				admitted.Add(1)
			}
		}
	})
	if admitted.Load() != limit {
		t.Fatalf("%d are admitted, want %d", admitted.Load(), limit)
	}
	b.uses(t, e[1], ratelimit.Amounts{limit, limit * 10, limit})
}

// testConcurrentSettle reserves on entities in any order, settles every reservation from two goroutines, and
// wants every gauge at 0 and every sum right at the end.
func testConcurrentSettle(t *testing.T, b *bench) {
	const goroutines, each, most = 8, 200, 6
	e := b.declare(ratelimit.Amounts{none, none, most}, ratelimit.Amounts{none, none, most}, ratelimit.Amounts{none, none, most})
	var settled, over atomic.Int64
	var flying [3]atomic.Int64
	parallel(goroutines, func(seed int) {
		random := rand.New(rand.NewPCG(uint64(seed), 1))
		for range each {
			order := random.Perm(3)
			id, denial := b.reserve(ratelimit.Amounts{1, 10, 1}, e[order[0]], e[order[1]])
			if denial != nil {
				continue
			}
			for _, i := range order[:2] {
				if flying[i].Add(1) > most {
					over.Add(1)
				}
			}
			for _, i := range order[:2] {
				flying[i].Add(-1)
			}
			parallel(2, func(int) {
				if b.Settle(id, ratelimit.Amounts{1, 7}) {
					settled.Add(1)
				}
			})
		}
	})
	var used ratelimit.Amounts
	for _, e := range e {
		for d, n := range b.Usage(e).Used {
			used[d] += n
		}
	}
	want := ratelimit.Amounts{2 * settled.Load(), 14 * settled.Load(), 0}
	if used != want || settled.Load() == 0 || over.Load() != 0 {
		t.Fatalf("used are %v after %d settlements, want %v; %d were over the limit", used, settled.Load(), want, over.Load())
	}
}

func parallel(n int, do func(int)) {
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() { do(i) })
	}
	all.Wait()
}
