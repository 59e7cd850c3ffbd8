package store_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nestor-gateway/nestor/access/record"
	"github.com/nestor-gateway/nestor/access/store"
)

func terms() record.Terms {
	return record.Terms{
		RPM: new(int64(10)), TPM: new(int64(0)), MaxParallel: new(int64(3)), MaxBudget: new(record.Nano(5e9)), SoftBudget: new(record.Nano(4e9)),
		BudgetDuration: "30d", BudgetResetAt: epoch.Add(30 * 24 * time.Hour),
	}
}

func stamp() record.Stamp {
	return record.Stamp{CreatedAt: epoch, UpdatedAt: epoch.Add(1), CreatedBy: "alice", UpdatedBy: "bob"}
}

// full is a key with everything set.
func full() record.Key {
	return record.Key{
		Token: record.TokenOf("sk-1"), Origin: record.TokenOf("sk-1"), Name: "sk-...1234", Alias: "first 'key' 100%", TeamID: "t1", UserID: "u1", BudgetID: "b1",
		Models: []string{"fast", "openai/*"}, Aliases: map[string]string{"gpt": "fast"}, Terms: terms(),
		ModelRPM: map[string]int64{"fast": 1}, ModelTPM: map[string]int64{"fast": 1 << 40},
		Metadata: json.RawMessage(`{"a": [1, "\u0000é"]}`), Tags: []string{"x"}, AllowedRoutes: []string{"/v1/*"},
		MaxRequestBytes: new(int64(1 << 20)), Blocked: true, Expires: epoch.Add(time.Hour), Stamp: stamp(), Spend: 17,
	}
}

func bare(key string) record.Key {
	return record.Key{Token: record.TokenOf(key), Origin: record.TokenOf(key), Name: key}
}

func fullTeam() record.Team {
	return record.Team{
		ID: "t1", Alias: "Team", Models: []string{"fast"}, Aliases: map[string]string{"a": "b"}, Terms: terms(),
		ModelRPM: map[string]int64{"fast": 1}, ModelTPM: map[string]int64{"fast": 2}, Metadata: json.RawMessage(`{}`), Tags: []string{"y"},
		Blocked: true, Members: []record.Member{{UserID: "u1", Role: "admin"}, {Email: "x@example.com", Role: "user"}}, Stamp: stamp(), Spend: 3,
	}
}

func fullUser() record.User {
	return record.User{
		ID: "u1", Alias: "User", Email: "u@example.com", Role: record.RoleInternal, Models: []string{"fast"}, Terms: terms(),
		ModelRPM: map[string]int64{"fast": 1}, ModelTPM: map[string]int64{"fast": 2}, Metadata: json.RawMessage(`{}`), Stamp: stamp(), Spend: 4,
	}
}

func by(action string) record.Audit {
	return record.Audit{Actor: record.MasterToken, Address: "192.0.2.1", Action: action, Detail: json.RawMessage(`{"x":1}`)}
}

func TestRecordsAreReadAsTheyWereWritten(t *testing.T) {
	onBoth(t, func(t *testing.T, d database) {
		s := d.open(t)
		user, team, key := fullUser(), fullTeam(), full()
		budget := record.Budget{ID: "b1", Terms: terms(), Stamp: stamp()}
		must(t, s.InsertUser(ctx(), user, by("/user/new")))
		must(t, s.InsertTeam(ctx(), team, by("/team/new")))
		must(t, s.InsertBudget(ctx(), budget, by("/budget/new")))
		must(t, s.InsertKey(ctx(), key, by("/key/generate")))
		must(t, s.Close())
		s = d.open(t)

		equal(t, key, got(s.Key(ctx(), key.Token))(t))
		equal(t, team, got(s.Team(ctx(), "t1"))(t))
		equal(t, user, got(s.User(ctx(), "u1"))(t))
		equal(t, budget, got(s.Budget(ctx(), "b1"))(t))

		equal(t, []record.Key{key}, all(t, s.EachKey))
		equal(t, []record.Team{team}, all(t, s.EachTeam))
		equal(t, []record.User{user}, all(t, s.EachUser))
		equal(t, []record.Budget{budget}, all(t, s.EachBudget))
	})
}

