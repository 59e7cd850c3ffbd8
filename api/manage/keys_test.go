package manage_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/nestor-gateway/nestor/access/record"
	"github.com/nestor-gateway/nestor/access/store"
)

// everyKeyField is a request with each field that Nestor supports.
const everyKeyField = `{
	"models": ["fast", "openai/*"], "aliases": {"mine": "fast"}, "duration": "30d", "max_budget": 12.5, "soft_budget": "10",
	"budget_duration": "30d", "tpm_limit": 1000, "rpm_limit": 60.0, "max_parallel_requests": 3, "model_rpm_limit": {"fast": 5},
	"model_tpm_limit": {"fast": 500}, "metadata": {"app": "x"}, "tags": ["a"], "key_alias": "mine", "user_id": "u1",
	"blocked": false, "allowed_routes": ["llm_api_routes"], "max_request_size_mb": 0.5, "spend": 1.25,
	"permissions": {}, "guardrails": [], "send_invite_email": true, "team_id": null}`

func everyKeyRow(key string) object {
	return object{
		"key": key, "token": record.TokenOf(key), "token_id": record.TokenOf(key), "key_name": "sk-..." + key[len(key)-4:],
		"key_alias": "mine", "team_id": nil, "user_id": "u1", "budget_id": nil, "models": []any{"fast", "openai/*"},
		"aliases": object{"mine": "fast"}, "model_rpm_limit": object{"fast": 5.0}, "model_tpm_limit": object{"fast": 500.0},
		"tags": []any{"a"}, "metadata": object{"app": "x", "tags": []any{"a"}, "model_rpm_limit": object{"fast": 5.0}, "model_tpm_limit": object{"fast": 500.0}},
		"allowed_routes": []any{"llm_api_routes"}, "max_request_size_mb": 0.5, "blocked": false, "status": "active", "spend": 1.25,
		"expires": "2026-04-03T05:06:07Z", "config": object{}, "permissions": object{}, "allowed_cache_controls": []any{},
		"model_spend": object{}, "model_max_budget": object{}, "organization_id": nil, "litellm_budget_table": nil,
		"rpm_limit": 60.0, "tpm_limit": 1000.0, "max_parallel_requests": 3.0, "max_budget": 12.5, "soft_budget": 10.0,
		"budget_duration": "30d", "budget_reset_at": "2026-04-01T00:00:00Z",
		"created_at": "2026-03-04T05:06:07Z", "updated_at": "2026-03-04T05:06:07Z", "created_by": "default_user_id", "updated_by": "default_user_id",
	}
}

func TestAGeneratedKeyIsAnsweredWithAllThatWasGiven(t *testing.T) {
	r := newRig(t)
	got := r.done(r.post("/key/generate", everyKeyField))
	key := got["key"].(string)
	if !regexp.MustCompile(`^sk-[A-Za-z0-9_-]{32}$`).MatchString(key) {
		t.Errorf("key %q", key)
	}
	mustEqual(t, any(everyKeyRow(key)), any(got))
}

func TestKeyInfoShowsAKeyByItselfByItsTokenAndToItsHolder(t *testing.T) {
	r := newRig(t)
	key := r.generate(strings.Replace(everyKeyField, `"llm_api_routes"`, `"/key"`, 1))
	info := everyKeyRow(key)
	info["allowed_routes"] = []any{"/key"}
	for _, name := range []string{"key", "token", "token_id"} {
		delete(info, name)
	}
	token := record.TokenOf(key)
	mustEqual(t, reply{200, object{"key": key, "info": info}}, r.get("/key/info?key="+key))
	mustEqual(t, reply{200, object{"key": token, "info": info}}, r.get("/key/info?key="+token))
	mustEqual(t, reply{200, object{"key": token, "info": info}}, r.ask(key, http.MethodGet, "/key/info", ""))
}

func TestAKeyThatTheCallerMadeIsKept(t *testing.T) {
	r := newRig(t)
	mustEqual(t, "sk-chosen-by-me-1234", r.generate(`{"key": "sk-chosen-by-me-1234"}`))
	mustEqual(t, 200, r.ask("sk-chosen-by-me-1234", http.MethodGet, "/key/info", "").Status)
	mustEqual(t, bad("key", "this key exists already"), r.post("/key/generate", `{"key": "sk-chosen-by-me-1234"}`))
}

