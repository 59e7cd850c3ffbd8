package manage_test

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/nestor-gateway/nestor/access/record"
	"github.com/nestor-gateway/nestor/access/store"
	"github.com/nestor-gateway/nestor/api/manage"
)

const everyTeamField = `{
	"team_id": "t1", "team_alias": "Core", "models": ["fast"], "model_aliases": {"quick": "fast"}, "max_budget": 100, "soft_budget": 80,
	"budget_duration": "7d", "tpm_limit": 1000, "rpm_limit": 10, "max_parallel_requests": 2, "model_rpm_limit": {"fast": 3}, "tags": ["b"],
	"metadata": {"cost_center": "7"}, "blocked": false, "members_with_roles": [{"user_id": "ann", "role": "admin"}, {"user_email": "bob@example.com", "role": "user"}]}`

func everyTeamRow() object {
	return object{
		"team_id": "t1", "team_alias": "Core", "models": []any{"fast"}, "model_aliases": object{"quick": "fast"},
		"litellm_model_table": object{"model_aliases": object{"quick": "fast"}}, "model_rpm_limit": object{"fast": 3.0}, "model_tpm_limit": nil,
		"tags": []any{"b"}, "metadata": object{"cost_center": "7", "tags": []any{"b"}, "model_rpm_limit": object{"fast": 3.0}},
		"blocked": false, "spend": 0.0, "members_with_roles": []any{
			object{"user_id": "ann", "user_email": nil, "role": "admin"}, object{"user_id": nil, "user_email": "bob@example.com", "role": "user"}},
		"admins": []any{}, "members": []any{}, "organization_id": nil, "model_id": nil, "model_spend": object{}, "model_max_budget": object{},
		"rpm_limit": 10.0, "tpm_limit": 1000.0, "max_parallel_requests": 2.0, "max_budget": 100.0, "soft_budget": 80.0,
		"budget_duration": "7d", "budget_reset_at": "2026-03-09T00:00:00Z",
		"created_at": "2026-03-04T05:06:07Z", "updated_at": "2026-03-04T05:06:07Z", "created_by": "default_user_id", "updated_by": "default_user_id",
	}
}

func TestANewTeamIsAnsweredWithAllThatWasGiven(t *testing.T) {
	r := newRig(t)
	mustEqual(t, reply{200, everyTeamRow()}, r.post("/team/new", everyTeamField))
	mustEqual(t, reply{200, object{"team_id": "t1", "team_info": everyTeamRow(), "keys": []any{}, "team_memberships": []any{}}}, r.get("/team/info?team_id=t1"))
	mustEqual(t, bad("team_id", "Team id = t1 already exists. Please use a different team id."), r.post("/team/new", everyTeamField))
	if id := r.done(r.post("/team/new", `{}`))["team_id"].(string); len(id) < 20 {
		t.Errorf("id %q", id)
	}
}

func TestATeamIsUpdatedBlockedAndUnblocked(t *testing.T) {
	r := newRig(t)
	r.done(r.post("/team/new", everyTeamField))
	key := r.generate(`{"team_id": "t1"}`)
	r.now = r.now.Add(time.Hour)
	want := everyTeamRow()
	want["updated_at"] = "2026-03-04T06:06:07Z"
	want["models"], want["rpm_limit"] = []any{}, nil
	mustEqual(t, reply{200, object{"team_id": "t1", "data": want}}, r.post("/team/update", `{"team_id": "t1", "models": [], "rpm_limit": null}`))
	want["blocked"] = true
	mustEqual(t, reply{200, want}, r.post("/team/block", `{"team_id": "t1"}`))
	mustEqual(t, 401, r.ask(key, http.MethodGet, "/key/info", "").Status)
	want["blocked"] = false
	mustEqual(t, reply{200, want}, r.post("/team/unblock", `{"team_id": "t1"}`))
	mustEqual(t, 200, r.ask(key, http.MethodGet, "/key/info", "").Status)
}

