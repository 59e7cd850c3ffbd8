package store_test

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/nestor-gateway/nestor/access/budget"
	"github.com/nestor-gateway/nestor/access/budget/budgettest"
	"github.com/nestor-gateway/nestor/access/record"
	"github.com/nestor-gateway/nestor/access/store"
)

var _ budget.Bank = (*store.Store)(nil)

// wound is a clock that goes on when it is told to.
type wound struct {
	mu  sync.Mutex
	now time.Time
}

func (w *wound) read() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

func (w *wound) pass(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = w.now.Add(d)
}

// banker is a store with what tests of banks do to it from outside: see budgettest.Store.
type banker struct {
	*store.Store
	clock *wound
}

// bankOf opens a store that goes by a clock of the test.
func bankOf(t testing.TB, d database) banker {
	clock := &wound{now: epoch}
	return banker{Store: bankBy(t, d, clock.read), clock: clock}
}

func bankBy(t testing.TB, d database, now func() time.Time) *store.Store {
	d.options.Now = now
	s := d.open(t)
	s.UseOwnClock()
	return s
}

func TestTheBankIsOneAsOthersAre(t *testing.T) {
	for name, open := range map[string]func(testing.TB) database{"SQLite": file, "PostgreSQL": postgres} {
		t.Run(name, func(t *testing.T) {
			budgettest.Suite{Open: func(t *testing.T, now func() time.Time) budgettest.Store {
				return banker{Store: bankBy(t, open(t), now)}
			}}.Run(t)
		})
	}
}

// What unlimited accounts spend is written often: it must not cost a row for each of them and each replica.
func TestAnAccountOfWhichNothingIsLeasedHasNoLease(t *testing.T) {
	onBoth(t, func(t *testing.T, d database) {
		b := bankOf(t, d)
		must(t, b.Put("key:a", budget.Terms{}))
		claims := []budget.Claim{{Account: "key:a", Need: 10, Want: 10}}
		equal(t, []budget.Lease{{Account: "key:a"}}, got(b.Exchange(ctx(), budget.Call{Replica: "x", Life: time.Minute, Claims: claims}))(t))
		rows := got(b.Query(ctx(), "SELECT account FROM nestor_leases"))(t)
		defer rows.Close()
		if rows.Next() || rows.Err() != nil {
			t.Errorf("there is a lease, or %v", rows.Err())
		}
	})
}

// Put is budgettest.Store's.
func (b banker) Put(account string, terms budget.Terms) error {
	token := account[len("key:"):]
	set := func(k *record.Key) error {
		k.MaxBudget, k.BudgetDuration, k.BudgetResetAt = terms.Max, terms.Duration, terms.ResetAt
		return nil
	}
	_, err := b.UpdateKey(ctx(), token, by("/key/update"), set)
	if !errors.Is(err, store.ErrNotFound) {
		return err
	}
	k := record.Key{Token: token}
	_ = set(&k)
	return b.InsertKey(ctx(), k, by("/key/generate"))
}

// Delete is budgettest.Store's.
func (b banker) Delete(account string) error {
	_, err := b.DeleteKeys(ctx(), []string{account[len("key:"):]}, by("/key/delete"))
	return err
}

// The store answers every call as the bank does that sums everything up anew, whatever happens in between.
func TestTheBankIsTheOneThatIsEasyToSeeThrough(t *testing.T) {
	onBoth(t, func(t *testing.T, d database) {
		b := bankOf(t, d)
		var run int
		rapid.Check(t, func(t *rapid.T) {
			run++
			b.clock.pass(time.Hour) // replicas of earlier runs are forgotten
			m := &bankMachine{run: run, store: b, model: budgettest.NewBank(b.clock.read), seq: map[string]int64{}, gone: map[string]bool{}}
			t.Repeat(map[string]func(*rapid.T){
				"put": m.put, "delete": m.delete, "exchange": m.exchange, "again": m.again, "stale": m.stale, "pass": m.pass,
			})
		})
	})
}

// bankMachine does the same to both banks.
type bankMachine struct {
	run   int // makes names differ from those of other runs
	store banker
	model *budgettest.Bank
	seq   map[string]int64
	gone  map[string]bool
	row   int
	rows  []record.Spend
	calls []budget.Call
}

func (m *bankMachine) named(names ...string) []string {
	for i := range names {
		names[i] += fmt.Sprint(" ", m.run)
	}
	return names
}

func (m *bankMachine) accounts() []string { return m.named("key:a", "key:b", "key:c") }

