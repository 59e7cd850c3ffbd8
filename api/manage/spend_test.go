package manage_test

import (
	"cmp"
	"context"
	"crypto/rand"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/nestor-gateway/nestor/access"
	"github.com/nestor-gateway/nestor/access/budget"
	"github.com/nestor-gateway/nestor/access/record"
	"github.com/nestor-gateway/nestor/access/store"
	"github.com/nestor-gateway/nestor/ratelimit"
)

// spent writes rows of the spend log, one a tuple of day in March 2026, token, team, user, model and dollars.
func (r *rig) spent(rows ...record.Spend) {
	r.t.Helper()
	for i := range rows {
		rows[i].ID = record.SpendID(cmp.Or(rows[i].RequestID, fmt.Sprint(i)), 1)
	}
	if _, err := r.store.Exchange(r.t.Context(), budget.Call{Replica: rand.Text(), Life: time.Minute, Rows: rows}); err != nil {
		r.t.Fatal(err)
	}
}

func march(day int) time.Time { return time.Date(2026, 3, day, 12, 0, 0, 0, time.UTC) }

func TestARowOfTheSpendLogIsShownWhole(t *testing.T) {
	r := newRig(t)
	r.spent(record.Spend{
		RequestID: "req-1", Start: march(1), Duration: 1500 * time.Millisecond, FirstToken: 250 * time.Millisecond, Token: "tok", TeamID: "t1", UserID: "ann",
		EndUser: "end", Model: "fast", Group: "inner", Path: []string{"fast", "inner"}, Deployment: "dep", Provider: "openai", ProviderModel: "gpt-4o",
		APIBase: "https://api.openai.com", Prompt: 10, Completion: 5, Total: 15, Cached: 4, Reasoning: 2, Cost: 1_250_000, Status: 200,
		Outcome: "success", Attempts: 2, Stream: true, Tags: []string{"a"}, Endpoint: "chat",
	})
	want := []any{object{
		"request_id": "req-1", "call_type": "acompletion", "api_key": "tok", "spend": 0.00125, "total_tokens": 15.0, "prompt_tokens": 10.0,
		"completion_tokens": 5.0, "startTime": "2026-03-01T12:00:00Z", "endTime": "2026-03-01T12:00:01.5Z", "completionStartTime": "2026-03-01T12:00:00.25Z",
		"request_duration_ms": 1500.0, "model": "gpt-4o", "model_id": "dep", "model_group": "fast", "custom_llm_provider": "openai",
		"api_base": "https://api.openai.com", "user": "ann", "team_id": "t1", "end_user": "end", "request_tags": []any{"a"}, "status": "success",
		"cache_hit": "False", "session_id": nil, "metadata": object{
			"id": record.SpendID("req-1", 1), "user_api_key": "tok", "user_api_key_team_id": "t1", "user_api_key_user_id": "ann", "group": "inner",
			"path": []any{"fast", "inner"}, "attempts": 2.0, "stream": true, "endpoint": "chat", "outcome": "success",
			"status_code": 200.0, "cached_tokens": 4.0, "reasoning_tokens": 2.0,
		},
	}}
	mustEqual(t, reply{200, want}, r.get("/spend/logs"))
	mustEqual(t, reply{200, want}, r.get("/spend/logs?request_id=req-1&api_key=tok&user_id=ann&team_id=t1&model=fast"))
	mustEqual(t, reply{200, []any{}}, r.get("/spend/logs?request_id=req-2"))
}

// month writes what the tests below sum up.
func month(r *rig) (ann, bob string) {
	ann, bob = r.generate(`{"key_alias": "of ann", "user_id": "ann"}`), r.generate(`{"key_alias": "of bob", "user_id": "bob"}`)
	row := func(day int, key, team, user, model string, dollars float64) record.Spend {
		token := record.TokenOf(key)
		return record.Spend{RequestID: fmt.Sprint(day, user, model), Start: march(day), Token: token, TeamID: team, UserID: user, Model: model,
			Cost: record.FromUSD(dollars), Accounts: []string{record.AccountOf(record.OfKey, token)}}
	}
	r.spent(row(1, ann, "t1", "ann", "fast", 1), row(1, bob, "", "bob", "fast", 0.5), row(1, ann, "t1", "ann", "slow", 0.25), row(3, bob, "t2", "bob", "slow", 4))
	return ann, bob
}