func TestRequestsForKeysThatCantBeMeantAreRefused(t *testing.T) {
	r := newRig(t)
	r.generate(`{"key_alias": "taken"}`)
	unsupported := "is not supported by Nestor, and the request would not do what it says: leave it out"
	for body, want := range map[string]reply{
		`{"modles": ["a"]}`:                           bad("modles", `"modles" is no field of this request; did you mean models?`),
		`{"nothing_like_it": 1}`:                      bad("nothing_like_it", `"nothing_like_it" is no field of this request`),
		`{"models": "fast"}`:                          bad("models", "models must be a list of texts"),
		`{"aliases": {"a": 1}}`:                       bad("aliases", "aliases must be an object whose values are texts"),
		`{"max_budget": -1}`:                          bad("max_budget", "max_budget must be a number of at least 0, not -1"),
		`{"max_budget": "NaN"}`:                       bad("max_budget", `max_budget must be a number of at least 0, not "NaN"`),
		`{"max_budget": 1e300}`:                       bad("max_budget", "max_budget must be at most 4611686018.427388, not 1e300"),
		`{"rpm_limit": 1.5}`:                          bad("rpm_limit", "rpm_limit must be a whole number from 0 to 9007199254740992, not 1.5"),
		`{"rpm_limit": ""}`:                           bad("rpm_limit", `rpm_limit must be a number of at least 0, not ""`),
		`{"model_rpm_limit": {"a": "x"}}`:             bad("model_rpm_limit", `model_rpm_limit of "a" must be a number of at least 0, not "x"`),
		`{"model_rpm_limit": 5}`:                      bad("model_rpm_limit", "model_rpm_limit must be an object of whole numbers by model"),
		`{"duration": "soon"}`:                        bad("duration", `duration "soon" is no duration: write a number above 0 and s, m, h, d, w or mo, for example 30d`),
		`{"budget_duration": 30}`:                     bad("budget_duration", `budget_duration must be a text, for example "30d"`),
		`{"blocked": "yes"}`:                          bad("blocked", "blocked must be true or false"),
		`{"metadata": []}`:                            bad("metadata", "metadata must be an object"),
		`{"metadata": {"guardrails": ["pii"]}}`:       bad("metadata", `metadata has "guardrails", which `+unsupported),
		`{"metadata": {"model_rpm_limit": 3}}`:        bad("metadata", `metadata has "model_rpm_limit", which must be an object of whole numbers by model`),
		`{"guardrails": ["pii"]}`:                     bad("guardrails", "guardrails "+unsupported),
		`{"model_max_budget": {"a": 1}}`:              bad("model_max_budget", "model_max_budget "+unsupported),
		`{"permissions": {"pii": false}}`:             bad("permissions", "permissions "+unsupported),
		`{"auto_rotate": true}`:                       bad("auto_rotate", "auto_rotate "+unsupported),
		`{"max_request_size_mb": 0}`:                  bad("max_request_size_mb", "max_request_size_mb must be more than 0"),
		`{"key_type": "admin"}`:                       bad("key_type", `key_type must be llm_api, management, read_only or default, not "admin"`),
		`{"rpm_limit_type": "dynamic"}`:               bad("rpm_limit_type", `rpm_limit_type must be best_effort_throughput or guaranteed_throughput, not "dynamic"`),
		`{"key": "pk-1234567890123"}`:                 bad("key", "Invalid key format. A virtual key must start with 'sk-'."),
		`{"key": "sk-short"}`:                         bad("key", "Invalid key format. A virtual key must be 16 to 256 characters long."),
		`{"key": "sk-with a space in it"}`:            bad("key", "Invalid key format. A virtual key must be of visible ASCII characters."),
		`{"key": "` + master + `"}`:                   bad("key", "the new key is the one that this request is made with"),
		`{"key_alias": "a\nb"}`:                       bad("key_alias", "Invalid key_alias: it must be at most 255 bytes without control characters."),
		`{"key_alias": "taken"}`:                      bad("key_alias", "Key with alias 'taken' already exists. Unique key aliases across all keys are required."),
		`{"team_id": "nobody"}`:                       bad("team_id", "Unable to find team object in database. Team ID: nobody"),
		`{"budget_id": "none"}`:                       bad("budget_id", `no budget has the id "none"; make it with /budget/new`),
		`{"allowed_routes": ["/a", "llm_api_route"]}`: bad("allowed_routes", `allowed_routes has "llm_api_route", which is no path and no group of routes; did you mean llm_api_routes?`),
		`{"allowed_routes": ["chat"]}`:                bad("allowed_routes", `allowed_routes has "chat", which is no path and no group of routes; a path begins with /`),
		`{"allowed_routes": "/a"}`:                    bad("allowed_routes", "allowed_routes must be a list of texts"),
		`{"models": [], "models": ["a"]}`:             bad("models", `"models" is in the body twice`),
		`{} {}`:                                       bad(nil, "the body has something behind its JSON object"),
		`[]`:                                          bad(nil, "the body is not a JSON object"),
		``:                                            bad(nil, "the body is not a JSON object"),
		`{"models": ["` + "\xff" + `"]}`:              bad(nil, "the body is not UTF-8"),
		`{"metadata": {"x": 1e}}`:                     bad(nil, "the body is not a JSON object: byte 20: invalid character '}' in exponent of numeric literal"),
		`{"a":"` + strings.Repeat("x", 1<<20) + `"}`:  failure(413, "bad_request_error", "the body is larger than 1 MiB", nil, "413"),
	} {
		t.Run(fmt.Sprintf("%.60s", body), func(t *testing.T) {
			mustEqual(t, want, r.post("/key/generate", body))
		})
	}
	_, total, err := r.store.Keys(t.Context(), store.KeyQuery{})
	if err != nil || total != 1 {
		t.Errorf("%d keys, %v: want the one there was", total, err)
	}
}

