package test

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/nestor-gateway/nestor/access/record"
	"github.com/nestor-gateway/nestor/access/store/postgrestest"
	"github.com/nestor-gateway/nestor/cmd/nestor/mock"
)

// keyed is a group of groups with prices: a token of input costs 1 USD in a thousand, one of output 2.
const keyed = `
model_list:
  - {model_name: fast, litellm_params: {model: fast/a}}
  - {model_name: fast, litellm_params: {model: fast/b}}
  - model_name: fast/a
    litellm_params: {model: openai/a, api_base: $A/v1, api_key: sk-provider-secret-a}
    model_info: {id: dep-a, input_cost_per_token: 0.001, output_cost_per_token: 0.002, access_groups: [cheap]}
  - model_name: fast/b
    litellm_params: {model: openai/b, api_base: $A/v1, api_key: sk-provider-secret-b}
    model_info: {id: dep-b, input_cost_per_token: 0.001, output_cost_per_token: 0.002}
  - model_name: slow
    litellm_params: {model: openai/slow, api_base: $A/v1, api_key: sk-provider-secret-a, input_cost_per_token: 0.001, output_cost_per_token: 0.002}
router_settings:
  model_group_alias: {quick: fast}
general_settings:
  master_key: sk-master-secret-1234
`

const masterSecret = "sk-master-secret-1234"

// backends are the stores that keys can be kept in: flags and variables of a nestor with one.
func backends() map[string]func(t *testing.T) string {
	return map[string]func(t *testing.T) string{
		"SQLite":     func(*testing.T) string { return "" },
		"PostgreSQL": func(t *testing.T) string { return postgrestest.Single(t).Database() },
	}
}

// onBoth runs a test with each of them, at the same time.
func onBoth(t *testing.T, test func(t *testing.T, g *gateway, a *upstream)) {
	t.Parallel()
	for name, database := range backends() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := provideAs(t, mock.Options{Name: "a", Record: 1000})
			test(t, run(t, withDatabase(yaml(keyed, a), database(t))), a)
		})
	}
}

func withDatabase(config, url string) string {
	if url == "" {
		return config
	}
	return config + "  database_url: " + strconv.Quote(url) + "\n"
}

// manage calls a management route with the master key; the answer must be 200.
func (g *gateway) manage(path, body string) map[string]any {
	g.t.Helper()
	method := http.MethodPost
	if body == "" {
		method = http.MethodGet
	}
	r := g.send(method, path, body, "Authorization", "Bearer "+masterSecret)
	if r.Status != 200 {
		g.t.Fatalf("%s %s: %d %s", path, body, r.Status, r.Body)
	}
	var v any
	if err := json.Unmarshal([]byte(r.Body), &v); err != nil {
		g.t.Fatalf("%s: %v in %s", path, err, r.Body)
	}
	if object, ok := v.(map[string]any); ok {
		return object
	}
	return map[string]any{"": v}
}

// newKey generates a key.
func (g *gateway) newKey(body string) string {
	g.t.Helper()
	key, _ := g.manage("/key/generate", body)["key"].(string)
	if !strings.HasPrefix(key, "sk-") {
		g.t.Fatalf("the key is %q", key)
	}
	return key
}

// as asks for a model with a key.
func (g *gateway) as(key, model string) reply {
	g.t.Helper()
	return g.chat(model, "", "Authorization", "Bearer "+key)
}

// refuses checks the status and the type of a refusal, and that it is one of Nestor's own.
func (r reply) refuses(t *testing.T, status int, kind string) problem {
	t.Helper()
	p := r.problem(t)
	if r.Status != status || p.Type != kind {
		t.Errorf("%d %s, want %d with type %s", r.Status, r.Body, status, kind)
	}
	return p
}

