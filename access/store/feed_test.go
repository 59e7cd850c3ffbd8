package store_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nestor-gateway/nestor/access/record"
	"github.com/nestor-gateway/nestor/access/store"
)

// patience is how long changes get to arrive, on a machine that is busy with other tests.
const patience = 30 * time.Second

// told is what a watcher is told.
type told struct {
	changes chan record.Change
	ended   chan error
	stop    context.CancelFunc
}

// watch begins to listen, and returns when it is sure to.
func watch(t *testing.T, s *store.Store) *told {
	t.Helper()
	watching, stop := context.WithCancel(ctx())
	w := &told{changes: make(chan record.Change, 10_000), ended: make(chan error, 1), stop: stop}
	go func() { w.ended <- s.Watch(watching, func(c record.Change) { w.changes <- c }) }()
	t.Cleanup(func() {
		stop()
		if err := <-w.ended; !errors.Is(err, context.Canceled) {
			t.Errorf("watching ended with %v, want %v", err, context.Canceled)
		}
	})
	w.expect(t, record.Change{Kind: record.All})
	return w
}

// expect is what comes next, in any order.
func (w *told) expect(t *testing.T, want ...record.Change) {
	t.Helper()
	var heard []record.Change
	for range want {
		select {
		case c := <-w.changes:
			heard = append(heard, c)
		case <-time.After(patience):
			t.Fatalf("told %v, want %v", heard, want)
		}
	}
	byID := func(a, b record.Change) int { return strings.Compare(string(a.Kind)+a.ID, string(b.Kind)+b.ID) }
	slices.SortFunc(heard, byID)
	slices.SortFunc(want, byID)
	equal(t, want, heard)
}

func TestEveryChangeIsTold(t *testing.T) {
	onBoth(t, func(t *testing.T, d database) {
		s := d.open(t)
		w := watch(t, s)
		of := func(key string) record.Change {
			return record.Change{Kind: record.OfKey, ID: record.TokenOf(key)}
		}
		team := record.Change{Kind: record.OfTeam, ID: "a team: 'x' é"}
		must(t, s.InsertTeam(ctx(), record.Team{ID: team.ID}, by("/team/new")))
		w.expect(t, team)
		k := bare("sk-1")
		k.TeamID = team.ID
		must(t, s.InsertKey(ctx(), k, by("/key/generate")))
		w.expect(t, of("sk-1"))
		got(s.UpdateKey(ctx(), k.Token, by("/key/regenerate"), func(k *record.Key) error { k.Token = record.TokenOf("sk-2"); return nil }))(t)
		w.expect(t, of("sk-1"), of("sk-2"))
		got(s.DeleteTeams(ctx(), []string{team.ID}, by("/team/delete")))(t)
		w.expect(t, team, of("sk-2"))
		must(t, s.InsertUser(ctx(), record.User{ID: "u"}, by("/user/new")))
		must(t, s.InsertBudget(ctx(), record.Budget{ID: "b"}, by("/budget/new")))
		w.expect(t, record.Change{Kind: record.OfUser, ID: "u"}, record.Change{Kind: record.OfBudget, ID: "b"})
	})
}

func TestWhatWasNotDoneIsNotTold(t *testing.T) {
	onBoth(t, func(t *testing.T, d database) {
		s := d.open(t)
		must(t, s.InsertKey(ctx(), bare("sk-1"), by("/key/generate")))
		w := watch(t, s)
		_, err := s.UpdateKey(ctx(), bare("sk-1").Token, by("/key/update"), func(*record.Key) error { return errors.New("no") })
		if err == nil {
			t.Fatal("the change was made")
		}
		must(t, s.InsertUser(ctx(), record.User{ID: "u"}, by("/user/new")))
		w.expect(t, record.Change{Kind: record.OfUser, ID: "u"})
	})
}

func TestSpendIsNoChange(t *testing.T) {
	onBoth(t, func(t *testing.T, d database) {
		s := d.open(t)
		must(t, s.InsertKey(ctx(), bare("sk-1"), by("/key/generate")))
		w := watch(t, s)
		must(t, s.WriteSpend(ctx(), []record.Spend{row("1")}))
		must(t, s.InsertUser(ctx(), record.User{ID: "u"}, by("/user/new")))
		w.expect(t, record.Change{Kind: record.OfUser, ID: "u"})
	})
}

func TestVeryManyChangesAreOne(t *testing.T) {
	const many = 1001
	onBoth(t, func(t *testing.T, d database) {
		s := d.open(t)
		must(t, s.InsertTeam(ctx(), record.Team{ID: "t"}, by("/team/new")))
		keys := make([]record.Key, many)
		for i := range keys {
			keys[i] = bare(fmt.Sprint("sk-", i))
		}
		must(t, s.Import(ctx(), keys))
		w := watch(t, s)
		got(s.DeleteKeys(ctx(), tokensOf(keys), by("/key/delete")))(t)
		w.expect(t, record.Change{Kind: record.All})
	})
}

func tokensOf(keys []record.Key) (tokens []string) {
	for _, k := range keys {
		tokens = append(tokens, k.Token)
	}
	return tokens
}

func TestAnIDTooLongToBeToldIsAll(t *testing.T) {
	s := postgres(t).open(t)
	w := watch(t, s)
	long := record.Change{Kind: record.OfTeam, ID: strings.Repeat("é", 3900)}
	must(t, s.Announce(ctx(), long))
	w.expect(t, long)
	long.ID += strings.Repeat("é", 100)
	must(t, s.Announce(ctx(), long))
	w.expect(t, record.Change{Kind: record.All})
}

func TestReplicasAreTold(t *testing.T) {
	d := postgres(t)
	one, other := d.open(t), d.open(t)
	w := watch(t, other)
	began := time.Now()
	must(t, one.InsertKey(ctx(), bare("sk-1"), by("/key/generate")))
	w.expect(t, record.Change{Kind: record.OfKey, ID: bare("sk-1").Token})
	t.Logf("told after %v", time.Since(began))
}

func TestAfterAFailureOfTheFeedAnythingMayHaveChanged(t *testing.T) {
	for name, fail := range map[string]func(database){
		"disconnected": func(d database) { d.server.Disconnect() },
		"stopped":      func(d database) { d.server.Stop(); d.server.Start() },
		"killed":       func(d database) { d.server.Kill(); d.server.Start() },
	} {
		t.Run(name, func(t *testing.T) {
			d := own(t)
			s := d.open(t)
			w := watch(t, s)
			fail(d)
			w.expect(t, record.Change{Kind: record.All})
			insertAgain(t, s, record.User{ID: "u"})
			w.expect(t, record.Change{Kind: record.OfUser, ID: "u"})
		})
	}
}

// insertAgain writes through connections of a pool of which some may be dead.
func insertAgain(t *testing.T, s *store.Store, u record.User) {
	t.Helper()
	var err error
	for range 20 {
		if err = s.InsertUser(ctx(), u, by("/user/new")); err == nil {
			return
		}
	}
	t.Fatal(err)
}