func TestKeyTypesAreRoutes(t *testing.T) {
	r := newRig(t)
	for kind, routes := range map[string][]any{
		"llm_api": {"llm_api_routes"}, "management": {"management_routes"}, "read_only": {"info_routes"}, "default": {},
	} {
		got := r.done(r.post("/key/generate", `{"key_type": "`+kind+`"}`))
		mustEqual(t, any(routes), got["allowed_routes"])
	}
}

func TestRoutesThatOnlyLiteLLMHasAreKept(t *testing.T) {
	r := newRig(t)
	for _, routes := range []string{`["mcp_routes", "ui_routes"]`, `["*", "/key/*", "v1/models"]`, `["management_routes"]`, `[]`} {
		got := r.done(r.post("/key/generate", `{"allowed_routes": `+routes+`}`))
		var want any
		if err := json.Unmarshal([]byte(routes), &want); err != nil {
			t.Fatal(err)
		}
		mustEqual(t, want, got["allowed_routes"])
	}
}

func TestAnUpdateChangesWhatItNamesAndNullTakesAway(t *testing.T) {
	r := newRig(t)
	key := r.generate(everyKeyField)
	want := everyKeyRow(key)
	delete(want, "key")
	delete(want, "token_id")
	r.now = r.now.Add(time.Hour)
	for _, step := range []struct {
		body   string
		change object
	}{
		{`{"key": "` + key + `"}`, object{"updated_at": "2026-03-04T06:06:07Z"}},
		{`{"key": "` + key + `", "rpm_limit": null, "models": ["slow"]}`, object{"rpm_limit": nil, "models": []any{"slow"}}},
		{`{"key_alias": "mine", "duration": "1h"}`, object{"expires": "2026-03-04T07:06:07Z"}},
		{`{"key": "` + key + `", "duration": "-1", "key_alias": "other"}`, object{"expires": nil, "key_alias": "other"}},
		{`{"key": "` + record.TokenOf(key) + `", "budget_duration": null, "max_budget": ""}`,
			object{"budget_duration": nil, "budget_reset_at": nil, "max_budget": nil}},
		{`{"key": "` + key + `", "spend": 0}`, object{"spend": 0.0}},
		{`{"key": "` + key + `", "blocked": true}`, object{"blocked": true, "status": "revoked"}},
		{`{"key": "` + key + `", "model_rpm_limit": null, "tags": null}`, object{}},
		{`{"key": "` + key + `", "model_rpm_limit": {}, "tags": []}`, object{"model_rpm_limit": nil, "tags": []any{},
			"metadata": object{"app": "x", "model_tpm_limit": object{"fast": 500.0}}}},
		{`{"key": "` + key + `", "metadata": {"b": 1, "model_tpm_limit": {"fast": 7}}}`, object{"model_tpm_limit": object{"fast": 7.0},
			"metadata": object{"b": 1.0, "model_tpm_limit": object{"fast": 7.0}}}},
		{`{"key": "` + key + `", "metadata": null}`, object{"metadata": object{"model_tpm_limit": object{"fast": 7.0}}}},
	} {
		for name, v := range step.change {
			want[name] = v
		}
		got := r.done(r.post("/key/update", step.body))
		delete(got, "key")
		mustEqual(t, any(want), any(got))
	}
}

