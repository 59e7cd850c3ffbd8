package access_test

import (
	"path/filepath"
	"testing"

	"github.com/nestor-gateway/nestor/access"
	"github.com/nestor-gateway/nestor/access/record"
	"github.com/nestor-gateway/nestor/access/store"
)

// sqlite opens a database of the test's own.
func sqlite(t testing.TB) *store.Store {
	t.Helper()
	s, err := store.Open(t.Context(), store.Options{File: filepath.Join(t.TempDir(), "nestor.db")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func TestTheRecordsOfARealStoreAreRead(t *testing.T) {
	s := sqlite(t)
	x := access.New(access.Options{Store: s, NotFound: store.ErrNotFound})
	x.SetMaster(master)
	apply := func(err error, c record.Change) {
		t.Helper()
		if err == nil {
			err = x.Apply(t.Context(), c)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	token := record.TokenOf(secretOf("a"))
	audit := record.Audit{Action: "/key/generate"}
	apply(s.InsertTeam(t.Context(), record.Team{ID: "t", Models: []string{"fast"}}, audit), record.Change{Kind: record.OfTeam, ID: "t"})
	apply(s.InsertUser(t.Context(), record.User{ID: "u", Role: record.RoleAdmin}, audit), record.Change{Kind: record.OfUser, ID: "u"})
	apply(s.InsertKey(t.Context(), record.Key{Token: token, TeamID: "t", UserID: "u", Aliases: map[string]string{"mine": "fast"}}, audit), record.Change{Kind: record.OfKey, ID: token})
	p := as(t, x, "a")
	if !p.MaySee("mine") || p.MaySee("slow") || !p.CanManage() {
		t.Errorf("sees mine: %v, slow: %v; manages: %v", p.MaySee("mine"), p.MaySee("slow"), p.CanManage())
	}
	again := access.New(access.Options{Store: s, NotFound: store.ErrNotFound})
	again.SetMaster(master)
	apply(again.Load(t.Context()), record.Change{Kind: record.OfKey, ID: token})
	if !knows(again, "a") {
		t.Error("the key is not loaded")
	}
	_, err := s.DeleteTeams(t.Context(), []string{"t"}, audit)
	apply(err, record.Change{Kind: record.OfTeam, ID: "t"})
	if knows(x, "a") {
		t.Error("the key of a deleted team is let in")
	}
}
