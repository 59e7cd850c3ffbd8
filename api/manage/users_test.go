package manage_test

import (
	"maps"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/nestor-gateway/nestor/access/record"
)

const everyUserField = `{
	"user_id": "ann", "user_alias": "Ann", "user_email": "ann@example.com", "user_role": "internal_user", "models": ["fast"], "max_budget": 3,
	"budget_duration": "1d", "tpm_limit": 100, "rpm_limit": 1, "max_parallel_requests": 1, "model_rpm_limit": {"fast": 1}, "metadata": {"a": 1},
	"teams": [{"team_id": "t1", "user_role": "admin"}, {"team_id": "t2"}], "key_alias": "of ann", "duration": "1d"}`

func everyUserRow() object {
	return object{
		"user_id": "ann", "user_alias": "Ann", "user_email": "ann@example.com", "user_role": "internal_user", "models": []any{"fast"},
		"model_rpm_limit": object{"fast": 1.0}, "model_tpm_limit": nil, "metadata": object{"a": 1.0, "model_rpm_limit": object{"fast": 1.0}},
		"spend": 0.0, "teams": []any{"t1", "t2"}, "sso_user_id": nil, "organization_id": nil, "organization_memberships": nil,
		"allowed_cache_controls": []any{}, "model_spend": object{}, "model_max_budget": object{},
		"rpm_limit": 1.0, "tpm_limit": 100.0, "max_parallel_requests": 1.0, "max_budget": 3.0, "soft_budget": nil, "budget_duration": "1d",
		"budget_reset_at": "2026-03-05T00:00:00Z", "created_at": "2026-03-04T05:06:07Z", "updated_at": "2026-03-04T05:06:07Z",
		"created_by": "default_user_id", "updated_by": "default_user_id",
	}
}

func TestANewUserGetsAKeyAndSeats(t *testing.T) {
	r := newRig(t)
	r.done(r.post("/team/new", `{"team_id": "t1"}`))
	r.done(r.post("/team/new", `{"team_id": "t2"}`))
	got := r.done(r.post("/user/new", everyUserField))
	key := got["key"].(string)
	want := everyUserRow()
	maps.Copy(want, object{"key": key, "key_name": "sk-..." + key[len(key)-4:], "key_alias": "of ann", "token": record.TokenOf(key),
		"token_id": record.TokenOf(key), "expires": "2026-03-05T05:06:07Z", "team_id": nil, "aliases": object{}})
	mustEqual(t, any(want), any(got))
	info := r.done(r.ask(key, http.MethodGet, "/user/info", ""))
	mustEqual(t, object{"user_id": "ann", "user_info": everyUserRow()}, pick(info, "user_id", "user_info"))
	mustEqual(t, []any{"of ann"}, column(info["keys"], "key_alias"))
	mustEqual(t, []any{"t1", "t2"}, column(info["teams"], "team_id"))
	member := r.done(r.get("/team/info?team_id=t1"))["team_info"].(object)["members_with_roles"]
	mustEqual(t, any([]any{object{"user_id": "ann", "user_email": "ann@example.com", "role": "admin"}}), member)
}

func TestANewUserComesIntoATeamWhereItWasExpectedByEmail(t *testing.T) {
	r := newRig(t)
	r.done(r.post("/team/new", `{"team_id": "t1", "members_with_roles": [{"user_email": "ann@example.com", "role": "admin"}]}`))
	got := r.done(r.post("/user/new", `{"user_id": "ann", "user_email": "ann@example.com", "team_id": "t1"}`))
	mustEqual(t, object{"team_id": "t1", "teams": []any{"t1"}}, pick(got, "team_id", "teams"))
	member := r.done(r.get("/team/info?team_id=t1"))["team_info"].(object)["members_with_roles"]
	mustEqual(t, any([]any{object{"user_id": "ann", "user_email": "ann@example.com", "role": "admin"}}), member)
}