func TestAKeyForAGroupReachesItsSubGroupsThroughItAlone(t *testing.T) {
	onBoth(t, func(t *testing.T, g *gateway, a *upstream) {
		key := g.newKey(`{"models": ["fast"], "metadata": {"team": "core"}}`)
		seen := map[string]bool{}
		for range 20 {
			r := g.as(key, "fast")
			if r.Status != 200 {
				t.Fatalf("%d %s", r.Status, r.Body)
			}
			seen[r.Header.Get("x-litellm-model-id")] = true
		}
		if diff := cmp.Diff(map[string]bool{"dep-a": true, "dep-b": true}, seen); diff != "" {
			t.Error(diff)
		}
		if r := g.as(key, "quick"); r.Status != 200 {
			t.Errorf("the alias of the group: %d %s", r.Status, r.Body)
		}
		before := a.total()
		for _, model := range []string{"fast/a", "dep-a", "openai/a", "slow", "unknown"} {
			g.as(key, model).refuses(t, 403, "key_model_access_denied")
		}
		g.post("/v1/chat/completions", `{"model":"fast","messages":[],"fallbacks":["slow"]}`, "Authorization", "Bearer "+key).
			refuses(t, 403, "key_model_access_denied")
		if a.total() != before {
			t.Error("something that was refused came to the provider")
		}
		want := `["fast","quick"]`
		if got := g.listed(key); got != want {
			t.Errorf("/v1/models lists %s, want %s", got, want)
		}
		if got := g.listed(masterSecret); got != `["fast","fast/a","fast/b","slow","quick"]` {
			t.Errorf("the master key sees %s", got)
		}
	})
}

// listed are the ids of /v1/models.
func (g *gateway) listed(key string) string {
	g.t.Helper()
	var list struct{ Data []struct{ ID string } }
	r := g.get("/v1/models", "Authorization", "Bearer "+key)
	if err := json.Unmarshal([]byte(r.Body), &list); err != nil {
		g.t.Fatalf("%v in %s", err, r.Body)
	}
	ids := []string{}
	for _, m := range list.Data {
		ids = append(ids, m.ID)
	}
	text, _ := json.Marshal(ids)
	return string(text)
}

func TestKeysAreChangedBlockedAndDeletedAtOnce(t *testing.T) {
	onBoth(t, func(t *testing.T, g *gateway, _ *upstream) {
		key := g.newKey(`{"models": ["slow"]}`)
		g.as(key, "fast").refuses(t, 403, "key_model_access_denied")
		g.manage("/key/update", fmt.Sprintf(`{"key": %q, "models": ["cheap"]}`, key))
		if r := g.as(key, "fast/a"); r.Status != 200 {
			t.Errorf("by an access group: %d %s", r.Status, r.Body)
		}
		g.as(key, "fast/b").refuses(t, 403, "key_model_access_denied")
		g.manage("/key/block", fmt.Sprintf(`{"key": %q}`, key))
		g.as(key, "fast/a").refuses(t, 401, "auth_error")
		g.manage("/key/unblock", fmt.Sprintf(`{"key": %q}`, key))
		if r := g.as(key, "fast/a"); r.Status != 200 {
			t.Errorf("unblocked: %d %s", r.Status, r.Body)
		}
		g.manage("/key/delete", fmt.Sprintf(`{"keys": [%q]}`, key))
		if r := g.as(key, "fast/a"); r.Status != 401 {
			t.Errorf("deleted: %d %s", r.Status, r.Body)
		}
		expired := g.newKey(`{"duration": "1s"}`)
		eventually(t, 5*time.Second, "the key expires", func() bool { return g.as(expired, "slow").Status == 401 })
	})
}

func TestLimitsOfAKeyAndItsTeamHold(t *testing.T) {
	onBoth(t, func(t *testing.T, g *gateway, a *upstream) {
		team := g.manage("/team/new", `{"team_alias": "core", "rpm_limit": 5}`)["team_id"].(string)
		one := g.newKey(fmt.Sprintf(`{"team_id": %q, "rpm_limit": 3}`, team))
		other := g.newKey(fmt.Sprintf(`{"team_id": %q, "model_rpm_limit": {"slow": 1}}`, team))
		if n := g.admittedAs(one, "fast", 10); n != 3 {
			t.Errorf("%d of 10 requests of a key with rpm 3 were admitted", n)
		}
		r := g.as(one, "fast")
		r.refuses(t, 429, "requests")
		if r.Header.Get("Retry-After") == "" || r.Header.Get("x-ratelimit-limit-requests") != "3" {
			t.Errorf("headers of a refusal: %v", r.Header)
		}
		if n := g.admittedAs(other, "slow", 5); n != 1 {
			t.Errorf("%d requests for a model of which the key may ask 1 a minute", n)
		}
		if n := g.admittedAs(other, "fast", 10); n != 1 {
			t.Errorf("%d more of a team that has 5 a minute, of which 4 were used", n)
		}
		if n := a.total(); n != 5 {
			t.Errorf("%d requests came to the provider, want 5", n)
		}
	})
}

