package manage_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/nestor-gateway/nestor/access/record"
	"github.com/nestor-gateway/nestor/api/manage"
)

// everyRoute is each route with a body by which a manager gets no 401 or 403.
func everyRoute() []struct{ method, path, body string } {
	return []struct{ method, path, body string }{
		{"POST", "/key/generate", `{}`}, {"POST", "/key/update", `{"key": "k"}`}, {"POST", "/key/regenerate", `{"key": "k"}`},
		{"POST", "/key/k/regenerate", ``}, {"POST", "/key/delete", `{"keys": ["k"]}`}, {"POST", "/key/block", `{"key": "k"}`},
		{"POST", "/key/unblock", `{"key": "k"}`}, {"GET", "/key/info", ``}, {"GET", "/key/list", ``},
		{"GET", "/key/aliases", ``}, {"POST", "/key/k/reset_spend", `{"reset_to": 0}`}, {"POST", "/v2/key/info", `{"keys": ["k"]}`},
		{"POST", "/team/new", `{"team_id": "t"}`}, {"POST", "/team/update", `{"team_id": "t"}`}, {"POST", "/team/block", `{"team_id": "t"}`},
		{"POST", "/team/unblock", `{"team_id": "t"}`}, {"POST", "/team/member_add", `{}`}, {"POST", "/team/member_update", `{}`}, {"POST", "/team/member_delete", `{}`},
		{"GET", "/team/info?team_id=t", ``}, {"GET", "/team/list", ``}, {"POST", "/team/delete", `{"team_ids": ["t"]}`},
		{"POST", "/user/new", `{}`}, {"POST", "/user/update", `{}`}, {"POST", "/user/delete", `{}`}, {"GET", "/user/info", ``}, {"GET", "/user/list", ``},
		{"POST", "/budget/new", `{}`}, {"POST", "/budget/update", `{}`}, {"POST", "/budget/delete", `{}`}, {"POST", "/budget/info", `{}`}, {"GET", "/budget/list", ``},
		{"GET", "/spend/logs", ``}, {"GET", "/spend/keys", ``}, {"GET", "/spend/users", ``},
		{"GET", "/global/spend", ``}, {"GET", "/global/spend/logs", ``}, {"GET", "/global/spend/keys", ``}, {"GET", "/global/spend/models", ``}, {"GET", "/global/spend/teams", ``}, {"GET", "/audit", ``},
	}
}

func TestWhoMayCallWhat(t *testing.T) {
	r := newRig(t)
	keyOf := func(role string) string {
		return r.done(r.post("/user/new", `{"user_id": "`+role+`", "user_role": "`+role+`"}`))["key"].(string)
	}
	holders := map[string]string{
		"nobody": "", "unknown": "sk-nobody-has-this-key", "plain": r.generate(`{}`), "internal": keyOf("internal_user"),
		"viewer": keyOf("proxy_admin_viewer"), "admin": keyOf("proxy_admin"), "master": master,
	}
	const own, view, change = "own", "view", "change"
	needs := func(method, path string) string {
		switch {
		case path == "/budget/info":
			return view
		case path == "/v2/key/info":
			return own
		case method == "POST":
			return change
		case strings.HasPrefix(path, "/global") || path == "/audit" || path == "/budget/list" || path == "/user/list":
			return view
		}
		return own
	}
	for who, key := range holders {
		for _, route := range everyRoute() {
			got := r.ask(key, route.method, route.path, route.body).Status
			refused := got == 401 || got == 403
			var want bool
			switch need := needs(route.method, route.path); who {
			case "nobody", "unknown":
				want = true
			case "plain":
				// This key has neither a user nor a team.
				want = need != own || route.path == "/key/list" || strings.HasPrefix(route.path, "/team/")
			case "internal":
				want = need != own || strings.HasPrefix(route.path, "/team/info")
			case "viewer":
				want = need == change
			}
			if refused != want {
				t.Errorf("%s at %s %s: status %d", who, route.method, route.path, got)
			}
		}
	}
}

func TestRefusalsSayWhy(t *testing.T) {
	r := newRig(t)
	plain, narrow := r.generate(`{}`), r.generate(`{"allowed_routes": ["llm_api_routes"]}`)
	mustEqual(t, forbidden("Only the master key, or a key of a user with the role proxy_admin, can call /key/generate."),
		r.ask(plain, http.MethodPost, "/key/generate", `{}`))
	mustEqual(t, forbidden("Virtual key is not allowed to call this route. Only allowed to call routes: [llm_api_routes]. Tried to call route: /key/info"),
		r.ask(narrow, http.MethodGet, "/key/info", ``))
	mustEqual(t, failure(405, "invalid_request_error", "/key/generate takes POST, not GET", nil, "method_not_allowed"), r.get("/key/generate"))
	mustEqual(t, failure(405, "invalid_request_error", "/key/{key}/regenerate takes POST, not GET", nil, "method_not_allowed"), r.get("/key/sk-x/regenerate"))
}

func TestWithoutAMasterKeyNobodyManages(t *testing.T) {
	r := newRig(t)
	r.index.SetMaster("")
	mustEqual(t, forbidden("/key/generate needs a key, and without general_settings.master_key nobody has one: set it"),
		r.ask("", http.MethodPost, "/key/generate", `{}`))
}