func TestSpendIsSummedUpByDayWhenBothDatesAreGiven(t *testing.T) {
	r := newRig(t)
	ann, bob := month(r)
	first := object{"startTime": "2026-03-01", "spend": 1.75, record.TokenOf(ann): 1.25, record.TokenOf(bob): 0.5,
		"users": object{"ann": 1.25, "bob": 0.5}, "models": object{"fast": 1.5, "slow": 0.25}}
	third := object{"startTime": "2026-03-03", "spend": 4.0, record.TokenOf(bob): 4.0, "users": object{"bob": 4.0}, "models": object{"slow": 4.0}}
	mustEqual(t, reply{200, []any{first, third}}, r.get("/spend/logs?start_date=2026-03-01&end_date=2026-03-03"))
	mustEqual(t, reply{200, []any{first}}, r.get("/spend/logs?start_date=2026-02-01&end_date=2026-03-02"))
	mustEqual(t, 3, len(r.get("/spend/logs?start_date=2026-03-01&end_date=2026-03-02&summarize=false").Body.([]any)))
	mustEqual(t, 1, len(r.get("/spend/logs?start_date=2026-03-02").Body.([]any)))
	mustEqual(t, 4, len(r.get("/spend/logs?end_date=9999-12-31").Body.([]any)))
	mustEqual(t, 4, len(r.get("/spend/logs?start_date=0001-01-02").Body.([]any)))
	mustEqual(t, reply{200, []any{}}, r.get("/spend/logs?start_date=9999-12-31"))
	mustEqual(t, reply{200, []any{}}, r.get("/spend/logs?end_date=1492-10-12"))
	for query, want := range map[string]reply{
		"start_date=1.3.2026":                       bad("start_date", `start_date must be a date such as 2026-01-31, not "1.3.2026"`),
		"start_date=2026-03-02&end_date=2026-03-01": bad("end_date", "end_date lies before start_date"),
		"start_date=2020-03-02&end_date=2026-03-01": bad("end_date", "at most 366 days can be summed up at a time"),
		"start_date=2026-03-02&summarize=not":       bad("summarize", `summarize must be true or false, not "not"`),
	} {
		mustEqual(t, want, r.get("/spend/logs?"+query))
	}
}

func TestSpendOfKeysModelsAndTeams(t *testing.T) {
	r := newRig(t)
	r.done(r.post("/team/new", `{"team_id": "t1", "team_alias": "Core"}`))
	ann, bob := month(r)
	key := func(key, alias string, spend float64) object {
		return object{"api_key": record.TokenOf(key), "key_alias": alias, "key_name": "sk-..." + key[len(key)-4:], "total_spend": spend}
	}
	mustEqual(t, reply{200, []any{key(bob, "of bob", 4.5), key(ann, "of ann", 1.25)}}, r.get("/global/spend/keys"))
	mustEqual(t, reply{200, []any{key(bob, "of bob", 4.5)}}, r.get("/global/spend/keys?limit=1"))
	mustEqual(t, reply{200, []any{key(ann, "of ann", 1.25), key(bob, "of bob", 0.5)}}, r.get("/global/spend/keys?end_date=2026-03-01"))
	mustEqual(t, reply{200, []any{key(bob, "of bob", 4)}}, r.get("/spend/keys?start_date=2026-03-02"))
	mustEqual(t, []any{"of bob", "of ann"}, column(r.get("/spend/keys").Body, "key_alias"))
	mustEqual(t, []any{4.5, 1.25}, column(r.get("/spend/keys").Body, "spend"))
	mustEqual(t, reply{200, []any{object{"model": "slow", "total_spend": 4.25}, object{"model": "fast", "total_spend": 1.5}}}, r.get("/global/spend/models"))
	mustEqual(t, reply{200, object{
		"daily_spend": []any{object{"date": "2026-03-01", "Core": 1.25, "Unassigned": 0.5}, object{"date": "2026-03-03", "t2": 4.0}},
		"teams":       []any{"Core", "Unassigned", "t2"},
		"total_spend_per_team": []any{object{"team_id": "t2", "total_spend": 4.0}, object{"team_id": "Core", "total_spend": 1.25},
			object{"team_id": "Unassigned", "total_spend": 0.5}},
	}}, r.get("/global/spend/teams"))
	mustEqual(t, reply{200, object{"spend": 5.75, "max_budget": 0.0}}, r.get("/global/spend"))
	mustEqual(t, reply{200, []any{object{"date": "2026-03-01", "spend": 1.75}, object{"date": "2026-03-03", "spend": 4.0}}}, r.get("/global/spend/logs"))
	mustEqual(t, reply{200, []any{object{"date": "2026-03-01", "spend": 1.25, "api_key": record.TokenOf(ann)}}}, r.get("/global/spend/logs?api_key="+ann))
	r.now = r.now.AddDate(0, 0, 60)
	mustEqual(t, reply{200, object{"spend": 0.0, "max_budget": 0.0}}, r.get("/global/spend"))
	mustEqual(t, reply{200, []any{}}, r.get("/global/spend/logs"))
	mustEqual(t, reply{200, []any{}}, r.get("/global/spend/models"))
	mustEqual(t, bad("limit", `limit must be a whole number from 1 to 10000, not "0"`), r.get("/global/spend/models?limit=0"))
}