func TestRequestsForTeamsThatCantBeMeantAreRefused(t *testing.T) {
	r := newRig(t)
	r.done(r.post("/team/new", `{"team_id": "t1", "max_budget": 5, "members_with_roles": [{"user_id": "ann", "role": "user"}]}`))
	member := "member must be an object of user_id or user_email, and role, or a list of such"
	for _, tc := range []struct {
		path, body string
		want       reply
	}{
		{"/team/new", `{"team_name": "x"}`, bad("team_name", `"team_name" is no field of this request`)},
		{"/team/new", `{"organization_id": "o"}`, bad("organization_id", "organization_id is not supported by Nestor, and the request would not do what it says: leave it out")},
		{"/team/new", `{"team_id": " x"}`, bad("team_id", "team_id must be at most 255 bytes without spaces around it")},
		{"/team/new", `{"soft_budget": 2, "max_budget": 2}`, bad("soft_budget", "soft_budget (2) must be strictly lower than max_budget (2)")},
		{"/team/update", `{"team_id": "t1", "soft_budget": 6}`, bad("soft_budget", "soft_budget (6) must be strictly lower than max_budget (5)")},
		{"/team/update", `{}`, bad("team_id", "team_id must be provided")},
		{"/team/update", `{"team_id": "t2"}`, missing("team_id", "Team not found, passed team_id=t2")},
		{"/team/update", `{"team_id": "t1", "members_with_roles": []}`, bad("members_with_roles", `"members_with_roles" is no field of this request`)},
		{"/team/block", `{"team_id": "t2"}`, missing("team_id", "Team not found, passed team_id=t2")},
		{"/team/delete", `{"team_ids": ["t1", "t2"]}`, missing("team_id", "Team not found, passed team_id=t2")},
		{"/team/delete", `{"team_ids": []}`, bad("team_ids", "team_ids must have at least one entry")},
		{"/team/member_add", `{"team_id": "t1"}`, bad("member", "member must be provided")},
		{"/team/member_add", `{"team_id": "t1", "member": {"role": "user"}}`, bad("member", "member has somebody with neither user_id nor user_email")},
		{"/team/member_add", `{"team_id": "t1", "member": {"user_id": "x", "role": "boss"}}`, bad("member", "member has somebody whose role is neither admin nor user")},
		{"/team/member_add", `{"team_id": "t1", "member": {"id": "x"}}`, bad("member", member)},
		{"/team/member_add", `{"team_id": "t1", "member": "x"}`, bad("member", member)},
		{"/team/member_add", `{"team_id": "t2", "member": {"user_id": "x", "role": "user"}}`, missing("team_id", "Team not found, passed team_id=t2")},
		{"/team/member_add", `{"team_id": "t1", "member": [{"user_id": "ann", "role": "admin"}]}`,
			failure(400, "team_member_already_in_team", "User=ann is already in team t1", "member", "400")},
		{"/team/member_add", `{"team_id": "t1", "member": {"user_id": "x", "role": "user"}, "max_budget_in_team": 1}`,
			bad("max_budget_in_team", "max_budget_in_team is not supported by Nestor, and the request would not do what it says: leave it out")},
		{"/team/member_delete", `{"team_id": "t1"}`, bad("user_id", "Either user_id or user_email needs to be passed in")},
		{"/team/member_delete", `{"team_id": "t1", "user_id": "x"}`, bad("user_id", "User not found in team")},
	} {
		t.Run(tc.path+tc.body, func(t *testing.T) { mustEqual(t, tc.want, r.post(tc.path, tc.body)) })
	}
	team, err := r.store.Team(t.Context(), "t1")
	if err != nil {
		t.Fatal(err)
	}
	mustEqual(t, []record.Member{{UserID: "ann", Role: "user"}}, team.Members)
}

