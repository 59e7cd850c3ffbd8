package budgettest

import (
	"testing"
	"time"

	"github.com/nestor-gateway/nestor/access/budget"
	"github.com/nestor-gateway/nestor/access/record"
)

// Store is a bank with what a test does to it from outside. Accounts are named as record.AccountOf names those of keys:
// "key:a", "key:b", ...
type Store interface {
	budget.Bank
	// Put makes an account without spend, or changes the terms of one and keeps its spend.
	Put(account string, terms budget.Terms) error
	// Delete removes an account.
	Delete(account string) error
}

// Suite tests a kind of bank.
type Suite struct {
	// Open returns a bank without accounts, replicas and rows, whose clock is now. It is called once in each test.
	Open func(t *testing.T, now func() time.Time) Store
}

// Run tests the bank.
func (s Suite) Run(t *testing.T) {
	for name, test := range map[string]func(*bench){
		"a lease is as much of the need as the rest admits":             testNeed,
		"what is only wanted is shared":                                 testWant,
		"all replicas together lease no more than the rest":             testTogether,
		"many at once lease no more than the rest":                      testConcurrent,
		"a claim again changes nothing":                                 testAgain,
		"a late call changes nothing":                                   testStale,
		"a lease is never less than what is used":                       testUsed,
		"what is kept is not taken away when the budget is lowered":     testLowered,
		"a row is written once":                                         testRowOnce,
		"a row and the lease it was spent from change together":         testRowAndLease,
		"a row of an account that is gone counts on the others":         testRowOfGone,
		"a replica that is not heard of is forgotten":                   testForgotten,
		"a replica that was forgotten has what it uses and no more":     testBack,
		"a new period begins without spend and with the leases":         testReset,
		"rows count in the period in which they are written":            testRowAfterReset,
		"a period that was missed is passed over":                       testResetMissed,
		"a duration alone begins a period":                              testResetBegins,
		"an account without a budget counts its spend and has no lease": testUnlimited,
		"an account that does not exist is gone":                        testGone,
	} {
		t.Run(name, func(t *testing.T) {
			b := &bench{t: t, now: time.Date(2026, 3, 4, 12, 0, 30, 0, time.UTC), seq: map[string]int64{}}
			b.Store = s.Open(t, func() time.Time { return b.now })
			test(b)
		})
	}
}

// life is how long the calls of tests keep their leases.
const life = 2 * time.Minute

// A bench is a bank in a test.
type bench struct {
	Store
	t   *testing.T
	now time.Time
	seq map[string]int64
}

func (b *bench) put(account string, terms budget.Terms) {
	b.t.Helper()
	if err := b.Put(account, terms); err != nil {
		b.t.Fatal(err)
	}
}

// limit makes an account with a budget, or changes that.
func (b *bench) limit(account string, most record.Nano) { b.put(account, budget.Terms{Max: &most}) }

// call makes the next call of a replica.
func (b *bench) call(replica string, rows []record.Spend, claims ...budget.Claim) []budget.Lease {
	b.t.Helper()
	b.seq[replica]++
	c := budget.Call{Replica: replica, Seq: b.seq[replica], Life: life, Rows: rows, Claims: claims}
	leases, err := b.Exchange(b.t.Context(), c)
	if err != nil {
		b.t.Fatal(err)
	}
	if len(leases) != len(claims) {
		b.t.Fatalf("%d leases for %d claims", len(leases), len(claims))
	}
	return leases
}

// lease claims for the account key:a.
func (b *bench) lease(replica string, used, keep, need, want record.Nano) budget.Lease {
	b.t.Helper()
	return b.call(replica, nil, budget.Claim{Account: accountA, Used: used, Keep: keep, Need: need, Want: want})[0]
}

const accountA, accountB = "key:a", "key:b"

// spend writes a row of an ID.
func (b *bench) spend(id string, cost record.Nano, accounts ...string) {
	b.t.Helper()
	b.call("writer", []record.Spend{b.row(id, cost, accounts...)})
}

func (b *bench) row(id string, cost record.Nano, accounts ...string) record.Spend {
	return record.Spend{ID: id, RequestID: id, Start: b.now, Cost: cost, Accounts: accounts, Outcome: "success"}
}

// spent is an account's spend.
func (b *bench) spent(account string) record.Nano {
	b.t.Helper()
	return b.call("reader", nil, budget.Claim{Account: account})[0].Spend
}