// admittedAs is how many of n requests at the same time are answered with 200; all others must be refused with 429.
func (g *gateway) admittedAs(key, model string, n int) (admitted int) {
	g.t.Helper()
	var mu sync.Mutex
	var wg sync.WaitGroup
	for range n {
		wg.Go(func() {
			r := g.as(key, model)
			mu.Lock()
			defer mu.Unlock()
			switch r.Status {
			case 200:
				admitted++
			case 429:
			default:
				g.t.Errorf("%d %s", r.Status, r.Body)
			}
		})
	}
	wg.Wait()
	return admitted
}

// A new secret is no way around the limits and the budget of a key: what was used, and what is in flight, counts on.
func TestARegeneratedKeyGoesOnWithWhatItHasUsed(t *testing.T) {
	onBoth(t, func(t *testing.T, g *gateway, a *upstream) {
		key := g.newKey(`{"rpm_limit": 4, "max_parallel_requests": 2, "max_budget": 100}`)
		again := func() {
			key, _ = g.manage("/key/regenerate", fmt.Sprintf(`{"key": %q}`, key))["key"].(string)
		}
		wait := g.together(2, ask("fast", "delay=4s", `,"max_tokens":10`), bearer(key)...)
		eventually(t, 5*time.Second, "both have come to the provider", func() bool { return len(a.Report().Requests) == 2 })
		again()
		g.as(key, "fast").refuses(t, http.StatusTooManyRequests, "requests") // both places are taken
		cost := 0.0
		for _, got := range wait() {
			if got.Status != http.StatusOK {
				t.Errorf("a request from before: %d %s", got.Status, got.Body)
			}
			one, _ := strconv.ParseFloat(got.Header.Get("X-Litellm-Response-Cost"), 64)
			cost += one
		}
		again()
		eventually(t, 5*time.Second, "two more of four requests a minute", func() bool { return g.as(key, "none").Status == 400 && g.as(key, "fast").Status == 200 })
		again()
		g.as(key, "fast")
		again()
		if p := g.as(key, "fast").refuses(t, http.StatusTooManyRequests, "requests"); !strings.Contains(p.Message, "Current limit: 4, Remaining: 0") {
			t.Errorf("refused with %q", p.Message)
		}
		if cost == 0 || !soon(5*time.Second, func() bool { return g.spent("/key/info?key="+key, "info") > cost }) {
			t.Errorf("the key has spent %v, and %v before it was regenerated", g.spent("/key/info?key="+key, "info"), cost)
		}
		g.logs(t, "api_key="+key, 4)
	})
}