func TestARecordWithNothingSetIsReadAsSuch(t *testing.T) {
	onBoth(t, func(t *testing.T, d database) {
		s := d.open(t)
		must(t, s.InsertKey(ctx(), bare("sk-1"), by("/key/generate")))
		want := bare("sk-1")
		want.CreatedAt, want.UpdatedAt = epoch.Add(time.Second), epoch.Add(time.Second)
		equal(t, want, got(s.Key(ctx(), want.Token))(t))
	})
}

func TestWhatIsNotThereIsNotFound(t *testing.T) {
	onBoth(t, func(t *testing.T, d database) {
		s := d.open(t)
		_, err := s.Key(ctx(), "nobody")
		fails(t, err, store.ErrNotFound, `key "nobody"`)
		_, err = s.UpdateTeam(ctx(), "nobody", by("/team/update"), func(*record.Team) error { return nil })
		fails(t, err, store.ErrNotFound, `team "nobody"`)
		if n := got(s.DeleteKeys(ctx(), []string{"nobody"}, by("/key/delete")))(t); n != 0 {
			t.Errorf("deleted %d keys, want 0", n)
		}
		if lines := got(s.Audits(ctx(), store.AuditQuery{}))(t); len(lines) != 0 {
			t.Errorf("audited what was not done: %v", lines)
		}
	})
}

func TestIDsAndKeyAliasesAreUnique(t *testing.T) {
	onBoth(t, func(t *testing.T, d database) {
		s := d.open(t)
		first, second := bare("sk-1"), bare("sk-2")
		first.Alias, second.Alias = "a", "a"
		must(t, s.InsertKey(ctx(), first, by("/key/generate")))
		fails(t, s.InsertKey(ctx(), bare("sk-1"), by("/key/generate")), store.ErrTaken, first.Token)
		fails(t, s.InsertKey(ctx(), second, by("/key/generate")), store.ErrTaken, `key alias "a"`)
		second.Alias = ""
		must(t, s.InsertKey(ctx(), second, by("/key/generate")))
		must(t, s.InsertKey(ctx(), bare("sk-3"), by("/key/generate"))) // no alias either
		_, err := s.UpdateKey(ctx(), second.Token, by("/key/update"), func(k *record.Key) error { k.Alias = "a"; return nil })
		fails(t, err, store.ErrTaken, `key alias "a"`)
		must(t, s.InsertTeam(ctx(), record.Team{ID: "t"}, by("/team/new")))
		fails(t, s.InsertTeam(ctx(), record.Team{ID: "t"}, by("/team/new")), store.ErrTaken, `team "t"`)
	})
}

func TestTextThatADatabaseCannotHoldIsRefused(t *testing.T) {
	onBoth(t, func(t *testing.T, d database) {
		s := d.open(t)
		for _, text := range []string{"a\x00b", "a\xffb", "a\x1fb"} {
			k := bare("sk-1")
			k.Alias = text
			fails(t, s.InsertKey(ctx(), k, by("/key/generate")), store.ErrText, "write alias")
		}
	})
}

func TestAChangeThatFailsChangesNothing(t *testing.T) {
	onBoth(t, func(t *testing.T, d database) {
		s := d.open(t)
		must(t, s.InsertKey(ctx(), full(), by("/key/generate")))
		refusal := errors.New("no")
		_, err := s.UpdateKey(ctx(), full().Token, by("/key/update"), func(k *record.Key) error { k.Models = nil; k.Spend = 0; return refusal })
		fails(t, err, refusal, "no")
		equal(t, full(), got(s.Key(ctx(), full().Token))(t))
		if lines := got(s.Audits(ctx(), store.AuditQuery{Action: "/key/update"}))(t); len(lines) != 0 {
			t.Errorf("audited what was not done: %v", lines)
		}
	})
}

