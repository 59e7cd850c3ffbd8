package access_test

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/nestor-gateway/nestor/access"
	"github.com/nestor-gateway/nestor/access/record"
)

func start() time.Time { return time.Date(2030, 1, 2, 3, 4, 5, 600_000_000, time.UTC) }

func TestKeysAreGoodUntilTheyAreBlockedOrExpireOrTheirTeamIs(t *testing.T) {
	m := newMemory()
	m.teams["open"] = record.Team{ID: "open"}
	m.teams["shut"] = record.Team{ID: "shut", Blocked: true}
	denied := func(kind, message string) *access.Denial {
		return &access.Denial{Status: 401, Type: kind, Code: "401", Message: "Authentication Error, " + message}
	}
	unknown := denied("token_not_found_in_db", "Invalid proxy server token passed: the API key is not known. Create one with /key/generate")
	unknown.Param = "key"
	cases := map[string]struct {
		key  record.Key
		want *access.Denial
	}{
		"good":    {record.Key{}, nil},
		"team":    {record.Key{TeamID: "open"}, nil},
		"later":   {record.Key{Expires: start().Add(time.Second)}, nil},
		"now":     {record.Key{Expires: start()}, nil},
		"blocked": {record.Key{Blocked: true}, denied("auth_error", "Key is blocked. Update via `/key/unblock` if you're an admin.")},
		"expired": {record.Key{Expires: start().Add(-time.Second)}, denied("expired_key",
			"Expired Key. Key Expiry time 2030-01-02 03:04:04.6+00:00 and current time 2030-01-02 03:04:05.6+00:00")},
		"shut":   {record.Key{TeamID: "shut"}, denied("auth_error", "Team=shut is blocked. Update via `/team/unblock` if you're an admin.")},
		"orphan": {record.Key{TeamID: "gone"}, denied("auth_error", "Team doesn't exist in db. Team=gone.")},
	}
	for name, c := range cases {
		m.addKey(name, c.key)
	}
	x := loaded(t, m, access.Options{Now: start})
	for name, c := range cases {
		p, denial := x.Authenticate(bearing(secretOf(name)))
		if diff := cmp.Diff(c.want, denial); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		if good := p.Key != nil && p.Key.Token == record.TokenOf(secretOf(name)); good != (c.want == nil) {
			t.Errorf("%s: principal %+v", name, p)
		}
	}
	for name, key := range map[string]string{"no such key": "sk-other", "a token": record.TokenOf(secretOf("good")), "nothing": ""} {
		if _, denial := x.Authenticate(headers{"api-key": key, "x-api-key": "sk-x"}.get); denial == nil || cmp.Diff(unknown, denial) != "" {
			t.Errorf("%s: %v, want %v", name, denial, unknown)
		}
	}
}

func TestTheMasterKeyStandsBesideTheKeysOfTheStore(t *testing.T) {
	m := newMemory()
	m.addKey("a", record.Key{})
	x := loaded(t, m, access.Options{})
	p, denial := x.Authenticate(bearing(master))
	if diff := cmp.Diff(verdict{access.Principal{Master: true}, nil}, verdict{p, denial}); diff != "" {
		t.Error(diff)
	}
	x.SetMaster("sk-another-master")
	if _, denial := x.Authenticate(bearing(master)); denial == nil {
		t.Error("the master key before is still let in")
	}
	as(t, x, "a")
	x.SetMaster("")
	p, denial = x.Authenticate(bearing("sk-whatever"))
	if diff := cmp.Diff(verdict{access.Principal{Anonymous: true}, nil}, verdict{p, denial}); diff != "" {
		t.Error(diff)
	}
}