func TestUsersAndKeysSeeOnlyWhatTheySpent(t *testing.T) {
	r := newRig(t)
	ann, bob := month(r)
	alone := r.generate(`{}`)
	refused := forbidden("Not authorized to view spend for another user.")
	mustEqual(t, []any{"ann", "ann"}, column(r.ask(ann, http.MethodGet, "/spend/logs", "").Body, "user"))
	mustEqual(t, reply{200, []any{}}, r.ask(alone, http.MethodGet, "/spend/logs", ""))
	mustEqual(t, refused, r.ask(ann, http.MethodGet, "/spend/logs?user_id=bob", ""))
	mustEqual(t, refused, r.ask(alone, http.MethodGet, "/spend/logs?api_key="+bob, ""))
	mustEqual(t, reply{200, []any{}}, r.ask(ann, http.MethodGet, "/spend/logs?api_key="+bob, ""))
	mustEqual(t, []any{"of ann"}, column(r.ask(ann, http.MethodGet, "/spend/keys", "").Body, "key_alias"))
	mustEqual(t, []any{"of ann"}, column(r.ask(ann, http.MethodGet, "/spend/keys?start_date=2026-03-01", "").Body, "key_alias"))
	mustEqual(t, []any{record.TokenOf(alone)}, column(r.ask(alone, http.MethodGet, "/spend/keys", "").Body, "token"))
}

func TestARegeneratedKeyKeepsItsSpend(t *testing.T) {
	r := newRig(t)
	ann, _ := month(r)
	got := r.done(r.post("/key/"+ann+"/regenerate", ""))
	mustEqual(t, any(1.25), got["spend"])
	mustEqual(t, any(got["token"]), r.get("/global/spend/keys").Body.([]any)[1].(object)["api_key"])
}

// With a budget that is used up, a reset is all that a key needs.
func TestAResetOfSpendLetsRequestsInAtOnce(t *testing.T) {
	r := newRig(t)
	ledger := budget.New(budget.Options{Bank: r.store, Replica: "r", Exclusive: true})
	var work sync.WaitGroup
	ctx, stop := context.WithCancel(t.Context())
	t.Cleanup(func() { stop(); work.Wait() })
	work.Go(func() { ledger.Run(ctx) })
	r.index = access.New(access.Options{Store: r.store, NotFound: store.ErrNotFound, Accounts: ledger})
	r.index.SetMaster(master)
	r.handler.Apply = r.index.Apply
	key := r.generate(`{"max_budget": 1, "spend": 1}`)
	who, denial := r.index.Authenticate(func(string) string { return "Bearer " + key })
	if denial != nil {
		t.Fatal(denial)
	}
	reserve := func(id byte, amount record.Nano) *budget.Denial {
		return ledger.Reserve(t.Context(), budget.Reservation{ID: ratelimit.ID{id}, Accounts: who.Accounts(nil), Amount: amount, Least: amount, Life: time.Minute})
	}
	if reserve(1, 1) == nil {
		t.Error("what is used up can be spent")
	}
	r.done(r.post("/key/"+record.TokenOf(key)+"/reset_spend", `{"reset_to": 0.25}`))
	left := reserve(2, record.FromUSD(0.75))
	for begin := time.Now(); left != nil && time.Since(begin) < 5*time.Second; { // a request waits 100 ms for a busy machine
		left = reserve(2, record.FromUSD(0.75))
	}
	if left != nil {
		t.Errorf("what is left is denied: %+v", left)
	}
	if reserve(3, 1) == nil {
		t.Error("more than is left can be spent")
	}
}