func TestUpdateReturnsWhatIsReadAfterIt(t *testing.T) {
	onBoth(t, func(t *testing.T, d database) {
		s := d.open(t)
		must(t, s.InsertKey(ctx(), full(), by("/key/generate")))
		changed := got(s.UpdateKey(ctx(), full().Token, by("/key/update"), func(k *record.Key) error {
			k.Models, k.Blocked, k.MaxBudget, k.Spend, k.BudgetResetAt, k.UpdatedBy = nil, false, nil, 0, time.Time{}, "carol"
			return nil
		}))(t)
		want := full()
		want.Models, want.Blocked, want.MaxBudget, want.Spend, want.BudgetResetAt, want.UpdatedBy = nil, false, nil, 0, time.Time{}, "carol"
		want.UpdatedAt = changed.UpdatedAt
		if !changed.UpdatedAt.After(epoch) {
			t.Errorf("updated at %v, want a time after %v", changed.UpdatedAt, epoch)
		}
		equal(t, want, changed)
		equal(t, want, got(s.Key(ctx(), want.Token))(t))
	})
}

func TestConcurrentUpdatesLoseNothing(t *testing.T) {
	const writers, each = 8, 20
	onBoth(t, func(t *testing.T, d database) {
		s := d.open(t)
		must(t, s.InsertKey(ctx(), bare("sk-1"), by("/key/generate")))
		token := bare("sk-1").Token
		var work sync.WaitGroup
		for w := range writers {
			work.Go(func() {
				for i := range each {
					_, err := s.UpdateKey(ctx(), token, by("/key/update"), func(k *record.Key) error {
						k.Tags = append(k.Tags, fmt.Sprint(w, "/", i))
						return nil
					})
					if err != nil {
						t.Error(err)
					}
				}
			})
		}
		work.Wait()
		if n := len(got(s.Key(ctx(), token))(t).Tags); n != writers*each {
			t.Errorf("%d of %d updates count", n, writers*each)
		}
	})
}

func TestDeletedTeamsAndUsersTakeTheirKeysAlong(t *testing.T) {
	onBoth(t, func(t *testing.T, d database) {
		s := d.open(t)
		must(t, s.InsertTeam(ctx(), fullTeam(), by("/team/new")))
		must(t, s.InsertTeam(ctx(), record.Team{ID: "other", Members: []record.Member{{UserID: "u2", Role: "user"}, {UserID: "u1", Role: "user"}}}, by("/team/new")))
		must(t, s.InsertUser(ctx(), fullUser(), by("/user/new")))
		for key, of := range map[string]record.Key{"sk-team": {TeamID: "t1"}, "sk-user": {UserID: "u1"}, "sk-free": {}} {
			of.Token = record.TokenOf(key)
			must(t, s.InsertKey(ctx(), of, by("/key/generate")))
		}
		if n := got(s.DeleteTeams(ctx(), []string{"t1", "nobody"}, by("/team/delete")))(t); n != 1 {
			t.Errorf("deleted %d teams, want 1", n)
		}
		equal(t, []string{record.TokenOf("sk-free"), record.TokenOf("sk-user")}, tokens(t, s, store.KeyQuery{SortBy: "token"}), sorted())
		if n := got(s.DeleteUsers(ctx(), []string{"u1"}, by("/user/delete")))(t); n != 1 {
			t.Errorf("deleted %d users, want 1", n)
		}
		equal(t, []string{record.TokenOf("sk-free")}, tokens(t, s, store.KeyQuery{}))
		equal(t, []record.Member{{UserID: "u2", Role: "user"}}, got(s.Team(ctx(), "other"))(t).Members)
	})
}