func TestMembersComeAndGoWithTheirUsersAndKeys(t *testing.T) {
	r := newRig(t)
	r.done(r.post("/team/new", `{"team_id": "t1"}`))
	r.done(r.post("/user/new", `{"user_id": "bob", "user_email": "bob@example.com", "auto_create_key": false}`))
	twice := r.done(r.post("/team/new", `{"team_id": "t2", "members_with_roles": [{"user_id": "ann", "role": "admin"}, {"user_id": "ann", "role": "user"}]}`))
	mustEqual(t, any([]any{object{"user_id": "ann", "user_email": nil, "role": "admin"}}), twice["members_with_roles"])
	r.done(r.post("/team/delete", `{"team_ids": ["t2"]}`))
	got := r.done(r.post("/team/member_add", `{"team_id": "t1", "member": [{"user_id": "ann", "role": "admin"}, {"user_email": "bob@example.com", "role": "user"}]}`))
	mustEqual(t, any([]any{
		object{"user_id": "ann", "user_email": nil, "role": "admin"}, object{"user_id": "bob", "user_email": "bob@example.com", "role": "user"},
	}), got["members_with_roles"])
	mustEqual(t, []any{"ann", "bob"}, column(got["updated_users"], "user_id"))
	mustEqual(t, []any{"internal_user", "internal_user"}, column(got["updated_users"], "user_role"))
	mustEqual(t, any([]any{"t1"}), r.done(r.get("/user/info?user_id=ann"))["user_info"].(object)["teams"])

	more := r.done(r.post("/team/member_add", `{"team_id": "t1", "member": [{"user_id": "ann", "role": "user"}, {"user_id": "cleo", "role": "user"}, {"user_id": "cleo", "role": "user"}]}`))
	mustEqual(t, []any{"ann", "bob", "cleo"}, column(more["members_with_roles"], "user_id"))
	mustEqual(t, []any{"admin", "user", "user"}, column(more["members_with_roles"], "role"))
	r.done(r.post("/team/member_delete", `{"team_id": "t1", "user_id": "cleo"}`))

	theirs, elsewhere := r.generate(`{"team_id": "t1", "user_id": "bob"}`), r.generate(`{"user_id": "bob"}`)
	left := r.done(r.post("/team/member_delete", `{"team_id": "t1", "user_email": "bob@example.com"}`))
	mustEqual(t, []any{"ann"}, column(left["members_with_roles"], "user_id"))
	mustEqual(t, 401, r.ask(theirs, http.MethodGet, "/key/info", "").Status)
	mustEqual(t, 200, r.ask(elsewhere, http.MethodGet, "/key/info", "").Status)
}

func TestADeletedTeamTakesItsKeysAlong(t *testing.T) {
	r := newRig(t)
	r.done(r.post("/team/new", `{"team_id": "t1"}`))
	inside, outside := r.generate(`{"team_id": "t1"}`), r.generate(`{}`)
	mustEqual(t, reply{200, object{"deleted_teams": []any{"t1"}}}, r.post("/team/delete", `{"team_ids": ["t1"]}`))
	mustEqual(t, 401, r.ask(inside, http.MethodGet, "/key/info", "").Status)
	mustEqual(t, 200, r.ask(outside, http.MethodGet, "/key/info", "").Status)
	mustEqual(t, missing("team_id", "Team not found, passed team_id=t1"), r.get("/team/info?team_id=t1"))
}