// An answer of the mock has 8 tokens, or as many as the request allows.
func TestCostsAreToldAndCounted(t *testing.T) {
	onBoth(t, func(t *testing.T, g *gateway, _ *upstream) {
		user := g.manage("/user/new", `{"user_id": "ann", "auto_create_key": false}`)["user_id"]
		key := g.newKey(`{"user_id": "ann", "tags": ["batch"]}`)
		first := g.as(key, "fast")
		var usage struct {
			Usage struct {
				PromptTokens     int `json:"prompt_tokens"`
				CompletionTokens int `json:"completion_tokens"`
			}
		}
		if err := json.Unmarshal([]byte(first.Body), &usage); err != nil || first.Status != 200 {
			t.Fatalf("%d %s", first.Status, first.Body)
		}
		cost := float64(usage.Usage.PromptTokens)/1000 + float64(usage.Usage.CompletionTokens)/500
		if got := number(t, first.Header.Get("x-litellm-response-cost")); !near(got, cost) {
			t.Errorf("x-litellm-response-cost is %v, want %v", got, cost)
		}
		if got := number(t, first.Header.Get("x-litellm-key-spend")); got != 0 {
			t.Errorf("x-litellm-key-spend is %v before anything was spent", got)
		}
		eventually(t, 5*time.Second, "the key's spend is counted", func() bool {
			info := g.manage("/key/info?key="+key, "")["info"].(map[string]any)
			return near(info["spend"].(float64), cost)
		})
		if got := number(t, g.as(key, "slow").Header.Get("x-litellm-key-spend")); !near(got, cost) {
			t.Errorf("x-litellm-key-spend is %v, want %v", got, cost)
		}
		eventually(t, 5*time.Second, "both requests are in the spend log", func() bool {
			rows, _ := g.manage("/spend/logs?api_key="+key, "")[""].([]any)
			return len(rows) == 2
		})
		rows, _ := g.manage("/spend/logs?api_key="+key, "")[""].([]any)
		if user := rows[0].(map[string]any)["end_user"]; user != "mock:" {
			t.Errorf("the spend log says that a request was for %q", user)
		}
		several := g.manage("/v2/key/info", `{"keys": ["`+key+`"]}`)["info"].([]any)
		if all := g.manage("/global/spend", "")["spend"]; len(several) != 1 || !near(all.(float64), several[0].(map[string]any)["spend"].(float64)) {
			t.Errorf("all have spent %v, and the key %v", all, several)
		}
		info := g.manage("/user/info?user_id=ann", "")["user_info"].(map[string]any)
		if user != "ann" || !near(info["spend"].(float64), 2*cost) {
			t.Errorf("the user has spent %v, want %v", info["spend"], 2*cost)
		}
		models := map[string]bool{}
		rows, _ = g.manage("/global/spend/models", "")[""].([]any)
		for _, row := range rows {
			models[fmt.Sprint(row.(map[string]any)["model"])] = true
		}
		if len(models) != 2 {
			t.Errorf("/global/spend/models has %v", rows)
		}
	})
}

func number(t *testing.T, text string) float64 {
	t.Helper()
	n, err := strconv.ParseFloat(text, 64)
	if err != nil {
		t.Errorf("%q is no number", text)
	}
	return n
}

func near(a, b float64) bool { return a-b < 1e-9 && b-a < 1e-9 }

func TestNoBudgetIsPassedByRequestsSideBySide(t *testing.T) {
	onBoth(t, func(t *testing.T, g *gateway, a *upstream) {
		// A request is 1 token in and at most 5 out in the estimate, or a little more: some 0.02 USD.
		key := g.newKey(`{"max_budget": 0.2}`)
		var wg sync.WaitGroup
		var mu sync.Mutex
		counts := map[int]int{}
		for range 60 {
			wg.Go(func() {
				r := g.post("/v1/chat/completions", `{"model":"fast","max_tokens":5,"messages":[{"role":"user","content":"hi"}]}`, "Authorization", "Bearer "+key)
				mu.Lock()
				defer mu.Unlock()
				counts[r.Status]++
				if r.Status == 429 && r.problem(t).Type != "budget_exceeded" {
					t.Errorf("%s", r.Body)
				}
			})
		}
		wg.Wait()
		if counts[200] == 0 || counts[429] == 0 || counts[200]+counts[429] != 60 {
			t.Errorf("answers: %v", counts)
		}
		var spent float64
		eventually(t, 5*time.Second, "all is counted", func() bool {
			rows, _ := g.manage("/spend/logs?api_key="+key, "")[""].([]any)
			spent = g.manage("/key/info?key="+key, "")["info"].(map[string]any)["spend"].(float64)
			return len(rows) == counts[200]
		})
		if spent > 0.2 || spent == 0 {
			t.Errorf("%v USD were spent of 0.2", spent)
		}
		if a.total() != counts[200] {
			t.Errorf("%d requests came to the provider, %d were admitted", a.total(), counts[200])
		}
	})
}

func TestSpendAndKeysSurviveRestartsAndKills(t *testing.T) {
	onBoth(t, func(t *testing.T, g *gateway, _ *upstream) {
		key := g.newKey(`{"models": ["fast"]}`)
		const n = 20
		for range n {
			if r := g.as(key, "fast"); r.Status != 200 {
				t.Fatalf("%d %s", r.Status, r.Body)
			}
		}
		// An entry that is on its way to the disk when nestor dies is lost with it.
		eventually(t, 5*time.Second, "all entries have come", func() bool { return g.metrics().sum("nestor_attempts_total") == n })
		eventually(t, 5*time.Second, "all are on disk", func() bool { return g.metrics().sum("nestor_spend_rows_unsaved") == 0 })
		g.kill()
		g.again()
		rows := func() int {
			rows, _ := g.manage("/spend/logs?api_key="+key, "")[""].([]any)
			return len(rows)
		}
		if !soon(10*time.Second, func() bool { return rows() == n }) {
			t.Fatalf("%d rows in the spend log, want %d", rows(), n)
		}
		if r := g.as(key, "fast"); r.Status != 200 {
			t.Errorf("after a kill: %d %s", r.Status, r.Body)
		}
		g.nestor.end()
		g.again()
		if r := rows(); r != n+1 {
			t.Errorf("%d rows after an orderly end, want %d", r, n+1)
		}
		g.as(key, "slow").refuses(t, 403, "key_model_access_denied")
	})
}

