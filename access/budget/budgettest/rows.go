package budgettest

import (
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/nestor-gateway/nestor/access/budget"
	"github.com/nestor-gateway/nestor/access/record"
)

// spends compares what an account has spent.
func (b *bench) spends(account string, want record.Nano) {
	b.t.Helper()
	if got := b.spent(account); got != want {
		b.t.Fatalf("%s has spent %d, want %d", account, got, want)
	}
}

func testRowOnce(b *bench) {
	b.limit(accountA, 100)
	b.limit(accountB, 100)
	b.call("x", []record.Spend{b.row("1", 10, accountA, accountB, accountA), b.row("2", 20, accountB), b.row("1", 10, accountA)})
	b.call("y", []record.Spend{b.row("1", 10, accountA, accountB), b.row("3", 5, accountA)})
	b.spends(accountA, 15)
	b.spends(accountB, 30)
}

func testRowAndLease(b *bench) {
	b.limit(accountA, 100)
	b.has(b.lease("x", 0, 0, 40, 40), 40)
	rows := []record.Spend{b.row("1", 15, accountA)}
	for range 2 { // the second time because the answer was lost
		got := b.call("x", rows, budget.Claim{Account: accountA, Used: 5, Keep: 25, Need: 25, Want: 25})[0]
		want := budget.Lease{Account: accountA, Amount: 25, Spend: 15, Max: new(record.Nano(100))}
		if diff := cmp.Diff(want, got); diff != "" {
			b.t.Fatal(diff)
		}
	}
}

func testRowOfGone(b *bench) {
	b.limit(accountA, 100)
	b.limit(accountB, 100)
	if err := b.Delete(accountB); err != nil {
		b.t.Fatal(err)
	}
	b.spend("1", 10, accountB, "team:nobody", accountA)
	b.spends(accountA, 10)
}

// ends is when the periods of tests do first.
func (b *bench) ends() time.Time { return b.now.Add(time.Minute) }

func testRowAfterReset(b *bench) {
	b.put(accountA, budget.Terms{Duration: "1d", ResetAt: b.ends()})
	b.spend("1", 10, accountA)
	late := b.row("2", 20, accountA)
	b.now = b.now.Add(time.Minute)
	b.call("x", []record.Spend{late})
	b.spends(accountA, 20)
}

func testResetMissed(b *bench) {
	b.put(accountA, budget.Terms{Duration: "1d", ResetAt: b.ends()})
	b.spend("1", 10, accountA)
	b.now = b.now.AddDate(0, 0, 10)
	got := b.call("x", nil, budget.Claim{Account: accountA})[0]
	want := budget.Lease{Account: accountA, ResetAt: time.Date(2026, 3, 15, 0, 0, 0, 0, time.UTC)}
	if diff := cmp.Diff(want, got); diff != "" {
		b.t.Error(diff)
	}
}

func testResetBegins(b *bench) {
	b.limit(accountA, 100)
	b.spend("1", 10, accountA)
	b.put(accountA, budget.Terms{Duration: "1mo"})
	got := b.call("x", nil, budget.Claim{Account: accountA})[0]
	want := budget.Lease{Account: accountA, Spend: 10, ResetAt: time.Date(2026, 4, 1, 0, 0, 0, 0, time.UTC)}
	if diff := cmp.Diff(want, got); diff != "" {
		b.t.Error(diff)
	}
}

func testUnlimited(b *bench) {
	b.put(accountA, budget.Terms{})
	b.spend("1", 10, accountA)
	got := b.lease("x", 5, 5, 50, 50)
	if diff := cmp.Diff(budget.Lease{Account: accountA, Spend: 10}, got); diff != "" {
		b.t.Error(diff)
	}
	b.limit(accountA, 100)
	b.has(b.lease("y", 0, 0, 100, 100), 90)
}

func testGone(b *bench) {
	b.limit(accountB, 100)
	got := b.call("x", nil, budget.Claim{Account: accountA, Used: 5, Keep: 5, Need: 5, Want: 5}, budget.Claim{Account: accountB, Need: 10, Want: 10})
	want := []budget.Lease{{Account: accountA, Gone: true}, {Account: accountB, Amount: 10, Max: new(record.Nano(100))}}
	if diff := cmp.Diff(want, got); diff != "" {
		b.t.Error(diff)
	}
}