func TestATeamIsShownToItsKeysAndMembersOnly(t *testing.T) {
	r := newRig(t)
	r.done(r.post("/team/new", `{"team_id": "t1", "members_with_roles": [{"user_id": "ann", "role": "user"}]}`))
	r.done(r.post("/team/new", `{"team_id": "t2"}`))
	ofTeam, ofMember, ofOther := r.generate(`{"team_id": "t1"}`), r.generate(`{"user_id": "ann"}`), r.generate(`{"user_id": "bob"}`)
	for _, key := range []string{ofTeam, ofMember} {
		mustEqual(t, 200, r.ask(key, http.MethodGet, "/team/info?team_id=t1", "").Status)
		mustEqual(t, forbidden("This key is not authorized to access this team=t2"), r.ask(key, http.MethodGet, "/team/info?team_id=t2", ""))
	}
	mustEqual(t, forbidden("This key is not authorized to access this team=t1"), r.ask(ofOther, http.MethodGet, "/team/info?team_id=t1", ""))
	mustEqual(t, forbidden("This key is not authorized to access this team=none"), r.ask(ofOther, http.MethodGet, "/team/info?team_id=none", ""))

	mustEqual(t, []any{"t1", "t2"}, column(r.get("/team/list").Body, "team_id"))
	mustEqual(t, []any{"t1"}, column(r.get("/team/list?user_id=ann").Body, "team_id"))
	mustEqual(t, []any{"t1"}, column(r.ask(ofMember, http.MethodGet, "/team/list", "").Body, "team_id"))
	mustEqual(t, []any{}, column(r.ask(ofOther, http.MethodGet, "/team/list", "").Body, "team_id"))
	mustEqual(t, 403, r.ask(ofOther, http.MethodGet, "/team/list?user_id=ann", "").Status)
	mustEqual(t, 403, r.ask(ofTeam, http.MethodGet, "/team/list", "").Status)
}

func TestAKeyIsShownToItsHolderItsUserAndMembersOfItsTeam(t *testing.T) {
	r := newRig(t)
	r.done(r.post("/team/new", `{"team_id": "t1", "members_with_roles": [{"user_id": "ann", "role": "user"}]}`))
	ofAnn, ofBob, ofNobody := r.generate(`{"user_id": "ann"}`), r.generate(`{"user_id": "bob"}`), r.generate(`{}`)
	ofTeam, second := r.generate(`{"team_id": "t1"}`), r.generate(`{"user_id": "bob"}`)
	refused := forbidden("You are not allowed to access this key's info. Your role=")
	for _, tc := range []struct {
		who, key string
		seen     bool
	}{
		{ofAnn, ofTeam, true}, {ofBob, second, true}, {ofTeam, ofTeam, true},
		{ofAnn, ofBob, false}, {ofBob, ofTeam, false}, {ofNobody, ofTeam, false}, {ofTeam, ofNobody, false},
	} {
		got := r.ask(tc.who, http.MethodGet, "/key/info?key="+tc.key, "")
		if !tc.seen {
			mustEqual(t, true, got.Status == 403)
		} else if got.Status != 200 {
			t.Errorf("%+v: %v", tc, got)
		}
	}
	mustEqual(t, refused, r.ask(ofNobody, http.MethodGet, "/key/info?key="+ofTeam, ""))
	mustEqual(t, any(2.0), r.done(r.ask(ofBob, http.MethodGet, "/key/list", ""))["total_count"])
	mustEqual(t, forbidden("You are not authorized to check another user's keys"), r.ask(ofBob, http.MethodGet, "/key/list?user_id=ann", ""))
}

func TestAKeyMayNameOnlyModelsThatItsTeamHas(t *testing.T) {
	r := newRig(t)
	r.done(r.post("/team/new", `{"team_id": "t1", "models": ["fast", "openai/*"]}`))
	refused := failure(403, "team_model_access_denied", "Team=t1 has no access to the model slow; it may call: fast, openai/*", "models", "403")
	mustEqual(t, refused, r.post("/key/generate", `{"team_id": "t1", "models": ["fast", "slow"]}`))
	key := r.generate(`{"team_id": "t1", "models": ["fast", "openai/gpt-4o", "all-team-models"]}`)
	mustEqual(t, refused, r.post("/key/update", `{"key": "`+key+`", "models": ["slow"]}`))
	other := r.generate(`{"models": ["slow"]}`)
	mustEqual(t, refused, r.post("/key/update", `{"key": "`+other+`", "team_id": "t1"}`))
}

