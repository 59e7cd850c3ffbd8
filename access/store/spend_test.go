package store_test

import (
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nestor-gateway/nestor/access/budget"
	"github.com/nestor-gateway/nestor/access/record"
	"github.com/nestor-gateway/nestor/access/store"
)

// row is a row with everything set.
func row(id string) record.Spend {
	return record.Spend{
		ID: id, RequestID: "request " + id, Start: epoch, Duration: 1500 * time.Millisecond, FirstToken: time.Millisecond,
		Token: record.TokenOf("sk-1"), TeamID: "t1", UserID: "u1", EndUser: "somebody", Model: "fast", Group: "groq", Path: []string{"fast", "groq"},
		Deployment: "d1", Provider: "openai", ProviderModel: "gpt", APIBase: "https://example.com/v1", Prompt: 5, Completion: 7, Total: 12,
		Cached: 1, Reasoning: 2, Cost: 1000, Status: 200, Outcome: "success", Attempts: 2, Stream: true,
		Accounts: []string{account("sk-1"), "team:t1"}, Tags: []string{"x"}, Endpoint: "/v1/chat/completions",
	}
}

func account(key string) string { return record.AccountOf(record.OfKey, record.TokenOf(key)) }

func TestSpendIsReadAsItWasWritten(t *testing.T) {
	for field, v := range reflect.ValueOf(row("1")).Fields() {
		if v.IsZero() {
			t.Errorf("the row that is compared has no %s", field.Name)
		}
	}
	onBoth(t, func(t *testing.T, d database) {
		s := d.open(t)
		empty := record.Spend{ID: "2", Start: epoch.Add(-time.Second)}
		must(t, s.WriteSpend(ctx(), []record.Spend{row("1"), empty}))
		equal(t, []record.Spend{row("1"), empty}, got(s.SpendRows(ctx(), store.SpendQuery{}))(t))
	})
}

func TestSpendCountsOnceOnEachAccount(t *testing.T) {
	onBoth(t, func(t *testing.T, d database) {
		s := d.open(t)
		must(t, s.InsertKey(ctx(), bare("sk-1"), by("/key/generate")))
		must(t, s.InsertTeam(ctx(), record.Team{ID: "t1"}, by("/team/new")))
		twice := row("2")
		twice.Accounts = append(twice.Accounts, twice.Accounts...)
		batch := []record.Spend{row("1"), twice, row("1")}
		for range 2 {
			must(t, s.WriteSpend(ctx(), batch))
		}
		must(t, s.WriteSpend(ctx(), []record.Spend{row("2"), row("3")}))
		if spend := got(s.Key(ctx(), record.TokenOf("sk-1")))(t).Spend; spend != 3000 {
			t.Errorf("the key has spent %d, want 3000", spend)
		}
		if spend := got(s.Team(ctx(), "t1"))(t).Spend; spend != 3000 {
			t.Errorf("the team has spent %d, want 3000", spend)
		}
		if n := len(got(s.SpendRows(ctx(), store.SpendQuery{}))(t)); n != 3 {
			t.Errorf("%d rows, want 3", n)
		}
	})
}

// A name that keys have is a user from /user/new on: what it spent before is in the log, and not on the user's account.
func TestAUsersAccountBeginsWithTheUser(t *testing.T) {
	onBoth(t, func(t *testing.T, d database) {
		s := d.open(t)
		spend := func(id string) {
			r := row(id)
			r.UserID, r.Accounts, r.Cost = "u", []string{record.AccountOf(record.OfUser, "u")}, 5
			must(t, s.WriteSpend(ctx(), []record.Spend{r}))
		}
		spend("before")
		must(t, s.InsertUser(ctx(), record.User{ID: "u"}, by("/user/new")))
		equal(t, 0, got(s.User(ctx(), "u"))(t).Spend)
		spend("after")
		equal(t, 5, got(s.User(ctx(), "u"))(t).Spend)
		equal(t, 2, len(got(s.SpendRows(ctx(), store.SpendQuery{UserID: "u"}))(t)))
	})
}

// Writers of the same rows and of others, and a change of the key, all at the same time.
func TestConcurrentSpendIsSummedUp(t *testing.T) {
	const writers, batches, each = 6, 10, 20
	onBoth(t, func(t *testing.T, d database) {
		s := d.open(t)
		keys := []string{"sk-1", "sk-2", "sk-3"}
		for _, key := range keys {
			must(t, s.InsertKey(ctx(), bare(key), by("/key/generate")))
		}
		var work sync.WaitGroup
		for w := range writers {
			work.Go(func() {
				for b := range batches {
					if err := s.WriteSpend(ctx(), spread(keys, fmt.Sprint(w/2, " ", b, " "), each)); err != nil { // two write each row
						t.Error(err)
					}
				}
			})
		}
		work.Go(func() {
			for range batches {
				if _, err := s.UpdateKey(ctx(), record.TokenOf("sk-1"), by("/key/update"), func(k *record.Key) error { k.Tags = append(k.Tags, "x"); return nil }); err != nil {
					t.Error(err)
				}
			}
		})
		work.Wait()
		var sum record.Nano
		for _, key := range keys {
			sum += got(s.Key(ctx(), record.TokenOf(key)))(t).Spend
		}
		if want := record.Nano(writers / 2 * batches * each * 2 * 1000); sum != want {
			t.Errorf("the keys have spent %d, want %d", sum, want)
		}
	})
}