// A form that sends all its fields, the empty ones too, must not free a key of its team or let it live for ever.
func TestEmptyTextsInAnUpdateTakeNothingAway(t *testing.T) {
	r := newRig(t)
	r.done(r.post("/team/new", `{"team_id": "t1", "budget_duration": "7d"}`))
	r.done(r.post("/budget/new", `{"budget_id": "b1"}`))
	key := r.generate(`{"team_id": "t1", "budget_id": "b1", "duration": "1h", "budget_duration": "30d"}`)
	bounds := object{"team_id": "t1", "budget_id": "b1", "expires": "2026-03-04T06:06:07Z", "budget_duration": "30d", "budget_reset_at": "2026-04-01T00:00:00Z"}
	got := r.done(r.post("/key/update", `{"key": "`+key+`", "team_id": "", "budget_id": "", "duration": "", "budget_duration": ""}`))
	mustEqual(t, bounds, pick(got, "team_id", "budget_id", "expires", "budget_duration", "budget_reset_at"))
	team := r.done(r.post("/team/update", `{"team_id": "t1", "budget_duration": ""}`))["data"]
	mustEqual(t, object{"budget_duration": "7d"}, pick(team, "budget_duration"))
	got = r.done(r.post("/key/update", `{"key": "`+key+`", "team_id": null, "budget_id": null, "duration": null, "budget_duration": null}`))
	mustEqual(t, object{"team_id": nil, "budget_id": nil, "expires": nil, "budget_duration": nil, "budget_reset_at": nil},
		pick(got, "team_id", "budget_id", "expires", "budget_duration", "budget_reset_at"))
}

func TestAnUpdateAnswersWithTheKeyAsItWasNamed(t *testing.T) {
	r := newRig(t)
	key := r.generate(`{"key_alias": "a"}`)
	token := record.TokenOf(key)
	for body, want := range map[string]string{`{"key": "` + key + `"}`: key, `{"key": "` + token + `"}`: token, `{"key_alias": "a"}`: token} {
		mustEqual(t, any(want), r.done(r.post("/key/update", body))["key"])
	}
}

func TestAnUpdateOfWhatIsNotThereIsRefused(t *testing.T) {
	r := newRig(t)
	mustEqual(t, missing("key", "Key not found."), r.post("/key/update", `{"key": "sk-nobody-has-this-key"}`))
	mustEqual(t, missing("key_alias", "Key not found. No key with key_alias='x'."), r.post("/key/update", `{"key_alias": "x"}`))
	mustEqual(t, bad("key", "either key or key_alias must be provided"), r.post("/key/update", `{"rpm_limit": 1}`))
	mustEqual(t, bad("key_type", `"key_type" is no field of this request`), r.post("/key/update", `{"key": "`+r.generate("{}")+`", "key_type": "llm_api"}`))
}

func TestARegeneratedKeyKeepsAllButItsSecret(t *testing.T) {
	r := newRig(t)
	for name, path := range map[string]string{"by path": "/key/%s/regenerate", "by body": "/key/regenerate"} {
		t.Run(name, func(t *testing.T) {
			key := r.generate(strings.Replace(everyKeyField, `"key_alias": "mine"`, `"key_alias": "`+name+`"`, 1))
			body := ""
			if name == "by body" {
				body = `{"key": "` + key + `"}`
			} else {
				path = fmt.Sprintf(path, record.TokenOf(key))
			}
			got := r.done(r.post(path, body))
			next := got["key"].(string)
			want := everyKeyRow(next)
			want["key_alias"] = name
			mustEqual(t, any(want), any(got))
			mustEqual(t, 401, r.ask(key, http.MethodGet, "/key/info", "").Status)
			mustEqual(t, 404, r.get("/key/info?key="+key).Status)
			mustEqual(t, 200, r.get("/key/info?key="+next).Status)
		})
	}
}

