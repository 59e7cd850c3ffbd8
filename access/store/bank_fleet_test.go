package store_test

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/nestor-gateway/nestor/access/budget"
	"github.com/nestor-gateway/nestor/access/record"
	"github.com/nestor-gateway/nestor/access/store"
)

// spender is a replica that uses what it gets, in parts, and asks again until there is nothing left.
type spender struct {
	name   string
	store  *store.Store
	random *rand.Rand
	seq    int64
	rows   int
	leases map[string]record.Nano
}

// spendAll returns what it has spent of all accounts together.
func (s *spender) spendAll(names []string) (spent record.Nano, err error) {
	s.leases = map[string]record.Nano{}
	for dry := 0; dry < 5; { // others may give back what they can't use
		c := budget.Call{Replica: s.name, Seq: s.seq, Life: time.Hour}
		s.seq++
		for _, name := range names {
			used := s.leases[name]
			if used > 10 {
				used = record.Nano(1 + s.random.Int64N(int64(used)))
			}
			row, claim := s.use(name, used)
			spent += used
			c.Rows, c.Claims = append(c.Rows, row), append(c.Claims, claim)
		}
		leases, err := s.store.Exchange(ctx(), c)
		if err != nil {
			return spent, err
		}
		if s.take(leases) {
			dry = 0
		} else {
			dry++
		}
	}
	return spent, nil
}

// use spends a part of a lease: the rest may go on to be used.
func (s *spender) use(name string, used record.Nano) (record.Spend, budget.Claim) {
	s.rows++
	keep := s.leases[name] - used
	row := record.Spend{ID: fmt.Sprint(s.name, "/", s.rows), Start: epoch, Cost: used, Accounts: []string{name}}
	return row, budget.Claim{Account: name, Keep: keep, Need: keep + 7, Want: keep + 100}
}

func (s *spender) take(leases []budget.Lease) (more bool) {
	for _, l := range leases {
		s.leases[l.Account] = l.Amount
		more = more || l.Amount > 0
	}
	return more
}

// Replicas that ask at the same time, for the same accounts, use up budgets to the last and not a nano-dollar more.
func TestReplicasUseUpABudgetTogether(t *testing.T) {
	const replicas, most = 5, record.Nano(20_000)
	onBoth(t, func(t *testing.T, d database) {
		first := d.open(t)
		names := []string{"key:a", "team:b"}
		must(t, first.InsertKey(ctx(), record.Key{Token: "a", Terms: record.Terms{MaxBudget: new(most)}}, by("/key/generate")))
		must(t, first.InsertTeam(ctx(), record.Team{ID: "b", Terms: record.Terms{MaxBudget: new(most)}}, by("/team/new")))
		var work sync.WaitGroup
		var mu sync.Mutex
		var all record.Nano
		for i := range replicas {
			s := &spender{name: fmt.Sprint("r", i), store: first, random: rand.New(rand.NewPCG(1, uint64(i)))}
			if d.server != nil {
				s.store = d.open(t)
			}
			work.Go(func() {
				spent, err := s.spendAll(names)
				if err != nil {
					t.Error(err)
				}
				mu.Lock()
				defer mu.Unlock()
				all += spent
			})
		}
		work.Wait()
		if key, team := got(first.Key(ctx(), "a"))(t).Spend, got(first.Team(ctx(), "b"))(t).Spend; key != most || team != most || all != 2*most {
			t.Errorf("the key has spent %d, the team %d, the replicas %d together, want %d, %[4]d and %d", key, team, all, most, 2*most)
		}
	})
}

// A budget's terms are those of keys that refer to it and don't say otherwise.
func TestAKeyHasTheTermsOfItsBudget(t *testing.T) {
	onBoth(t, func(t *testing.T, d database) {
		b := bankOf(t, d)
		must(t, b.InsertBudget(ctx(), record.Budget{ID: "b", Terms: record.Terms{MaxBudget: new(record.Nano(100)), BudgetDuration: "1h"}}, by("/budget/new")))
		must(t, b.InsertKey(ctx(), record.Key{Token: "of", BudgetID: "b"}, by("/key/generate")))
		must(t, b.InsertKey(ctx(), record.Key{Token: "own", BudgetID: "b", Terms: record.Terms{MaxBudget: new(record.Nano(7))}}, by("/key/generate")))
		exchange := func(seq int64) []budget.Lease {
			return got(b.Exchange(ctx(), budget.Call{Replica: "r", Seq: seq, Life: time.Minute, Claims: []budget.Claim{{Account: "key:of"}, {Account: "key:own"}}}))(t)
		}
		end := epoch.Truncate(time.Hour).Add(time.Hour)
		equal(t, []budget.Lease{
			{Account: "key:of", Max: new(record.Nano(100)), ResetAt: end}, {Account: "key:own", Max: new(record.Nano(7)), ResetAt: end},
		}, exchange(1))
		got(b.UpdateBudget(ctx(), "b", by("/budget/update"), func(b *record.Budget) error { b.MaxBudget = new(record.Nano(50)); return nil }))(t)
		equal(t, new(record.Nano(50)), exchange(2)[0].Max)
		got(b.DeleteBudgets(ctx(), []string{"b"}, by("/budget/delete")))(t)
		equal(t, nil, exchange(3)[0].Max)
	})
}

