package budget_test

import (
	"context"
	"encoding/binary"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nestor-gateway/nestor/access/budget"
	"github.com/nestor-gateway/nestor/access/budget/budgettest"
	"github.com/nestor-gateway/nestor/access/record"
)

// leased returns a ledger with three accounts that have leases as large as a test needs.
func leased(tb testing.TB) (*budget.Ledger, []*budget.Account) {
	bank := budgettest.NewBank(time.Now)
	l := budget.New(budget.Options{Bank: bank, Replica: "r"})
	most := record.MostNano / 4
	var accounts []*budget.Account
	for _, name := range []string{"key:a", "team:b", "user:c"} {
		t := budget.Terms{Max: &most}
		bank.Put(name, t)
		a := l.Account(name)
		l.Set(a, t, 0)
		accounts = append(accounts, a)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); l.Run(ctx) }()
	tb.Cleanup(func() { stop(); <-done })
	for i := range 100 {
		q := budget.Reservation{ID: id(uint64(i)), Accounts: accounts, Amount: 1e12, Life: time.Minute}
		if d := l.Reserve(context.Background(), q); d != nil {
			tb.Fatalf("%+v", d)
		}
		l.Refund(q.ID)
	}
	return l, accounts
}

func id(n uint64) (id [16]byte) {
	binary.BigEndian.PutUint64(id[:], n)
	return id
}

func BenchmarkReserveAndSettle(b *testing.B) {
	l, accounts := leased(b)
	b.ReportAllocs()
	var n uint64 = 1 << 32
	for b.Loop() {
		n++
		q := budget.Reservation{ID: id(n), Accounts: accounts, Amount: 1000, Least: 10, Life: time.Minute}
		if d := l.Reserve(context.Background(), q); d != nil {
			b.Fatalf("%+v", d)
		}
		l.Settle(q.ID, 0)
	}
}

func BenchmarkReserve(b *testing.B) {
	l, accounts := leased(b)
	b.ReportAllocs()
	var n uint64 = 1 << 32
	var made [1000]budget.Reservation
	for b.Loop() {
		i := n % uint64(len(made))
		if n++; i == 0 {
			b.StopTimer()
			for j := range made {
				l.Refund(made[j].ID)
			}
			b.StartTimer()
		}
		made[i] = budget.Reservation{ID: id(n), Accounts: accounts, Amount: 1000, Least: 10, Life: time.Minute}
		if d := l.Reserve(context.Background(), made[i]); d != nil {
			b.Fatalf("%+v", d)
		}
	}
}

func BenchmarkReserveAndSettleInParallel(b *testing.B) {
	l, accounts := leased(b)
	b.ReportAllocs()
	var n atomic.Uint64
	n.Store(1 << 32)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			q := budget.Reservation{ID: id(n.Add(1)), Accounts: accounts, Amount: 1000, Least: 10, Life: time.Minute}
			if d := l.Reserve(context.Background(), q); d != nil {
				b.Fatalf("%+v", d)
			}
			l.Settle(q.ID, 0)
		}
	})
}

func TestReserveAndSettleAllocateNothing(t *testing.T) {
	l, accounts := leased(t)
	var n uint64 = 1 << 32
	allocs := testing.AllocsPerRun(1000, func() {
		n++
		if d := l.Reserve(context.Background(), budget.Reservation{ID: id(n), Accounts: accounts, Amount: 1000, Life: time.Minute}); d != nil {
			t.Fatalf("%+v", d)
		}
		l.Settle(id(n), 0)
	})
	if allocs != 0 {
		t.Errorf("%v allocations, want 0", allocs)
	}
}