func TestAKeyThatMovesToATeamMustFitIntoIt(t *testing.T) {
	r := newRig(t)
	r.done(r.post("/team/new", `{"team_id": "t1", "rpm_limit": 10, "tpm_limit": 100, "members_with_roles": [{"user_id": "ann", "role": "user"}]}`))
	for body, want := range map[string]reply{
		`{"user_id": "bob"}`: forbidden("User=bob is not a member of the team=t1. Check team members via `/team/info`."),
		`{"rpm_limit": 11}`:  forbidden("Key has a rpm_limit=11 which is greater than the team's rpm_limit=10."),
		`{"tpm_limit": 101}`: forbidden("Key has a tpm_limit=101 which is greater than the team's tpm_limit=100."),
	} {
		mustEqual(t, want, r.post("/key/update", `{"key": "`+r.generate(body)+`", "team_id": "t1"}`))
	}
	r.done(r.post("/key/update", `{"key": "`+r.generate(`{"user_id": "ann", "rpm_limit": 10}`)+`", "team_id": "t1"}`))
}

func TestGuaranteedLimitsOfATeamsKeysAreNeverMoreThanTheTeams(t *testing.T) {
	r := newRig(t)
	r.done(r.post("/team/new", `{"team_id": "t1", "rpm_limit": 10, "model_tpm_limit": {"fast": 100}}`))
	guaranteed := `{"team_id": "t1", "rpm_limit_type": "guaranteed_throughput", `
	key := r.generate(guaranteed + `"rpm_limit": 6}`)
	mustEqual(t, bad("rpm_limit", "Allocated RPM limit=6 + Key RPM limit=5 is greater than team RPM limit=10"), r.post("/key/generate", guaranteed+`"rpm_limit": 5}`))
	r.generate(guaranteed + `"rpm_limit": 4}`)
	r.generate(`{"team_id": "t1", "rpm_limit": 5, "rpm_limit_type": "best_effort_throughput"}`)
	mustEqual(t, bad("rpm_limit", "Allocated RPM limit=9 + Key RPM limit=2 is greater than team RPM limit=10"),
		r.post("/key/"+key+"/regenerate", `{"rpm_limit": 2, "rpm_limit_type": "guaranteed_throughput"}`))
	r.done(r.post("/key/update", `{"key": "`+key+`", "rpm_limit": 1, "rpm_limit_type": "guaranteed_throughput"}`))
	mustEqual(t, bad("model_tpm_limit", "Allocated TPM limit=0 + Key TPM limit=101 is greater than team TPM limit=100"),
		r.post("/key/generate", `{"team_id": "t1", "model_tpm_limit": {"fast": 101}, "tpm_limit_type": "guaranteed_throughput"}`))
	mustEqual(t, bad("model_rpm_limit", "Allocated RPM limit=0 + Key RPM limit=11 is greater than team RPM limit=10"),
		r.post("/key/generate", `{"team_id": "t1", "model_rpm_limit": {"fast": 11}, "rpm_limit_type": "guaranteed_throughput"}`))
	r.generate(`{"team_id": "t1", "model_rpm_limit": {"slow": 10}, "model_tpm_limit": {"slow": 1000}, "rpm_limit_type": "guaranteed_throughput"}`)
}