func TestRefusedUsersLeaveNothingBehind(t *testing.T) {
	r := newRig(t)
	r.done(r.post("/team/new", `{"team_id": "t1", "models": ["fast"]}`))
	r.done(r.post("/user/new", `{"user_id": "ann", "user_email": "ann@example.com", "key_alias": "of ann"}`))
	for _, tc := range []struct {
		body string
		want reply
	}{
		{`{"user_id": "ann"}`, bad("user_id", "User with id ann already exists.")},
		{`{"user_email": "ann@example.com"}`, bad("user_email", "User with email ann@example.com already exists in User table")},
		{`{"user_email": "Ann@Example.com"}`, bad("user_email", "User with email Ann@Example.com already exists in User table")},
		{`{"user_id": "` + strings.Repeat("b", 256) + `"}`, bad("user_id", "user_id must be a text of at most 255 bytes")},
		{`{"user_id": "bob", "key_alias": "of ann"}`, bad("key_alias", "Key with alias 'of ann' already exists. Unique key aliases across all keys are required.")},
		{`{"user_id": "bob", "team_id": "t2"}`, missing("team_id", "Team not found, passed team_id=t2")},
		{`{"user_id": "bob", "teams": ["t2"]}`, missing("team_id", "Team not found, passed team_id=t2")},
		{`{"user_id": "bob", "teams": [{"team_id": "t1", "user_role": "boss"}]}`, bad("teams", `user_role must be user or admin, not "boss"`)},
		{`{"user_id": "bob", "teams": [{"team": "t1"}]}`, bad("teams", `teams has an entry that can't be meant: "team" is no field of this request`)},
		{`{"user_id": "bob", "teams": 5}`, bad("teams", "teams must be a list of ids, or of objects with team_id and user_role")},
		{`{"user_id": "bob", "team_id": "t1", "models": ["slow"]}`,
			failure(403, "team_model_access_denied", "Team=t1 has no access to the model slow; it may call: fast", "models", "403")},
		{`{"user_id": "bob", "user_role": "god"}`, bad("user_role", "user_role must be one of [proxy_admin proxy_admin_viewer internal_user internal_user_viewer]")},
		{`{"user_id": "bob", "password": "x"}`, bad("password", "password is not supported by Nestor, and the request would not do what it says: leave it out")},
		{`{"user_id": "bob", "auto_create_key": 1}`, bad("auto_create_key", "auto_create_key must be true or false")},
	} {
		t.Run(tc.body, func(t *testing.T) { mustEqual(t, tc.want, r.post("/user/new", tc.body)) })
	}
	mustEqual(t, missing("user_id", "User not found, passed user_id=bob"), r.get("/user/info?user_id=bob"))
	mustEqual(t, 1, keysIn(t, r))
}

func TestAUserIsUpdatedByIDOrEmail(t *testing.T) {
	r := newRig(t)
	r.done(r.post("/user/new", `{"user_id": "ann", "user_email": "ann@example.com", "rpm_limit": 3, "auto_create_key": false}`))
	r.now = r.now.Add(time.Hour)
	got := r.done(r.post("/user/update", `{"user_id": "ann", "user_role": "proxy_admin", "rpm_limit": null}`))
	mustEqual(t, any("ann"), got["user_id"])
	mustEqual(t, object{"user_role": "proxy_admin", "rpm_limit": nil, "updated_at": "2026-03-04T06:06:07Z", "user_email": "ann@example.com"},
		pick(got["data"], "user_role", "rpm_limit", "updated_at", "user_email"))
	mustEqual(t, any("ann"), r.done(r.post("/user/update", `{"user_email": "ann@example.com", "max_budget": 2}`))["user_id"])
	mustEqual(t, bad("user_id", "Either user id or user email must be provided"), r.post("/user/update", `{}`))
}

func TestAnUpdateOfAUserWhoIsNotThereMakesOneWithoutAKey(t *testing.T) {
	r := newRig(t)
	got := r.done(r.post("/user/update", `{"user_id": "bob", "max_budget": 2}`))
	mustEqual(t, any("bob"), got["user_id"])
	mustEqual(t, object{"user_id": "bob", "user_role": "internal_user", "max_budget": 2.0, "created_by": "default_user_id"},
		pick(got["data"], "user_id", "user_role", "max_budget", "created_by"))
	id := r.done(r.post("/user/update", `{"user_email": "cleo@example.com"}`))["user_id"].(string)
	mustEqual(t, any(id), r.done(r.post("/user/update", `{"user_email": "cleo@example.com", "max_budget": 3}`))["user_id"])
	mustEqual(t, bad("user_email", "User with email Cleo@example.com already exists in User table"),
		r.post("/user/update", `{"user_id": "dora", "user_email": "Cleo@example.com"}`))
	mustEqual(t, bad("teams", "teams is not supported by Nestor, and the request would not do what it says: leave it out"),
		r.post("/user/update", `{"user_id": "dora", "teams": ["t1"]}`))
	mustEqual(t, []any{"bob", id}, column(r.done(r.get("/user/list?sort_order=asc&sort_by=max_budget"))["users"], "user_id"))
	mustEqual(t, 0, keysIn(t, r))
}

func TestADeletedUserTakesItsKeysAndSeatsAlong(t *testing.T) {
	r := newRig(t)
	r.done(r.post("/team/new", `{"team_id": "t1"}`))
	key := r.done(r.post("/user/new", `{"user_id": "ann", "team_id": "t1"}`))["key"].(string)
	mustEqual(t, missing("user_id", "User not found, passed user_id=bob"), r.post("/user/delete", `{"user_ids": ["ann", "bob"]}`))
	mustEqual(t, reply{200, 1.0}, r.post("/user/delete", `{"user_ids": ["ann"]}`))
	mustEqual(t, 401, r.ask(key, http.MethodGet, "/key/info", "").Status)
	mustEqual(t, any([]any{}), r.done(r.get("/team/info?team_id=t1"))["team_info"].(object)["members_with_roles"])
}