func TestNoSecretIsWrittenAnywhere(t *testing.T) {
	onBoth(t, func(t *testing.T, g *gateway, _ *upstream) {
		given := "sk-chosen-by-the-user-0123456789"
		g.newKey(fmt.Sprintf(`{"key": %q, "models": ["fast"], "max_budget": 5}`, given))
		key := g.newKey(`{"models": ["fast"]}`)
		secrets := []string{given, key, masterSecret, "sk-provider-secret-a", "sk-provider-secret-b"}
		var said strings.Builder
		for _, k := range []string{given, key, masterSecret, "sk-wrong-secret-987654"} {
			for _, model := range []string{"fast", "slow", "none"} {
				r := g.as(k, model)
				fmt.Fprintln(&said, r.Header, r.Body)
			}
		}
		for _, path := range []string{"/key/list", "/key/info?key=" + record.TokenOf(key), "/spend/logs", "/audit", "/model/info", "/v1/models", "/global/spend/keys", "/health"} {
			r := g.get(path, "Authorization", "Bearer "+masterSecret)
			fmt.Fprintln(&said, r.Header, r.Body)
		}
		g.post("/key/info", fmt.Sprintf(`{"key": %q}`, key), "Authorization", "Bearer "+masterSecret)
		g.post("/key/generate", `{"key": "`+given+`"}`, "Authorization", "Bearer "+masterSecret)
		g.get("/key/"+key+"/regenerate", "Authorization", "Bearer "+masterSecret)
		r, err := do(httpClient(t), http.MethodGet, g.http+"/metrics", "")
		if err != nil {
			t.Fatal(err)
		}
		said.WriteString(r.Body)
		g.nestor.end()
		for _, secret := range append(secrets, "sk-wrong-secret-987654") {
			if at := strings.Index(said.String(), secret); at >= 0 {
				t.Errorf("an answer or a metric holds a secret: ...%s", said.String()[max(0, at-200):at])
			}
		}
		searched := 0
		err = filepath.WalkDir(g.dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() || strings.Contains(filepath.Base(path), "config.yaml") {
				return err
			}
			text, err := os.ReadFile(path)
			for _, secret := range append(secrets, "sk-wrong-secret-987654") {
				if strings.Contains(string(text), secret) {
					t.Errorf("%s holds a secret", filepath.Base(path))
				}
			}
			searched++
			return err
		})
		if err != nil || searched < 2 {
			t.Errorf("%d files searched: %v", searched, err)
		}
	})
}

// Whatever id a client gives its requests, each is one: it is charged, and has a place of its own among those in flight.
func TestRequestsOfOneIDAreStillSeveral(t *testing.T) {
	onBoth(t, func(t *testing.T, g *gateway, a *upstream) {
		key := g.newKey(`{"max_parallel_requests": 1}`)
		headers := []string{"Authorization", "Bearer " + key, "x-request-id", "the-same"}
		for range 4 {
			if r := g.chat("fast", "", headers...); r.Status != 200 {
				t.Fatalf("%d %s", r.Status, r.Body)
			}
		}
		eventually(t, 5*time.Second, "all four are in the spend log", func() bool {
			rows, _ := g.manage("/spend/logs?api_key="+key, "")[""].([]any)
			return len(rows) == 4
		})
		var wg sync.WaitGroup
		var admitted atomic.Int32
		for range 5 {
			wg.Go(func() {
				if g.chat("fast", "delay=500ms", headers...).Status == 200 {
					admitted.Add(1)
				}
			})
		}
		wg.Wait()
		if n := admitted.Load(); n != 1 {
			t.Errorf("%d requests at once of a key that may have one in flight", n)
		}
	})
}

