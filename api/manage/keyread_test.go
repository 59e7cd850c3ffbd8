package manage_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/nestor-gateway/nestor/access/record"
	"github.com/nestor-gateway/nestor/access/store"
	"github.com/nestor-gateway/nestor/api/manage"
)

func TestSeveralKeysAreShownToWhoMaySeeThem(t *testing.T) {
	r := newRig(t)
	r.done(r.post("/team/new", `{"team_id": "t1", "members_with_roles": [{"user_id": "ann", "role": "user"}]}`))
	of := map[string]string{
		"ann": r.generate(`{"key_alias": "of ann", "user_id": "ann"}`), "bob": r.generate(`{"key_alias": "of bob", "user_id": "bob"}`),
		"team": r.generate(`{"key_alias": "of t1", "team_id": "t1"}`), "nobody": r.generate(`{"key_alias": "of nobody"}`),
	}
	body := fmt.Sprintf(`{"keys": [%q, %q, "sk-nobody-has-this-key"], "key_aliases": ["of ann", "of t1", "of bob", "none"]}`, of["nobody"], record.TokenOf(of["bob"]))
	keys := []any{of["nobody"], record.TokenOf(of["bob"]), "sk-nobody-has-this-key"}
	for who, want := range map[string][]any{
		master: {"of nobody", "of bob", "of ann", "of t1"}, of["ann"]: {"of ann", "of t1"}, of["bob"]: {"of bob"}, of["team"]: {"of t1"}, of["nobody"]: {"of nobody"},
	} {
		got := r.done(r.ask(who, http.MethodPost, "/v2/key/info", body))
		mustEqual(t, any(keys), got["key"])
		mustEqual(t, want, column(got["info"], "key_alias"))
		for _, token := range column(got["info"], "token") {
			mustEqual(t, nil, token)
		}
	}
	mustEqual(t, reply{200, object{"key": nil, "info": []any{}}}, r.post("/v2/key/info", `{"key_aliases": ["none"]}`))
	mustEqual(t, bad("keys", "At least one of 'keys' or 'key_aliases' must be provided."), r.post("/v2/key/info", `{"keys": []}`))
	mustEqual(t, bad("keys", "1001 keys are named; at most 1000 can be asked about at a time"),
		r.post("/v2/key/info", `{"keys": ["x"`+strings.Repeat(`, "x"`, 1000)+`]}`))
}

// counted is a store that counts what it is asked.
type counted struct {
	manage.Store
	calls int
}

func (s *counted) Key(ctx context.Context, token string) (record.Key, error) {
	s.calls++
	return s.Store.Key(ctx, token)
}

func (s *counted) Keys(ctx context.Context, q store.KeyQuery) ([]record.Key, int, error) {
	s.calls++
	return s.Store.Keys(ctx, q)
}

func (s *counted) Team(ctx context.Context, id string) (record.Team, error) {
	s.calls++
	return s.Store.Team(ctx, id)
}

func (s *counted) Teams(ctx context.Context, q store.TeamQuery) ([]record.Team, int, error) {
	s.calls++
	return s.Store.Teams(ctx, q)
}

// Everybody who has a key may ask: the database has a few questions to answer, and none for who has left.
func TestAQuestionAboutManyKeysIsFewQuestionsToTheDatabase(t *testing.T) {
	r := newRig(t)
	s := &counted{Store: r.store}
	r.handler.Store = s
	r.done(r.post("/team/new", `{"team_id": "t1", "members_with_roles": [{"user_id": "ann", "role": "user"}]}`))
	ann, names := r.generate(`{"user_id": "ann"}`), []string{}
	for i := range 20 {
		names = append(names, fmt.Sprint("k", i))
		r.generate(`{"team_id": "t1", "key_alias": "` + names[i] + `"}`)
	}
	body := `{"keys": ["` + strings.Repeat(`x", "`, 900) + `x"], "key_aliases": ["` + strings.Join(names, `", "`) + `"]}`
	s.calls = 0
	mustEqual(t, 20, len(r.done(r.ask(ann, http.MethodPost, "/v2/key/info", body))["info"].([]any)))
	if s.calls > 3 {
		t.Errorf("the store is asked %d times", s.calls)
	}
	ctx, leave := context.WithCancel(t.Context())
	leave()
	request := httptest.NewRequest(http.MethodPost, "/v2/key/info", strings.NewReader(body)).WithContext(ctx)
	request.Header.Set("Authorization", "Bearer "+ann)
	mustEqual(t, 503, r.send(request).Status)
}

func TestAliasesAreListedToWhoMaySeeTheirKeys(t *testing.T) {
	r := newRig(t)
	r.done(r.post("/team/new", `{"team_id": "t1", "members_with_roles": [{"user_id": "ann", "role": "user"}]}`))
	ann, alone := r.generate(`{"key_alias": "b of ann", "user_id": "ann"}`), r.generate(`{}`)
	bob := r.generate(`{"key_alias": "c of bob", "team_id": "t1"}`)
	r.generate(`{"key_alias": "a of bob", "user_id": "bob"}`)
	page := func(total, number, pages, size float64, names ...any) reply {
		return reply{200, object{"aliases": append([]any{}, names...), "total_count": total, "current_page": number, "total_pages": pages, "size": size}}
	}
	mustEqual(t, page(3, 1, 1, 50, "a of bob", "b of ann", "c of bob"), r.get("/key/aliases"))
	mustEqual(t, page(3, 2, 2, 2, "c of bob"), r.get("/key/aliases?size=2&page=2"))
	mustEqual(t, page(2, 1, 1, 50, "a of bob", "c of bob"), r.get("/key/aliases?search=BOB"))
	mustEqual(t, page(1, 1, 1, 50, "c of bob"), r.get("/key/aliases?team_id=t1"))
	mustEqual(t, page(2, 1, 1, 50, "b of ann", "c of bob"), r.ask(ann, http.MethodGet, "/key/aliases", ""))
	mustEqual(t, page(0, 1, 0, 50), r.ask(alone, http.MethodGet, "/key/aliases", ""))
	mustEqual(t, page(0, 1, 0, 50), r.ask(bob, http.MethodGet, "/key/aliases", ""))
	mustEqual(t, bad("size", `size must be a whole number from 1 to 100, not "101"`), r.get("/key/aliases?size=101"))
}