func (m *bankMachine) put(t *rapid.T) {
	name := rapid.SampledFrom(m.accounts()).Draw(t, "account")
	if m.gone[name] {
		t.Skip("an account that is made anew is another one")
	}
	var terms budget.Terms
	if rapid.IntRange(0, 4).Draw(t, "limited") > 0 {
		terms.Max = new(record.Nano(rapid.Int64Range(0, 1000).Draw(t, "max")))
	}
	terms.Duration = rapid.SampledFrom([]string{"", "30s", "1h", "1d", "1mo"}).Draw(t, "duration")
	if rapid.Bool().Draw(t, "begun") {
		terms.ResetAt = m.store.clock.read().Add(time.Duration(rapid.IntRange(-10, 100).Draw(t, "reset")) * time.Second)
	}
	m.model.Put(name, terms)
	if err := m.store.Put(name, terms); err != nil {
		t.Fatal(err)
	}
}

func (m *bankMachine) delete(t *rapid.T) {
	name := rapid.SampledFrom(m.accounts()).Draw(t, "account")
	m.gone[name] = true
	m.model.Delete(name)
	if err := m.store.Delete(name); err != nil {
		t.Fatal(err)
	}
}

func (m *bankMachine) pass(t *rapid.T) {
	m.store.clock.pass(time.Duration(rapid.SampledFrom([]int{1, 29, 60, 120, 86400}).Draw(t, "seconds")) * time.Second)
}

func (m *bankMachine) exchange(t *rapid.T) {
	replica := rapid.SampledFrom(m.named("r1", "r2", "r3")).Draw(t, "replica")
	m.seq[replica] += rapid.Int64Range(1, 3).Draw(t, "skip")
	c := budget.Call{Replica: replica, Seq: m.seq[replica], Life: time.Duration(rapid.IntRange(1, 120).Draw(t, "life")) * time.Second}
	for range rapid.IntRange(0, 4).Draw(t, "rows") {
		c.Rows = append(c.Rows, m.draw(t))
	}
	for _, name := range m.accounts() {
		if rapid.Bool().Draw(t, "claim "+name) {
			c.Claims = append(c.Claims, claim(t, name))
		}
	}
	m.calls = append(m.calls, c)
	m.compare(t, c)
}

// draw is a new row or one of before.
func (m *bankMachine) draw(t *rapid.T) record.Spend {
	if len(m.rows) > 0 && rapid.IntRange(0, 3).Draw(t, "old") == 0 {
		return rapid.SampledFrom(m.rows).Draw(t, "row")
	}
	m.row++
	r := record.Spend{ID: fmt.Sprint(m.run, "/", m.row), Start: epoch, Cost: record.Nano(rapid.Int64Range(0, 300).Draw(t, "cost"))}
	r.Accounts = rapid.SliceOfN(rapid.SampledFrom(append(m.accounts(), "team:nobody")), 0, 3).Draw(t, "accounts")
	m.rows = append(m.rows, r)
	return r
}

func claim(t *rapid.T, name string) budget.Claim {
	var sums [4]record.Nano
	for i := range sums {
		sums[i] = record.Nano(rapid.Int64Range(0, 200).Draw(t, "amount"))
	}
	slices.Sort(sums[:])
	return budget.Claim{Account: name, Used: sums[0], Keep: sums[1], Need: sums[2], Want: sums[3]}
}

// again is the last call, whose answer was lost, with the next number.
func (m *bankMachine) again(t *rapid.T) {
	if len(m.calls) == 0 {
		t.Skip("no call yet")
	}
	c := m.calls[len(m.calls)-1]
	m.seq[c.Replica]++
	c.Seq = m.seq[c.Replica]
	m.compare(t, c)
}

// stale is a call of before that arrives late.
func (m *bankMachine) stale(t *rapid.T) {
	if len(m.calls) == 0 {
		t.Skip("no call yet")
	}
	m.compare(t, rapid.SampledFrom(m.calls).Draw(t, "call"))
}

func (m *bankMachine) compare(t *rapid.T, c budget.Call) {
	want, wantErr := m.model.Exchange(ctx(), c)
	got, err := m.store.Exchange(ctx(), c)
	if !errors.Is(err, wantErr) || (err == nil) != (wantErr == nil) {
		t.Fatalf("error %v, want %v", err, wantErr)
	}
	if diff := cmp.Diff(append([]budget.Lease{}, want...), append([]budget.Lease{}, got...)); diff != "" {
		t.Fatalf("leases for %+v: -want +got\n%s", c, diff)
	}
	m.sameSpend(t)
}

func (m *bankMachine) sameSpend(t *rapid.T) {
	for _, name := range m.accounts() {
		k, err := m.store.Key(ctx(), name[len("key:"):])
		if errors.Is(err, store.ErrNotFound) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if want := m.model.Spend(name); k.Spend != want {
			t.Fatalf("%s has spent %d, want %d", name, k.Spend, want)
		}
	}
}
