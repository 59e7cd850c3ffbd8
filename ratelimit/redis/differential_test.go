package redis

import (
	"context"
	"encoding/binary"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/nestor-gateway/nestor/ratelimit"
	"github.com/nestor-gateway/nestor/ratelimit/limitertest"
)

// twins are a store in memory and one in Redis, which are told the same at the same times. TestScriptsDoWhatTheModelDoes
// says that the scripts do what the Redis of this test does.
type twins struct {
	clock          *limitertest.Clock
	memory, shared limitertest.Store
	entities       [2][]ratelimit.Entity
	held           []ratelimit.ID
	ids            uint64
	began          time.Duration // when neither had anything used
}

func newTwins(t *rapid.T) *twins {
	clock := limitertest.NewClock()
	m := newModel(func() int64 { return clock.Now().Microseconds() })
	s := newStore(m, 1, Options{Now: clock.Now, Fresh: true})
	w := &twins{clock: clock, shared: s, began: clock.Now(), memory: ratelimit.NewMemory(ratelimit.Options{Now: clock.Now, Fresh: true})}
	t.Cleanup(func() { _ = s.Close() })
	limits := make([]ratelimit.Limit, 2)
	for i := range limits {
		limits[i] = ratelimit.Limit{Name: string(rune('a' + i)), Most: ratelimit.Amounts{
			rapid.Int64Range(1, 20).Draw(t, "rpm"), rapid.Int64Range(20, 300).Draw(t, "tpm"), rapid.Int64Range(1, 5).Draw(t, "parallel")}}
	}
	w.entities = [2][]ratelimit.Entity{w.memory.Declare(limits), w.shared.Declare(limits)}
	return w
}

// reserve asks Redis first: what it admits memory has to admit too, and what it denies is not tried there, or the
// two would part. While nothing has left the window memory denies what Redis does.
func (w *twins) reserve(t *rapid.T) {
	q := ratelimit.Reservation{Amounts: ratelimit.Amounts{1, rapid.Int64Range(0, 60).Draw(t, "tokens"), 1}, Life: 10 * time.Minute}
	w.ids++
	binary.BigEndian.PutUint64(q.ID[:], w.ids)
	from := rapid.IntRange(0, 1).Draw(t, "from")
	q.Entities = w.entities[1][from:]
	q.Again = rapid.IntRange(0, len(q.Entities)).Draw(t, "again")
	_, denial := w.shared.Reserve(context.Background(), &q)
	if denial != nil && !w.young() {
		return
	}
	q.Entities = w.entities[0][from:]
	_, own := w.memory.Reserve(context.Background(), &q)
	if (denial == nil) != (own == nil) {
		t.Fatalf("%v: Redis says %v, memory %v", q.Amounts, denial, own)
	}
	if denial == nil {
		w.held = append(w.held, q.ID)
	}
}

func (w *twins) settle(t *rapid.T) {
	if len(w.held) == 0 {
		t.Skip("nothing is held")
	}
	id := rapid.SampledFrom(w.held).Draw(t, "settled")
	used := ratelimit.Amounts{1, rapid.Int64Range(0, 90).Draw(t, "truth")}
	if a, b := w.memory.Settle(id, used), w.shared.Settle(id, used); a != b {
		t.Fatalf("held in memory: %t, in Redis: %t", a, b)
	}
}

func (w *twins) refund(t *rapid.T) {
	if len(w.held) == 0 {
		t.Skip("nothing is held")
	}
	id := rapid.SampledFrom(w.held).Draw(t, "refunded")
	if a, b := w.memory.Refund(id), w.shared.Refund(id); a != b {
		t.Fatalf("held in memory: %t, in Redis: %t", a, b)
	}
}

func (w *twins) pass(t *rapid.T) {
	w.clock.Advance(time.Duration(rapid.OneOf(rapid.IntRange(1, 2000), rapid.IntRange(1, 70_000)).Draw(t, "ms")) * time.Millisecond)
}

// young says that everything that was ever used counts in both.
func (w *twins) young() bool { return w.clock.Now() < w.began+ratelimit.Window }

// check wants Redis to count what memory counts, and for some parts of a second longer.
func (w *twins) check(t *rapid.T) {
	for i := range w.entities[0] {
		least, got := w.memory.Usage(w.entities[0][i]).Used, w.shared.Usage(w.entities[1][i]).Used
		for d := range got {
			if got[d] < least[d] || got[d] > least[d] && (w.young() || d == int(ratelimit.Parallel)) {
				t.Fatalf("entity %d: %v are used in Redis, %v in memory", i, got, least)
			}
		}
	}
}

func TestTheStoreInRedisDoesWhatTheOneInMemoryDoes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newTwins(t)
		t.Repeat(map[string]func(*rapid.T){
			"reserve": w.reserve, "reserve ": w.reserve, "reserve  ": w.reserve, "settle": w.settle, "refund": w.refund, "time": w.pass, "": w.check,
		})
	})
}