func TestAKeyIsRegeneratedToOneThatTheCallerMadeAndChangedByTheWay(t *testing.T) {
	r := newRig(t)
	key := r.generate(`{"rpm_limit": 1}`)
	got := r.done(r.post("/key/"+key+"/regenerate", `{"new_key": "sk-another-one-of-mine", "rpm_limit": 2}`))
	mustEqual(t, object{"key": "sk-another-one-of-mine", "rpm_limit": 2.0}, pick(got, "key", "rpm_limit"))
	mustEqual(t, bad("key", "No key passed in."), r.post("/key/regenerate", `{}`))
	mustEqual(t, bad("key", "the master key is changed in the config, not here"), r.post("/key/"+master+"/regenerate", `{}`))
	mustEqual(t, missing("key", "Key not found."), r.post("/key/"+key+"/regenerate", `{}`))
	other := r.generate(`{}`)
	mustEqual(t, bad("key", "this key exists already"), r.post("/key/"+other+"/regenerate", `{"new_key": "sk-another-one-of-mine"}`))
}

func TestABlockedKeyIsRefusedUntilItIsUnblocked(t *testing.T) {
	r := newRig(t)
	key := r.generate(`{}`)
	mustEqual(t, object{"blocked": true, "status": "revoked", "token": record.TokenOf(key)},
		pick(r.done(r.post("/key/block", `{"key": "`+key+`"}`)), "blocked", "status", "token"))
	mustEqual(t, 401, r.ask(key, http.MethodGet, "/key/info", "").Status)
	mustEqual(t, any(false), r.done(r.post("/key/unblock", `{"key": "`+record.TokenOf(key)+`"}`))["blocked"])
	mustEqual(t, 200, r.ask(key, http.MethodGet, "/key/info", "").Status)
	mustEqual(t, missing("key", "Key not found."), r.post("/key/block", `{"key": "sk-nobody-has-this-key"}`))
	mustEqual(t, bad("key", "key must be provided"), r.post("/key/block", `{}`))
}

func TestKeysAreDeletedByKeyTokenOrAlias(t *testing.T) {
	r := newRig(t)
	one, two, three := r.generate(`{}`), r.generate(`{}`), r.generate(`{"key_alias": "third"}`)
	mustEqual(t, reply{200, object{"deleted_keys": []any{one, record.TokenOf(two)}}},
		r.post("/key/delete", `{"keys": ["`+one+`", "`+record.TokenOf(two)+`", "sk-nobody-has-this-key"]}`))
	mustEqual(t, reply{200, object{"deleted_keys": []any{"third"}}}, r.post("/key/delete", `{"key_aliases": ["third", "fourth"]}`))
	for _, key := range []string{one, two, three} {
		mustEqual(t, 401, r.ask(key, http.MethodGet, "/key/info", "").Status)
	}
	mustEqual(t, missing("keys", "No keys found"), r.post("/key/delete", `{"keys": ["`+one+`"]}`))
	mustEqual(t, bad("keys", "At least one of 'keys' or 'key_aliases' must be provided."), r.post("/key/delete", `{}`))
}

func TestAnExpiredKeyIsShownAsOne(t *testing.T) {
	r := newRig(t)
	key := r.generate(`{"duration": "1h"}`)
	r.now = r.now.Add(time.Hour + time.Second)
	mustEqual(t, object{"status": "expired", "expires": "2026-03-04T06:06:07Z"}, pick(r.done(r.get("/key/info?key=" + key))["info"], "status", "expires"))
	mustEqual(t, 401, r.ask(key, http.MethodGet, "/key/info", "").Status)
}