func TestOnlyAllowedAddressesManage(t *testing.T) {
	r := newRig(t)
	r.allowed = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	refused := forbidden("Access forbidden: IP address not allowed for management routes.")
	for _, tc := range []struct {
		peer      string
		forwarded []string
		allowed   bool
	}{
		{"10.1.2.3:4", nil, true},
		{"192.0.2.1:4", nil, false},
		{"192.0.2.1:4", []string{"10.1.2.3"}, true},
		{"[::ffff:10.1.2.3]:4", nil, true},
		{"10.1.2.3:4", []string{"10.1.2.3, 192.0.2.1"}, false},
		{"10.1.2.3:4", []string{"10.1.2.3", "192.0.2.1"}, false},
		{"192.0.2.1:4", []string{"192.0.2.1", "10.9.9.9, 10.1.2.3"}, true},
		{"10.1.2.3:4", []string{"nonsense"}, false},
	} {
		request := httptest.NewRequest(http.MethodGet, "/key/list", nil)
		request.Header.Set("Authorization", "Bearer "+master)
		request.RemoteAddr = tc.peer
		request.Header["X-Forwarded-For"] = tc.forwarded
		got := r.send(request)
		if tc.allowed && got.Status != 200 {
			t.Errorf("%+v: %v", tc, got)
		}
		if !tc.allowed {
			mustEqual(t, refused, got)
		}
	}
}

func TestRoutesAreNamedWithoutKeys(t *testing.T) {
	r := newRig(t)
	for path, want := range map[string]string{
		"/key/generate": "/key/generate", "/key/regenerate": "/key/regenerate", "/key/sk-secret/regenerate": "/key/{key}/regenerate",
		"/key/a/b/regenerate": "/key/{key}/regenerate", "/key": "", "/key/generate/": "", "/key/sk-secret/reset_spend": "/key/{key}/reset_spend",
		"/key/sk-secret/info": "", "/key//regenerate": "/key/{key}/regenerate", "/v2/key/info": "/v2/key/info", "/v1/models": "", "/": "", "/audit": "/audit",
	} {
		if got := r.handler.Route(path); got != want {
			t.Errorf("Route(%q) = %q, want %q", path, got, want)
		}
	}
}

func TestAFailingDatabaseIsTold(t *testing.T) {
	r := newRig(t)
	if err := r.store.Close(); err != nil {
		t.Fatal(err)
	}
	want := failure(503, "no_db_connection", "the database of keys can't be used now; nothing is known to have changed. See Nestor's log", nil, "503")
	mustEqual(t, want, r.post("/key/generate", `{}`))
	mustEqual(t, want, r.get("/key/list"))
	mustEqual(t, want, r.get("/spend/logs"))
	if !strings.Contains(r.log.String(), "route=/key/generate") {
		t.Errorf("the log has %s", &r.log)
	}
}

func TestAChangeWithoutApplyIsStillMade(t *testing.T) {
	r := newRig(t)
	r.handler = manage.New(manage.Options{Store: r.store, Auth: r.handler.Auth, Now: func() time.Time { return r.now }, Log: r.handler.Log})
	key := r.generate(`{}`)
	mustEqual(t, 401, r.ask(key, http.MethodGet, "/key/info", "").Status)
	if err := r.index.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	mustEqual(t, 200, r.ask(key, http.MethodGet, "/key/info", "").Status)
}

func TestAChangeIsPutInForceForClientsThatLeave(t *testing.T) {
	r := newRig(t)
	ctx, leave := context.WithCancel(t.Context())
	r.handler.Apply = func(ctx context.Context, c record.Change) error {
		leave()
		return r.index.Apply(ctx, c)
	}
	request := httptest.NewRequest(http.MethodPost, "/key/generate", strings.NewReader(`{"key": "sk-chosen-by-me-1234"}`)).WithContext(ctx)
	request.Header.Set("Authorization", "Bearer "+master)
	r.send(request)
	mustEqual(t, 200, r.ask("sk-chosen-by-me-1234", http.MethodGet, "/key/info", "").Status)
}

func TestAChangeIsMadeWholeForClientsThatLeave(t *testing.T) {
	r := newRig(t)
	r.done(r.post("/team/new", `{"team_id": "t1"}`))
	ctx, leave := context.WithCancel(t.Context())
	r.handler.Apply = func(ctx context.Context, c record.Change) error {
		leave() // once the user is made
		return r.index.Apply(ctx, c)
	}
	request := httptest.NewRequest(http.MethodPost, "/user/new", strings.NewReader(`{"user_id": "ann", "team_id": "t1"}`)).WithContext(ctx)
	request.Header.Set("Authorization", "Bearer "+master)
	r.send(request)
	mustEqual(t, 1, keysIn(t, r))
	mustEqual(t, any([]any{"t1"}), r.done(r.get("/user/info?user_id=ann"))["user_info"].(object)["teams"])
}

func TestTextThatNoDatabaseKeepsIsRefused(t *testing.T) {
	r := newRig(t)
	for _, path := range []string{"/spend/logs?user_id=%00", "/team/info?team_id=%ff", "/key/list?key_alias=%00", "/audit?object_id=%00"} {
		if got := r.get(path); got.Status != 400 {
			t.Errorf("%s: %+v", path, got)
		}
	}
	if got := r.post("/user/new", `{"user_id": "x\u0000", "auto_create_key": false}`); got.Status != 400 {
		t.Errorf("/user/new: %+v", got)
	}
}