// spread is rows that each cost on two accounts, in any order.
func spread(keys []string, prefix string, count int) []record.Spend {
	rows := make([]record.Spend, count)
	for i := range rows {
		rows[i] = row(prefix + fmt.Sprint(i))
		rows[i].Accounts = []string{account(keys[i%len(keys)]), account(keys[(i+2)%len(keys)])}
	}
	return rows
}

func TestTextOfClientsNeverKeepsRowsFromBeingWritten(t *testing.T) {
	onBoth(t, func(t *testing.T, d database) {
		s := d.open(t)
		r := row("1")
		r.ID, r.EndUser, r.Model, r.Path = "1\xff", "a\x00b", "c\xffd", []string{"e\x00f", "g\xff"}
		r.RequestID, r.APIBase = strings.Repeat("x", 1<<20), strings.Repeat("x", 1023)+"é"
		r.Accounts = []string{"team:a\x00b", account("sk-1"), "team:\xff", "team:" + strings.Repeat("x", 1<<20)}
		must(t, s.InsertKey(ctx(), bare("sk-1"), by("/key/generate")))
		leases := got(s.Exchange(ctx(), budget.Call{Replica: "x", Rows: []record.Spend{r}, Claims: []budget.Claim{{Account: "team:a\x00b"}}}))(t)
		equal(t, []budget.Lease{{Account: "team:a\x00b", Gone: true}}, leases)
		if spend := got(s.Key(ctx(), record.TokenOf("sk-1")))(t).Spend; spend != r.Cost {
			t.Errorf("the key has spent %d, want %d", spend, r.Cost)
		}
		want := row("1")
		want.Accounts = []string{"team:a\x00b", account("sk-1"), "team:\uFFFD", "team:" + strings.Repeat("x", 1<<20)}
		want.ID, want.EndUser, want.Model, want.Path = "1\uFFFD", "a\uFFFDb", "c\uFFFDd", []string{"e\x00f", "g\uFFFD"}
		want.RequestID, want.APIBase = strings.Repeat("x", 1024), strings.Repeat("x", 1023)+"\uFFFD"
		equal(t, []record.Spend{want}, got(s.SpendRows(ctx(), store.SpendQuery{}))(t))
	})
}

func TestSpendNeverGrowsBeyondWhatCanBeAdded(t *testing.T) {
	onBoth(t, func(t *testing.T, d database) {
		s := d.open(t)
		must(t, s.InsertKey(ctx(), bare("sk-1"), by("/key/generate")))
		dear, less := row("2"), row("3")
		dear.Cost, less.Cost = math.MaxInt64, -5
		must(t, s.WriteSpend(ctx(), []record.Spend{row("1"), dear, less}))
		if spend := got(s.Key(ctx(), record.TokenOf("sk-1")))(t).Spend; spend != record.MostNano {
			t.Errorf("the key has spent %d, want %d", spend, record.MostNano)
		}
	})
}

func TestSpendOfARegeneratedKeyIsOneHistory(t *testing.T) {
	onBoth(t, func(t *testing.T, d database) {
		s := d.open(t)
		must(t, s.InsertKey(ctx(), bare("sk-1"), by("/key/generate")))
		must(t, s.WriteSpend(ctx(), []record.Spend{row("1")}))
		got(s.UpdateKey(ctx(), record.TokenOf("sk-1"), by("/key/regenerate"), func(k *record.Key) error { k.Token = record.TokenOf("sk-2"); return nil }))(t)
		must(t, s.WriteSpend(ctx(), []record.Spend{row("2")})) // was on its way
		late := row("3")
		late.Token, late.Accounts = record.TokenOf("sk-2"), []string{account("sk-2"), account("sk-1")}
		must(t, s.WriteSpend(ctx(), []record.Spend{late}))

		now := record.TokenOf("sk-2")
		if spend := got(s.Key(ctx(), now))(t).Spend; spend != 3000 {
			t.Errorf("the key has spent %d, want 3000", spend)
		}
		equal(t, []store.Sum{{Name: now, Cost: 3000, Requests: 3, Tokens: 36}}, got(s.SpendBy(ctx(), store.ByToken, store.SpendQuery{}))(t))
		rows := got(s.SpendRows(ctx(), store.SpendQuery{Token: now}))(t)
		for _, r := range rows {
			if r.Token != now {
				t.Errorf("row %s has token %s, want the one of now", r.ID, r.Token)
			}
		}
		if len(rows) != 3 {
			t.Errorf("%d rows, want 3", len(rows))
		}
	})
}