func TestKeysAreListedByPage(t *testing.T) {
	r := newRig(t)
	var tokens []any
	for i := range 5 {
		r.now = r.now.Add(time.Second)
		tokens = append([]any{record.TokenOf(r.generate(fmt.Sprintf(`{"key_alias": "key %d", "user_id": "u%d"}`, i, i%2)))}, tokens...)
	}
	page := func(keys []any, total, number, pages float64) reply {
		return reply{200, object{"keys": keys, "total_count": total, "current_page": number, "total_pages": pages}}
	}
	mustEqual(t, page(tokens[:2], 5, 1, 3), r.get("/key/list?size=2"))
	mustEqual(t, page(tokens[4:], 5, 3, 3), r.get("/key/list?size=2&page=3"))
	mustEqual(t, page([]any{tokens[4], tokens[2], tokens[0]}, 3, 1, 1), r.get("/key/list?user_id=u0&sort_by=key_alias&sort_order=ASC"))
	mustEqual(t, page([]any{tokens[1]}, 1, 1, 1), r.get("/key/list?key_alias=key+3"))
	mustEqual(t, page([]any{tokens[1]}, 1, 1, 1), r.get("/key/list?key_hash="+tokens[1].(string)))
	mustEqual(t, page(tokens, 5, 1, 1), r.get("/key/list?search=KEY"))
	full := r.done(r.get("/key/list?return_full_object=True&size=1"))
	mustEqual(t, []any{"key 4"}, column(full["keys"], "key_alias"))
	for query, want := range map[string]reply{
		"size=101":             bad("size", `size must be a whole number from 1 to 100, not "101"`),
		"page=0":               bad("page", `page must be a whole number from 1 to 2147483648, not "0"`),
		"sort_order=up":        bad("sort_order", `sort_order must be asc or desc, not "up"`),
		"expand=user":          bad("expand", "the filter expand is not supported by Nestor: leave it out"),
		"organization_id=x":    bad("organization_id", "the filter organization_id is not supported by Nestor: leave it out"),
		"return_full_object=x": bad("return_full_object", `return_full_object must be true or false, not "x"`),
		"sort_by=size": bad("sort_by", "sort_by must be one of created_at, expires, key_alias, key_name, max_budget, spend, team_id, token, "+
			`updated_at, user_id, not "size"`),
	} {
		mustEqual(t, want, r.get("/key/list?"+query))
	}
}

func TestABudgetGivesItsKeysLimitsThatCanBeSeen(t *testing.T) {
	r := newRig(t)
	r.done(r.post("/budget/new", `{"budget_id": "b1", "max_budget": 5}`))
	key := r.generate(`{"budget_id": "b1"}`)
	info := r.done(r.get("/key/info?key=" + key))["info"]
	mustEqual(t, object{"budget_id": "b1", "max_budget": nil}, pick(info, "budget_id", "max_budget"))
	mustEqual(t, object{"budget_id": "b1", "max_budget": 5.0}, pick(info.(object)["litellm_budget_table"], "budget_id", "max_budget"))
}

func TestNoSecretIsInTheDatabaseTheAuditLogOrTheLog(t *testing.T) {
	r := newRig(t)
	secrets := []string{master, "sk-chosen-by-me-1234", "sk-another-one-of-mine", "the-secret-in-metadata"}
	key := r.generate(`{"key": "sk-chosen-by-me-1234", "metadata": {"note": "plain"}}`)
	secrets = append(secrets, r.generate(`{}`))
	r.done(r.post("/key/update", `{"key": "`+key+`", "rpm_limit": 5}`))
	r.done(r.post("/key/block", `{"key": "`+key+`"}`))
	r.done(r.post("/key/"+key+"/regenerate", `{"new_key": "sk-another-one-of-mine"}`))
	r.done(r.post("/key/delete", `{"keys": ["sk-another-one-of-mine"]}`))
	logs := fmt.Sprint(r.done(r.get("/audit?page_size=100")))
	if err := r.store.Close(); err != nil {
		t.Fatal(err)
	}
	file, err := os.ReadFile(r.file)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(file), record.TokenOf(key)) {
		t.Error("the file does not have what this test looks through")
	}
	for where, text := range map[string]string{"database": string(file), "audit log": logs, "log": r.log.String()} {
		for _, secret := range secrets {
			if strings.Contains(text, secret) {
				t.Errorf("the %s has %s", where, secret)
			}
		}
	}
}