func TestUsersSeeOnlyThemselves(t *testing.T) {
	r := newRig(t)
	ann := r.done(r.post("/user/new", `{"user_id": "ann"}`))["key"].(string)
	r.done(r.post("/user/new", `{"user_id": "bob"}`))
	mustEqual(t, 200, r.ask(ann, http.MethodGet, "/user/info?user_id=ann", "").Status)
	mustEqual(t, forbidden("key not allowed to access this user's info. user_id=bob, key's user_id=ann"), r.ask(ann, http.MethodGet, "/user/info?user_id=bob", ""))
	mustEqual(t, bad("user_id", "name a user with ?user_id=: the key that you call with has none"), r.get("/user/info"))
	mustEqual(t, []any{"ann"}, column(r.ask(ann, http.MethodGet, "/spend/users", "").Body, "user_id"))
	mustEqual(t, 403, r.ask(ann, http.MethodGet, "/spend/users?user_id=bob", "").Status)
}

func TestUsersAreListedByPage(t *testing.T) {
	r := newRig(t)
	for _, id := range []string{"ann", "bob", "cid"} {
		r.now = r.now.Add(time.Second)
		r.done(r.post("/user/new", `{"user_id": "`+id+`", "user_email": "`+id+`@example.com"}`))
	}
	r.generate(`{"user_id": "cid"}`)
	got := r.done(r.get("/user/list?page_size=2"))
	mustEqual(t, object{"total": 3.0, "page": 1.0, "page_size": 2.0, "total_pages": 2.0}, pick(got, "total", "page", "page_size", "total_pages"))
	mustEqual(t, []any{"cid", "bob"}, column(got["users"], "user_id"))
	mustEqual(t, []any{2.0, 1.0}, column(got["users"], "key_count"))
	mustEqual(t, []any{"ann"}, column(r.done(r.get("/user/list?user_email=ANN"))["users"], "user_id"))
	r.done(r.post("/user/update", `{"user_id": "bob", "user_alias": "Zoe"}`))
	mustEqual(t, []any{"bob"}, column(r.done(r.get("/user/list?search=zoe"))["users"], "user_id"))
	mustEqual(t, []any{}, column(r.done(r.get("/user/list?user_email=zoe"))["users"], "user_id"))
	mustEqual(t, []any{"ann", "cid"}, column(r.done(r.get("/user/list?user_ids=ann,cid&sort_by=user_id&sort_order=asc"))["users"], "user_id"))
	mustEqual(t, []any{}, column(r.done(r.get("/user/list?role=proxy_admin"))["users"], "user_id"))
}

func TestBudgetsAreMadeChangedAndDeleted(t *testing.T) {
	r := newRig(t)
	want := object{
		"budget_id": "b1", "max_budget": 5.0, "soft_budget": nil, "rpm_limit": 3.0, "tpm_limit": nil, "max_parallel_requests": nil, "budget_duration": "1mo",
		"budget_reset_at": "2026-04-01T00:00:00Z", "model_max_budget": nil, "created_at": "2026-03-04T05:06:07Z", "updated_at": "2026-03-04T05:06:07Z",
		"created_by": "default_user_id", "updated_by": "default_user_id",
	}
	body := `{"budget_id": "b1", "max_budget": 5, "rpm_limit": 3, "budget_duration": "1mo"}`
	mustEqual(t, reply{200, want}, r.post("/budget/new", body))
	mustEqual(t, bad("budget_id", "Budget with id 'b1' already exists."), r.post("/budget/new", body))
	mustEqual(t, reply{200, []any{want}}, r.post("/budget/info", `{"budgets": ["b1", "none"]}`))
	mustEqual(t, reply{200, []any{want}}, r.get("/budget/list"))
	want["rpm_limit"], want["budget_duration"], want["budget_reset_at"] = nil, nil, nil
	mustEqual(t, reply{200, want}, r.post("/budget/update", `{"budget_id": "b1", "rpm_limit": null, "budget_duration": null}`))
	want["budget_duration"], want["budget_reset_at"] = "1d", "2026-03-04T12:00:00Z"
	mustEqual(t, reply{200, want}, r.post("/budget/update", `{"budget_id": "b1", "budget_duration": "1d", "budget_reset_at": "2026-03-04T13:00:00+01:00"}`))
	key := r.generate(`{"budget_id": "b1"}`)
	mustEqual(t, bad("id", `1 keys refer to the budget "b1" and would have no limits without it: change them first`), r.post("/budget/delete", `{"id": "b1"}`))
	r.done(r.post("/key/update", `{"key": "`+key+`", "budget_id": null}`))
	mustEqual(t, reply{200, want}, r.post("/budget/delete", `{"id": "b1"}`))
	mustEqual(t, missing("budget_id", "Budget not found, passed budget_id=b1"), r.post("/budget/delete", `{"id": "b1"}`))
	mustEqual(t, missing("budget_id", "Budget not found, passed budget_id=b1"), r.post("/budget/update", `{"budget_id": "b1"}`))
	mustEqual(t, bad("budget_reset_at", "budget_reset_at must be a time within a hundred years from now"),
		r.post("/budget/new", `{"budget_reset_at": "9999-12-31T00:00:00Z"}`))
	mustEqual(t, bad("budget_reset_at", "budget_reset_at must be a time such as 2026-01-31T00:00:00Z"), r.post("/budget/new", `{"budget_reset_at": "soon"}`))
}