func TestSpendIsFiltered(t *testing.T) {
	other := row(record.SpendID("r2", record.MostAttempts))
	other.Token, other.TeamID, other.UserID, other.Model, other.RequestID, other.Start = "x", "t2", "u2", "slow", "r2", epoch.Add(time.Hour)
	onBoth(t, func(t *testing.T, d database) {
		s := d.open(t)
		must(t, s.WriteSpend(ctx(), []record.Spend{row("1"), other}))
		for name, q := range map[string]store.SpendQuery{
			"token": {Token: "x"}, "team": {TeamID: "t2"}, "user": {UserID: "u2"}, "model": {Model: "slow"}, "request": {RequestID: "r2"},
			"from": {From: other.Start}, "to": {From: epoch.Add(1), To: other.Start.Add(1)}, "limit": {Limit: 1},
		} {
			t.Run(name, func(t *testing.T) {
				equal(t, []record.Spend{other}, got(s.SpendRows(ctx(), q))(t))
			})
		}
		equal(t, []record.Spend{row("1")}, got(s.SpendRows(ctx(), store.SpendQuery{Limit: 1, Offset: 1}))(t))
		if rows := got(s.SpendRows(ctx(), store.SpendQuery{From: epoch.Add(1), To: other.Start}))(t); len(rows) != 0 {
			t.Errorf("found %v between them", rows)
		}
	})
}

func TestSpendIsSummedUp(t *testing.T) {
	rows := []record.Spend{row("1"), row("2"), row("3")}
	rows[2].Token, rows[2].TeamID, rows[2].UserID, rows[2].Model = "x", "t2", "u2", "slow"
	rows[2].Cost, rows[2].Total, rows[2].Start = 5000, 1, epoch.Add(12*time.Hour)
	dear := func(name string) store.Sum { return store.Sum{Name: name, Cost: 5000, Requests: 1, Tokens: 1} }
	cheap := func(name string) store.Sum { return store.Sum{Name: name, Cost: 2000, Requests: 2, Tokens: 24} }
	onBoth(t, func(t *testing.T, d database) {
		s := d.open(t)
		must(t, s.WriteSpend(ctx(), rows))
		for by, want := range map[store.Dimension][]store.Sum{
			store.ByToken: {dear("x"), cheap(record.TokenOf("sk-1"))},
			store.ByModel: {dear("slow"), cheap("fast")},
			store.ByTeam:  {dear("t2"), cheap("t1")},
			store.ByUser:  {dear("u2"), cheap("u1")},
			store.ByDay:   {cheap("2026-03-01"), dear("2026-03-02")},
		} {
			equal(t, want, got(s.SpendBy(ctx(), by, store.SpendQuery{}))(t))
			equal(t, want[:1], got(s.SpendBy(ctx(), by, store.SpendQuery{Limit: 1}))(t))
		}
		equal(t, []store.Sum{cheap("fast")}, got(s.SpendBy(ctx(), store.ByModel, store.SpendQuery{To: epoch.Add(time.Hour)}))(t))
		if _, err := s.SpendBy(ctx(), "moon", store.SpendQuery{}); err == nil {
			t.Error("summed up by the moon")
		}
	})
}

func TestPruneDeletesWhatIsOlder(t *testing.T) {
	const old = 1100 // more than two chunks
	onBoth(t, func(t *testing.T, d database) {
		s := d.open(t)
		must(t, s.InsertKey(ctx(), bare("sk-1"), by("/key/generate")))
		rows := make([]record.Spend, old+1)
		for i := range rows {
			rows[i] = row(fmt.Sprint(i))
		}
		rows[old].Start = epoch.Add(1)
		for chunk := range slices.Chunk(rows, 100) {
			must(t, s.WriteSpend(ctx(), chunk))
		}
		if n := got(s.Prune(ctx(), epoch.Add(1)))(t); n != old {
			t.Errorf("pruned %d rows, want %d", n, old)
		}
		equal(t, rows[old:], got(s.SpendRows(ctx(), store.SpendQuery{}))(t))
		if spend := got(s.Key(ctx(), record.TokenOf("sk-1")))(t).Spend; spend != (old+1)*1000 {
			t.Errorf("the key has spent %d, want %d as before", spend, (old+1)*1000)
		}
	})
}
