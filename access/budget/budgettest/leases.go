package budgettest

import (
	"errors"
	"strconv"
	"sync"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/nestor-gateway/nestor/access/budget"
	"github.com/nestor-gateway/nestor/access/record"
)

// has compares the amount of a lease.
func (b *bench) has(l budget.Lease, want record.Nano) {
	b.t.Helper()
	if l.Amount != want {
		b.t.Fatalf("leased are %d, want %d: %+v", l.Amount, want, l)
	}
}

func testNeed(b *bench) {
	b.limit(accountA, 100)
	b.has(b.lease("x", 0, 0, 70, 70), 70)
	got := b.lease("y", 0, 0, 70, 70)
	want := budget.Lease{Account: accountA, Amount: 30, Others: 70, Max: new(record.Nano(100))}
	if diff := cmp.Diff(want, got); diff != "" {
		b.t.Error(diff)
	}
}

func testWant(b *bench) {
	b.limit(accountA, 100)
	b.has(b.lease("x", 0, 0, 20, 100), 60)  // half of 80, for one replica
	b.has(b.lease("x", 0, 60, 20, 100), 60) // the half was had already
	b.has(b.lease("y", 0, 0, 0, 100), 10)   // half of 40, for two
	b.has(b.lease("x", 0, 20, 20, 24), 24)  // gives back, and no more is wanted
}

func testTogether(b *bench) {
	b.limit(accountA, 100)
	var sum record.Nano
	for i := range 10 {
		sum += b.lease(strconv.Itoa(i), 0, 0, 30, 60).Amount
	}
	if sum != 100 {
		b.t.Errorf("leased are %d of 100", sum)
	}
}

func testConcurrent(b *bench) {
	b.limit(accountA, 100)
	leases := make([]record.Nano, 20)
	var wg sync.WaitGroup
	for i := range leases {
		wg.Go(func() {
			for try := range 3 {
				c := budget.Call{Replica: strconv.Itoa(i), Seq: int64(try + 1), Life: life,
					Rows:   []record.Spend{b.row("row", 10, accountA, accountB)},
					Claims: []budget.Claim{{Account: accountA, Keep: leases[i], Need: 9, Want: 30}}}
				got, err := b.Exchange(b.t.Context(), c)
				if err != nil {
					b.t.Error(err)
					return
				}
				leases[i] = got[0].Amount
			}
		})
	}
	wg.Wait()
	var sum record.Nano
	for _, amount := range leases {
		sum += amount
	}
	if spent := b.spent(accountA); spent != 10 || sum > 90 || sum < 60 {
		b.t.Errorf("spent are %d and leased %d of 100", spent, sum)
	}
}

func testAgain(b *bench) {
	b.limit(accountA, 100)
	first := b.lease("x", 10, 20, 30, 60)
	if diff := cmp.Diff(first, b.lease("x", 10, 20, 30, 60)); diff != "" {
		b.t.Error(diff)
	}
}

func testStale(b *bench) {
	b.limit(accountA, 100)
	b.call("x", nil)
	b.lease("x", 0, 0, 30, 30)
	for _, seq := range []int64{1, 2} {
		c := budget.Call{Replica: "x", Seq: seq, Life: life, Rows: []record.Spend{b.row("late", 5, accountA)},
			Claims: []budget.Claim{{Account: accountA, Need: 90, Want: 90}}}
		if _, err := b.Exchange(b.t.Context(), c); !errors.Is(err, budget.ErrStale) {
			b.t.Errorf("call %d after call 2: %v", seq, err)
		}
	}
	b.has(b.lease("y", 0, 0, 100, 100), 70)
}

func testUsed(b *bench) {
	b.limit(accountA, 100)
	b.has(b.lease("x", 150, 150, 150, 150), 150)
	got := b.lease("y", 0, 0, 1, 1)
	b.has(got, 0)
	if got.Rest() != -50 {
		b.t.Errorf("the rest is %d, want -50", got.Rest())
	}
}

func testLowered(b *bench) {
	b.limit(accountA, 100)
	b.has(b.lease("x", 0, 0, 80, 80), 80)
	b.limit(accountA, 50)
	b.has(b.lease("x", 10, 80, 80, 80), 80)
	b.has(b.lease("x", 10, 20, 20, 60), 35) // half of the 30 that are left
}

func testForgotten(b *bench) {
	b.limit(accountA, 100)
	b.lease("x", 0, 0, 100, 100)
	b.now = b.now.Add(life - time.Second)
	b.has(b.lease("y", 0, 0, 10, 10), 0)
	b.now = b.now.Add(time.Second)
	got := b.lease("y", 0, 0, 10, 100)
	b.has(got, 55) // half of the 90 that are left, for one replica
	if got.Others != 0 {
		b.t.Errorf("others have %d", got.Others)
	}
}

func testBack(b *bench) {
	b.limit(accountA, 100)
	b.lease("x", 0, 0, 60, 60)
	b.now = b.now.Add(life)
	b.has(b.lease("y", 0, 0, 50, 50), 50)
	b.has(b.lease("x", 40, 60, 60, 60), 50) // the rest, and not what it had
	b.has(b.lease("x", 40, 50, 60, 60), 50)
}

func testReset(b *bench) {
	b.put(accountA, budget.Terms{Max: new(record.Nano(100)), Duration: "1h", ResetAt: b.now.Add(time.Minute)})
	b.spend("1", 60, accountA)
	b.has(b.lease("x", 0, 0, 30, 30), 30)
	b.now = b.now.Add(time.Minute)
	got := b.lease("y", 0, 0, 100, 100)
	want := budget.Lease{
		Account: accountA, Amount: 70, Others: 30, Max: new(record.Nano(100)),
		ResetAt: time.Date(2026, 3, 4, 13, 0, 0, 0, time.UTC),
	}
	if diff := cmp.Diff(want, got); diff != "" {
		b.t.Error(diff)
	}
}