// An id that is used again begins without a spend.
func TestADeletedRecordLeavesNoAccount(t *testing.T) {
	onBoth(t, func(t *testing.T, d database) {
		s := d.open(t)
		must(t, s.InsertKey(ctx(), full(), by("/key/generate")))
		got(s.DeleteKeys(ctx(), []string{full().Token}, by("/key/delete")))(t)
		again := full()
		again.Spend = 0
		must(t, s.InsertKey(ctx(), again, by("/key/generate")))
		equal(t, again, got(s.Key(ctx(), again.Token))(t))
	})
}

func TestAKeyWithANewTokenKeepsItsAccount(t *testing.T) {
	onBoth(t, func(t *testing.T, d database) {
		s := d.open(t)
		must(t, s.InsertKey(ctx(), full(), by("/key/generate")))
		rename := func(from, to string) {
			got(s.UpdateKey(ctx(), record.TokenOf(from), by("/key/regenerate"), func(k *record.Key) error { k.Token = record.TokenOf(to); return nil }))(t)
		}
		rename("sk-1", "sk-2")
		rename("sk-2", "sk-3")
		rename("sk-3", "sk-1")
		rename("sk-1", "sk-2")
		_, err := s.Key(ctx(), record.TokenOf("sk-1"))
		fails(t, err, store.ErrNotFound, "")
		if k := got(s.Key(ctx(), record.TokenOf("sk-2")))(t); k.Spend != full().Spend || k.Alias != full().Alias {
			t.Errorf("spend %v and alias %q, want those of before: %v and %q", k.Spend, k.Alias, full().Spend, full().Alias)
		}
		must(t, s.InsertKey(ctx(), bare("sk-1"), by("/key/generate")))
		if k := got(s.Key(ctx(), record.TokenOf("sk-1")))(t); k.Spend != 0 {
			t.Errorf("another key with a former token has spent %v", k.Spend)
		}
		equal(t, record.TokenOf("sk-2"), got(s.KeyFrom(ctx(), record.TokenOf("sk-1")))(t).Token)
		_, err = s.KeyFrom(ctx(), record.TokenOf("sk-2"))
		fails(t, err, store.ErrNotFound, "")
	})
}

func TestOnlyKeysGetAnotherID(t *testing.T) {
	onBoth(t, func(t *testing.T, d database) {
		s := d.open(t)
		must(t, s.InsertTeam(ctx(), record.Team{ID: "t"}, by("/team/new")))
		_, err := s.UpdateTeam(ctx(), "t", by("/team/update"), func(t *record.Team) error { t.ID = "u"; return nil })
		if err == nil || !strings.Contains(err.Error(), "only keys") {
			t.Errorf("error %v, want one about the id", err)
		}
	})
}

func TestWhatIsDoneIsAudited(t *testing.T) {
	onBoth(t, func(t *testing.T, d database) {
		s := d.open(t)
		k := bare("sk-1")
		must(t, s.InsertKey(ctx(), k, by("/key/generate")))
		got(s.UpdateKey(ctx(), k.Token, by("/key/block"), func(k *record.Key) error { k.Blocked = true; return nil }))(t)
		got(s.DeleteKeys(ctx(), []string{k.Token}, by("/key/delete")))(t)
		line := func(id int64, action string) record.Audit {
			a := by(action)
			a.ID, a.Kind, a.Object = id, record.OfKey, k.Token
			return a
		}
		lines := got(s.Audits(ctx(), store.AuditQuery{}))(t)
		equal(t, []record.Audit{line(3, "/key/delete"), line(2, "/key/block"), line(1, "/key/generate")}, lines, withoutTime())
		equal(t, lines[1:2], got(s.Audits(ctx(), store.AuditQuery{Offset: 1, Limit: 1}))(t))
		equal(t, lines[1:2], got(s.Audits(ctx(), store.AuditQuery{From: lines[1].Time, To: lines[0].Time}))(t))
		equal(t, lines[:1], got(s.Audits(ctx(), store.AuditQuery{Action: "/key/delete", Actor: record.MasterToken, Object: k.Token, Kind: record.OfKey}))(t))
	})
}