func TestWithoutAStoreTheMasterKeyIsTheOnlyOne(t *testing.T) {
	x := access.New(access.Options{})
	x.SetMaster(master)
	if p, denial := x.Authenticate(bearing(master)); denial != nil || !p.Master {
		t.Errorf("%+v, %v", p, denial)
	}
	_, got := x.Authenticate(bearing("sk-other"))
	_, want := access.NewMaster(master).Authenticate(bearing("sk-other"))
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestWhoMayManage(t *testing.T) {
	m := newMemory()
	m.users["admin"] = record.User{ID: "admin", Role: record.RoleAdmin}
	m.users["user"] = record.User{ID: "user", Role: record.RoleInternal}
	for name, user := range map[string]string{"admin": "admin", "user": "user", "unknown": "gone", "nobody": ""} {
		m.addKey(name, record.Key{UserID: user})
	}
	x := loaded(t, m, access.Options{})
	got := map[string]bool{
		"master": access.Principal{Master: true}.CanManage(), "anonymous": access.Principal{Anonymous: true}.CanManage(), "zero": access.Principal{}.CanManage(),
	}
	for _, name := range []string{"admin", "user", "unknown", "nobody"} {
		got[name] = as(t, x, name).CanManage()
	}
	want := map[string]bool{"master": true, "admin": true, "anonymous": false, "zero": false, "user": false, "unknown": false, "nobody": false}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestOthersThanKeysMayAll(t *testing.T) {
	call := access.Call{Route: "/v1/chat/completions", Model: "fast"}
	for _, p := range []access.Principal{{Master: true}, {Anonymous: true}} {
		if d := p.May(call); d != nil || !p.MaySee("fast") || p.Model("fast") != "fast" || p.Limits(nil, "fast") != nil {
			t.Errorf("%+v: %v", p, d)
		}
	}
	if d := (access.Principal{}).May(call); d == nil || d.Status != 401 {
		t.Errorf("nobody: %v", d)
	}
}

func TestADeniedModelIsToldInLiteLLMsWords(t *testing.T) {
	m := newMemory()
	m.addKey("a", record.Key{Models: []string{"fast"}})
	got := as(t, loaded(t, m, access.Options{}), "a").May(access.Call{Route: "/v1/chat/completions", Model: "slow"})
	want := &access.Denial{Status: 403, Type: "key_model_access_denied", Code: "403", Param: "model",
		Message: "The requested model 'slow' is not available for this API key, or the model name is invalid. Check the models available to you and try again."}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestAKeysAndATeamsAliasesStandForModels(t *testing.T) {
	m := newMemory()
	m.teams["t"] = record.Team{ID: "t", Aliases: map[string]string{"gpt": "team-gpt", "both": "of-team"}}
	m.addKey("a", record.Key{TeamID: "t", Aliases: map[string]string{"mine": "fast", "team-gpt": "again", "both": "of-key"}})
	p := as(t, loaded(t, m, access.Options{}), "a")
	got := map[string]string{}
	for _, called := range []string{"gpt", "mine", "both", "of-team", "other"} {
		got[called] = p.Model(called)
	}
	want := map[string]string{"gpt": "again", "mine": "fast", "both": "of-team", "of-team": "of-team", "other": "other"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// following runs the test with an index that follows the store.
func following(t *testing.T, m *memory, do func(*testing.T, *access.Index)) {
	synctest.Test(t, func(t *testing.T) {
		x := access.New(access.Options{Store: m, NotFound: errNotFound})
		x.SetMaster(master)
		ended := make(chan error)
		ctx := t.Context()
		go func() { ended <- x.Follow(ctx) }()
		t.Cleanup(func() {
			if err := <-ended; err != nil {
				t.Error(err)
			}
		})
		synctest.Wait()
		do(t, x)
	})
}

func knows(x *access.Index, name string) bool {
	_, denial := x.Authenticate(bearing(secretOf(name)))
	return denial == nil
}

func TestChangesOfTheStoreAreFollowed(t *testing.T) {
	m := newMemory()
	m.teams["t"] = record.Team{ID: "t", Models: []string{"fast"}}
	a := m.addKey("a", record.Key{TeamID: "t", UserID: "u"})
	following(t, m, func(t *testing.T, x *access.Index) {
		p := as(t, x, "a")
		steps := []struct {
			name string
			do   func()
			told record.Change
			want func() bool
		}{
			{"another key", func() { m.addKey("b", record.Key{}) }, record.Change{Kind: record.OfKey, ID: record.TokenOf(secretOf("b"))},
				func() bool { return knows(x, "b") }},
			{"a team's models", func() { m.teams["t"] = record.Team{ID: "t", Models: []string{"slow"}} }, record.Change{Kind: record.OfTeam, ID: "t"},
				func() bool { return p.MaySee("slow") && !p.MaySee("fast") }},
			{"a user", func() { m.users["u"] = record.User{ID: "u", Role: record.RoleAdmin} }, record.Change{Kind: record.OfUser, ID: "u"}, p.CanManage},
			{"a key that is blocked", func() { a.Blocked = true; m.keys[a.Token] = a }, record.Change{Kind: record.OfKey, ID: a.Token},
				func() bool { return !knows(x, "a") }},
			{"a key that goes", func() { delete(m.keys, record.TokenOf(secretOf("b"))) }, record.Change{Kind: record.OfKey, ID: record.TokenOf(secretOf("b"))},
				func() bool { return !knows(x, "b") }},
			{"anything", func() { m.addKey("c", record.Key{}); delete(m.keys, a.Token) }, record.Change{Kind: record.All},
				func() bool { return knows(x, "c") }},
		}
		for _, s := range steps {
			if s.want() {
				t.Errorf("%s: so it is before", s.name)
			}
			m.change(s.do, s.told)
			synctest.Wait()
			if !s.want() {
				t.Errorf("%s is not followed", s.name)
			}
		}
	})
}

func TestKeysOfATeamOrUserThatGoesAreReadAgain(t *testing.T) {
	for _, kind := range []record.Kind{record.OfTeam, record.OfUser} {
		m := newMemory()
		m.teams["o"], m.users["o"] = record.Team{ID: "o"}, record.User{ID: "o", Models: []string{"fast"}}
		k := record.Key{UserID: "o"}
		if kind == record.OfTeam {
			k = record.Key{TeamID: "o"}
		}
		m.addKey("a", k)
		m.addKey("b", record.Key{})
		x := loaded(t, m, access.Options{})
		m.change(func() { delete(m.teams, "o"); delete(m.users, "o"); delete(m.keys, record.TokenOf(secretOf("a"))) })
		if err := x.Apply(t.Context(), record.Change{Kind: kind, ID: "o"}); err != nil {
			t.Fatal(err)
		}
		if _, denial := x.Authenticate(bearing(secretOf("a"))); denial == nil || denial.Type != "token_not_found_in_db" {
			t.Errorf("the key of a %s that is gone: %v", kind, denial)
		}
		if !knows(x, "b") {
			t.Errorf("a key of no %s is not known any more", kind)
		}
	}
}

func TestKnownKeysGoOnWorkingWhileTheStoreIsDown(t *testing.T) {
	m := newMemory()
	m.addKey("a", record.Key{})
	following(t, m, func(t *testing.T, x *access.Index) {
		m.change(func() { m.down = errors.New("down"); m.addKey("b", record.Key{}) },
			record.Change{Kind: record.All}, record.Change{Kind: record.OfKey, ID: record.TokenOf(secretOf("b"))})
		time.Sleep(time.Minute)
		if !knows(x, "a") || knows(x, "b") {
			t.Error("while the store is down something else is known than before")
		}
		m.change(func() { m.down = nil })
		time.Sleep(6 * time.Second)
		if !knows(x, "a") || !knows(x, "b") {
			t.Error("when the store is back what changed is not read")
		}
	})
}

func TestAChangeThatCantBeReadHoldsUpNoOther(t *testing.T) {
	m := newMemory()
	following(t, m, func(t *testing.T, x *access.Index) {
		m.teams["t"] = record.Team{ID: "t"}
		m.broken = "t"
		m.change(func() { m.addKey("a", record.Key{}) }, record.Change{Kind: record.OfTeam, ID: "t"}, record.Change{Kind: record.OfKey, ID: record.TokenOf(secretOf("a"))})
		time.Sleep(time.Second)
		if !knows(x, "a") {
			t.Error("a key is not known because a team can't be read")
		}
	})
}

// Somebody may have written a key where its hash belongs.
func TestWhatIsNoTokenIsLeftOutAndNotTold(t *testing.T) {
	m, log := newMemory(), &bytes.Buffer{}
	m.keys[secretOf("a")] = record.Key{Token: secretOf("a"), Name: "sk-...cdef"}
	x := loaded(t, m, access.Options{Log: slog.New(slog.NewTextHandler(log, nil))})
	if err := x.Apply(t.Context(), record.Change{Kind: record.OfKey, ID: secretOf("a")}); err != nil {
		t.Fatal(err)
	}
	if said := log.String(); strings.Contains(said, secretOf("a")) || !strings.Contains(said, "sk-...cdef") || knows(x, "a") {
		t.Errorf("knows the key: %v; said %s", knows(x, "a"), said)
	}
}