func keysIn(t *testing.T, r *rig) int {
	t.Helper()
	_, n, err := r.store.Keys(t.Context(), store.KeyQuery{Limit: 1})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// broken is a store that fails once where it is told to.
type broken struct {
	manage.Store
	inserts, deletes int
}

var errBroken = errors.New("the disk is full")

func (b *broken) InsertUser(ctx context.Context, u record.User, a record.Audit) error {
	if b.inserts--; b.inserts == 0 {
		return errBroken
	}
	return b.Store.InsertUser(ctx, u, a)
}

func (b *broken) DeleteKeys(ctx context.Context, tokens []string, a record.Audit) (int, error) {
	if b.deletes--; b.deletes == 0 {
		return 0, errBroken
	}
	return b.Store.DeleteKeys(ctx, tokens, a)
}

func TestWhatFailsHalfwayInATeamCanBeAskedForAgain(t *testing.T) {
	r := newRig(t)
	b := &broken{Store: r.store}
	r.handler.Store = b
	for path, body := range map[string]string{
		"/team/new":        `{"team_id": "t1", "members_with_roles": [{"user_id": "ann", "role": "user"}, {"user_id": "bob", "role": "user"}]}`,
		"/team/member_add": `{"team_id": "t0", "member": [{"user_id": "cleo", "role": "user"}, {"user_id": "dora", "role": "user"}]}`,
	} {
		_ = r.post("/team/new", `{"team_id": "t0"}`)
		b.inserts = 2
		mustEqual(t, 503, r.post(path, body).Status)
		r.done(r.post(path, body))
	}
	for _, user := range []string{"ann", "bob", "cleo", "dora"} {
		r.done(r.get("/user/info?user_id=" + user))
	}

	key := r.generate(`{"team_id": "t1", "user_id": "ann"}`)
	b.deletes = 1
	mustEqual(t, 503, r.post("/team/member_delete", `{"team_id": "t1", "user_id": "ann"}`).Status)
	r.done(r.post("/team/member_delete", `{"team_id": "t1", "user_id": "ann"}`))
	mustEqual(t, 401, r.ask(key, http.MethodGet, "/key/info", "").Status)
}

func TestAMemberGetsAnotherRole(t *testing.T) {
	r := newRig(t)
	r.done(r.post("/team/new", `{"team_id": "t1", "members_with_roles": [{"user_id": "ann", "role": "user"}, {"user_email": "bob@example.com", "role": "user"}]}`))
	answer := func(user, email, models any) reply {
		return reply{200, object{"team_id": "t1", "user_id": user, "user_email": email, "max_budget_in_team": nil, "tpm_limit": nil, "rpm_limit": nil,
			"budget_duration": nil, "allowed_models": models, "temp_budget_increase": nil, "temp_budget_expiry": nil}}
	}
	members := func(want ...record.Member) {
		t.Helper()
		team, err := r.store.Team(t.Context(), "t1")
		if err != nil {
			t.Fatal(err)
		}
		mustEqual(t, want, team.Members)
	}
	ann, bob := record.Member{UserID: "ann", Role: "user"}, record.Member{Email: "bob@example.com", Role: "user"}
	mustEqual(t, answer("ann", nil, nil), r.post("/team/member_update", `{"team_id": "t1", "user_id": "ann"}`))
	members(ann, bob)
	mustEqual(t, answer("ann", "ann@example.com", []any{}),
		r.post("/team/member_update", `{"team_id": "t1", "user_id": "ann", "user_email": "ann@example.com", "role": "admin", "allowed_models": []}`))
	ann.Role, ann.Email = "admin", "ann@example.com"
	members(ann, bob)
	mustEqual(t, answer(nil, "bob@example.com", nil), r.post("/team/member_update", `{"team_id": "t1", "user_email": "bob@example.com", "role": "admin"}`))
	bob.Role = "admin"
	members(ann, bob)
	for body, want := range map[string]reply{
		`{"team_id": "t1"}`:                                         bad("user_id", "Either user_id or user_email needs to be passed in"),
		`{"user_id": "ann"}`:                                        bad("team_id", "team_id must be provided"),
		`{"team_id": "t2", "user_id": "ann"}`:                       missing("team_id", "Team not found, passed team_id=t2"),
		`{"team_id": "t1", "user_id": "cleo", "role": "user"}`:      missing("user_id", "User cleo is not a member of team t1"),
		`{"team_id": "t1", "user_id": "ann", "role": "boss"}`:       bad("role", "role must be admin or user"),
		`{"team_id": "t1", "user_id": "ann", "rpm_limit": 5}`:       bad("rpm_limit", "rpm_limit is not supported by Nestor, and the request would not do what it says: leave it out"),
		`{"team_id": "t1", "user_id": "ann", "members": ["cleo"]}`:  bad("members", `"members" is no field of this request`),
		`{"team_id": "t1", "user_id": "ann", "allowed_models": 17}`: bad("allowed_models", "allowed_models is not supported by Nestor, and the request would not do what it says: leave it out"),
	} {
		mustEqual(t, want, r.post("/team/member_update", body))
	}
	members(ann, bob)
}