// The clocks of replicas may say what they want.
func TestPostgreSQLJudgesLeasesByItsOwnClock(t *testing.T) {
	d := postgres(t)
	stores := make([]*store.Store, 2)
	for i, year := range []int{1990, 2090} {
		d.options.Now = func() time.Time { return time.Date(year, 1, 1, 0, 0, 0, 0, time.UTC) }
		stores[i] = d.open(t)
	}
	must(t, stores[0].InsertKey(ctx(), record.Key{Token: "a", Terms: record.Terms{MaxBudget: new(record.Nano(100)), BudgetDuration: "1d"}}, by("/key/generate")))
	claim := []budget.Claim{{Account: "key:a", Need: 30, Want: 30}}
	for i, s := range stores {
		lease := got(s.Exchange(ctx(), budget.Call{Replica: fmt.Sprint(i), Seq: 1, Life: time.Minute, Claims: claim}))(t)[0]
		if lease.Amount != 30 || lease.Others != record.Nano(30*i) {
			t.Errorf("replica %d has leased %d beside %d of others, want 30 beside %d", i, lease.Amount, lease.Others, 30*i)
		}
		if ahead := time.Until(lease.ResetAt); ahead < 0 || ahead > 25*time.Hour {
			t.Errorf("the period ends at %v, want within the day", lease.ResetAt)
		}
	}
}

func TestPeriodsEndWithoutRequests(t *testing.T) {
	onBoth(t, func(t *testing.T, d database) {
		b := bankOf(t, d)
		must(t, b.InsertKey(ctx(), record.Key{Token: "ends", Spend: 5, Terms: record.Terms{BudgetDuration: "1h", BudgetResetAt: epoch.Add(time.Minute)}}, by("/key/generate")))
		must(t, b.InsertKey(ctx(), record.Key{Token: "goes on", Spend: 5, Terms: record.Terms{BudgetDuration: "1h", BudgetResetAt: epoch.Add(time.Hour)}}, by("/key/generate")))
		must(t, b.InsertKey(ctx(), record.Key{Token: "has none", Spend: 5}, by("/key/generate")))
		w := watch(t, b.Store)
		b.clock.pass(2 * time.Minute)
		if n := got(b.TurnPeriods(ctx()))(t); n != 1 {
			t.Errorf("%d periods ended, want 1", n)
		}
		w.expect(t, record.Change{Kind: record.OfKey, ID: "ends"})
		ended := got(b.Key(ctx(), "ends"))(t)
		equal(t, epoch.Truncate(time.Hour).Add(time.Hour), ended.BudgetResetAt)
		for token, want := range map[string]record.Nano{"ends": 0, "goes on": 5, "has none": 5} {
			if spend := got(b.Key(ctx(), token))(t).Spend; spend != want {
				t.Errorf("key %q has spent %d, want %d", token, spend, want)
			}
		}
	})
}

// Where very many periods end at once, watchers look at everything once.
func TestVeryManyPeriodsEndAtOnce(t *testing.T) {
	const many = 1100
	onBoth(t, func(t *testing.T, d database) {
		b := bankOf(t, d)
		keys := make([]record.Key, many)
		for i := range keys {
			keys[i] = record.Key{Token: fmt.Sprint(i), Spend: 5, Terms: record.Terms{BudgetDuration: "1h", BudgetResetAt: epoch.Add(time.Minute)}}
		}
		must(t, b.Import(ctx(), keys))
		w := watch(t, b.Store)
		b.clock.pass(2 * time.Minute)
		if n := got(b.TurnPeriods(ctx()))(t); n != many {
			t.Errorf("%d periods ended, want %d", n, many)
		}
		w.expect(t, record.Change{Kind: record.All})
		must(t, b.InsertUser(ctx(), record.User{ID: "u"}, by("/user/new")))
		w.expect(t, record.Change{Kind: record.OfUser, ID: "u"})
		must(t, b.EachKey(ctx(), func(k record.Key) error {
			if k.Spend != 0 {
				t.Errorf("key %s has spent %d", k.Token, k.Spend)
			}
			return nil
		}))
	})
}

// Whichever replica comes first ends a period: it ends once.
func TestAPeriodEndsOnce(t *testing.T) {
	const replicas = 8
	onBoth(t, func(t *testing.T, d database) {
		b := bankOf(t, d)
		must(t, b.InsertKey(ctx(), record.Key{Token: "a", Spend: 5, Terms: record.Terms{BudgetDuration: "1h", BudgetResetAt: epoch.Add(time.Minute)}}, by("/key/generate")))
		b.clock.pass(time.Hour)
		var work sync.WaitGroup
		for i := range replicas {
			work.Go(func() {
				r := record.Spend{ID: fmt.Sprint(i), Start: epoch, Cost: 10, Accounts: []string{"key:a"}}
				if err := b.WriteSpend(ctx(), []record.Spend{r}); err != nil {
					t.Error(err)
				}
				if _, err := b.TurnPeriods(ctx()); err != nil {
					t.Error(err)
				}
			})
		}
		work.Wait()
		if spend := got(b.Key(ctx(), "a"))(t).Spend; spend != 10*replicas {
			t.Errorf("the new period has cost %d, want %d", spend, 10*replicas)
		}
	})
}