// What a client asked before may be in flight for Nestor still when it asks again: its log entry comes after the answer.
func TestAClientThatAsksOneAfterTheOtherSpendsAllOfABudget(t *testing.T) {
	onBoth(t, func(t *testing.T, g *gateway, a *upstream) {
		// A token of output costs 2,000ths of a dollar: without a bound, one request may always cost more than is left.
		for fields, budget := range map[string]float64{"": 0.3, `,"max_tokens":40`: 0.3} {
			key, answers := g.newKey(fmt.Sprintf(`{"max_budget": %v}`, budget)), 0
			for ; answers < 12; answers++ {
				r := g.post("/v1/chat/completions", ask("slow", "events=5", fields), bearer(key)...)
				if r.Status == http.StatusOK {
					continue
				}
				if left := budget - float64(answers)*(prompt+2*5)*token; left > 0.13 {
					t.Errorf("%q: refused after %d answers with %v left: %s", fields, answers, left, r.Body)
				}
				break
			}
			if answers < 9 {
				t.Errorf("%q: %d answers", fields, answers)
			}
		}
	})
}

// Short answers teach what the next ones are like; nobody gets past a budget by asking for some first.
func TestShortAnswersAreNoWayPastABudget(t *testing.T) {
	onBoth(t, func(t *testing.T, g *gateway, a *upstream) {
		const budget, answer = 0.3, (prompt + 2*50) * token
		key := g.newKey(fmt.Sprintf(`{"max_budget": %v}`, budget+40*(prompt+2*1)*token))
		for i := range 40 {
			if r := g.post("/v1/chat/completions", ask("slow", "events=1", []string{"", `,"max_tokens":1`}[i%2]), bearer(key)...); r.Status != http.StatusOK {
				t.Fatalf("%d %s", r.Status, r.Body)
			}
		}
		answers := 0.0
		for _, got := range g.together(30, ask("slow", "events=50;delay=100ms"), bearer(key)...)() {
			if got.Status == http.StatusOK {
				answers++
			}
		}
		if answers == 0 || answers*answer > budget+answer {
			t.Errorf("%v answers at %v each, of a budget of %v", answers, answer, budget)
		}
		spent := func() float64 { return g.spent("/key/info?key="+key, "info") - 40*(prompt+2*1)*token }
		if !soon(10*time.Second, func() bool { return near(spent(), answers*answer) }) {
			t.Errorf("%v were spent, want that of %v answers", spent(), answers)
		}
	})
}

// A request that may cost more than what is left is not let in, alone or not.
func TestAStatedBoundHasToFitIntoTheBudget(t *testing.T) {
	onBoth(t, func(t *testing.T, g *gateway, a *upstream) {
		key := g.newKey(`{"max_budget": 0.1}`)
		ask := func(most int) reply {
			return g.post("/v1/chat/completions", fmt.Sprintf(`{"model":"fast","max_tokens":%d,"messages":[{"role":"user","content":"hi"}]}`, most),
				"Authorization", "Bearer "+key)
		}
		r := ask(50)
		if r.refuses(t, 429, "budget_exceeded"); r.Header.Get("X-Should-Retry") != "false" {
			t.Error("the client is not told that to try again is of no use")
		}
		if r := ask(5); r.Status != 200 {
			t.Errorf("one that fits: %d %s", r.Status, r.Body)
		}
		if a.total() != 1 {
			t.Errorf("%d requests came to the provider", a.total())
		}
	})
}

func TestTheAddressOfAClientIsItsOwn(t *testing.T) {
	a := provideAs(t, mock.Options{Name: "a"})
	config := yaml(keyed, a) + "  management_allowed_ips: [%s]\n"
	g := run(t, fmt.Sprintf(config, "127.0.0.0/8"))
	g.manage("/key/list", "")
	other := run(t, fmt.Sprintf(config, "192.0.2.0/24"))
	for _, forged := range []string{"", "192.0.2.7"} {
		r := other.get("/key/list", "Authorization", "Bearer "+masterSecret, "x-forwarded-for", forged)
		if r.Status != 403 {
			t.Errorf("x-forwarded-for %q: %d %s", forged, r.Status, r.Body)
		}
	}
}