func TestTheAuditLogSaysWhoChangedWhat(t *testing.T) {
	r := newRig(t)
	key := r.generate(`{"key": "sk-chosen-by-me-1234", "rpm_limit": 5, "metadata": {"note": "plain", "app": 1}}`)
	token := record.TokenOf(key)
	r.done(r.post("/key/block", `{"key": "`+key+`"}`))
	got := r.done(r.get("/audit"))
	line := func(id, action string, values object) object {
		return object{"id": id, "updated_at": "2026-03-04T05:06:07Z", "changed_by_api_key": "master", "address": "192.0.2.1",
			"action": action, "table_name": "key", "object_id": token, "updated_values": values}
	}
	mustEqual(t, any(object{"page": 1.0, "page_size": 10.0, "audit_logs": []any{
		line("2", "/key/block", object{"key": token}),
		line("1", "/key/generate", object{"key": token, "rpm_limit": 5.0, "metadata": []any{"app", "note"}}),
	}}), any(got))
	mustEqual(t, []any{"2"}, column(r.done(r.get("/audit?action=/key/block"))["audit_logs"], "id"))
	mustEqual(t, []any{}, column(r.done(r.get("/audit?start_date=2026-03-05"))["audit_logs"], "id"))
	long := strings.Repeat("x", 5000)
	r.done(r.post("/key/update", `{"key": "`+key+`", "tags": ["`+long+`"]}`))
	mustEqual(t, any(object{"key": token, "tags": "5004 bytes"}), r.done(r.get("/audit"))["audit_logs"].([]any)[0].(object)["updated_values"])
}

func TestSpendIsResetToLessAndNoMoreThanABudget(t *testing.T) {
	r := newRig(t)
	r.done(r.post("/budget/new", `{"budget_id": "b1", "max_budget": 2}`))
	key := r.generate(`{"key_alias": "a", "spend": 5, "max_budget": 4, "budget_id": "b1", "budget_duration": "30d"}`)
	token := record.TokenOf(key)
	path := "/key/" + token + "/reset_spend"
	for body, want := range map[string]reply{
		`{}`:                            bad("reset_to", "reset_to must be provided"),
		`{"reset_to": null}`:            bad("reset_to", "reset_to must be provided"),
		`{"reset_to": -1}`:              bad("reset_to", "reset_to must be a number of at least 0, not -1"),
		`{"reset_to": true}`:            bad("reset_to", "reset_to must be a number of at least 0, not true"),
		`{"reset_to": "NaN"}`:           bad("reset_to", `reset_to must be a number of at least 0, not "NaN"`),
		`{"reset_to": 1e300}`:           bad("reset_to", "reset_to must be at most 4611686018.427388, not 1e300"),
		`{"reset_to": 6}`:               bad("reset_to", "reset_to (6) must be <= current spend (5)"),
		`{"reset_to": 4.5}`:             bad("reset_to", "reset_to (4.5) must be <= budget (4)"),
		`{"reset_to": 3}`:               bad("reset_to", "reset_to (3) must be <= budget (2)"),
		`{"reset_to": 1, "reason": ""}`: bad("reason", `"reason" is no field of this request`),
	} {
		mustEqual(t, want, r.post(path, body))
	}
	mustEqual(t, reply{200, object{"key_hash": token, "spend": 1.5, "previous_spend": 5.0, "max_budget": 4.0, "budget_reset_at": "2026-04-01T00:00:00Z"}},
		r.post(path, `{"reset_to": 1.5}`))
	mustEqual(t, any(1.5), r.done(r.get("/key/info?key=" + token))["info"].(object)["spend"])
	mustEqual(t, any(1.5), r.done(r.post("/key/"+key+"/reset_spend", `{"reset_to": 0}`))["previous_spend"])
	mustEqual(t, missing("key", "Key not found."), r.post("/key/sk-nobody-has-this-key/reset_spend", `{"reset_to": 0}`))
	mustEqual(t, forbidden("Only the master key, or a key of a user with the role proxy_admin, can call /key/{key}/reset_spend."),
		r.ask(key, http.MethodPost, path, `{"reset_to": 0}`))
}
