package test

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

// detoured is a group that falls back to another; a token costs 1 USD in a thousand in the first.
const detoured = `
model_list:
  - {model_name: first, litellm_params: {model: openai/m, api_base: $A/v1, api_key: k, input_cost_per_token: 0.001, output_cost_per_token: 0.001}, model_info: {id: a}}
  - {model_name: wild/*, litellm_params: {model: openai/*, api_base: $B/v1, api_key: k}, model_info: {id: b}}
router_settings:
  fallbacks: [{first: [wild/spare]}]
  num_retries: 1
  disable_cooldowns: true
general_settings:
  master_key: sk-master-secret-1234
`

func runDetoured(t *testing.T) (g *gateway, a, b *upstream) {
	t.Helper()
	t.Parallel()
	a, b = provide(t, "a"), provide(t, "b")
	return run(t, yaml(detoured, a, b)), a, b
}

// statuses are those of n requests, one after the other.
func (g *gateway) statuses(n int, key, body string) map[int]int {
	g.t.Helper()
	found := map[int]int{}
	for range n {
		found[g.post("/v1/chat/completions", body, bearer(key)...).Status]++
	}
	return found
}

func TestRetriesAndFallbacksAreOneRequestOfTheKey(t *testing.T) {
	g, a, b := runDetoured(t)
	team := g.manage("/team/new", `{"rpm_limit": 10}`)["team_id"].(string)
	key := g.newKey(`{"team_id": "` + team + `", "rpm_limit": 10, "max_parallel_requests": 1}`)
	got := g.statuses(12, key, ask("first", "status=500;for=a"))
	if got[200] != 10 || got[429] != 2 {
		t.Errorf("answers %v, want 10 and then 2 refusals", got)
	}
	if n := calls(a, b); n != [2]int{20, 10} {
		t.Errorf("%v calls, want two tries at the first and one at its fallback each", n)
	}
	once := g.newKey(`{"rpm_limit": 1}`)
	r := g.post("/v1/chat/completions", ask("first", "status=500;for=a"), bearer(once)...)
	if r.Status != http.StatusOK || origin(r)["id"] != "b" {
		t.Errorf("the one request a minute: %d %s from %v", r.Status, r.Body, origin(r))
	}
	g.as(once, "first").refuses(t, http.StatusTooManyRequests, "requests")
	last := g.newKey(`{"rpm_limit": 1}`)
	r = g.post("/v1/chat/completions", ask("wild/x", "status=500"), bearer(last)...)
	if r.Status != http.StatusInternalServerError || !strings.Contains(r.Body, "mock") {
		t.Errorf("where every attempt fails: %d %s, want what the provider said", r.Status, r.Body)
	}
	if n := calls(a, b)[1]; n != 3 {
		t.Errorf("%d calls of the second provider, want the fallback, an attempt and its retry", n)
	}
}

// A reset counts the tokens that it may have used and costs no money; a timeout costs all that was set aside.
func TestWhoMayNotTryAgainIsToldWhatTheProviderDid(t *testing.T) {
	g, a, b := runDetoured(t)
	key := g.newKey(`{"tpm_limit": 100, "max_budget": 1}`)
	r := g.post("/v1/chat/completions", ask("first", "reset;for=a", `,"max_tokens":80`), bearer(key)...)
	if p := r.problem(t); r.Status != http.StatusServiceUnavailable || !strings.Contains(p.Message, "connection termination") {
		t.Errorf("after a reset: %d %s, want that the connection broke", r.Status, r.Body)
	}
	if origin(r)["id"] != "a" {
		t.Errorf("the failure is told to be of %v", origin(r))
	}
	if n := calls(a, b); n != [2]int{1, 0} {
		t.Errorf("%v calls, want one: the key's tokens do not suffice for another", n)
	}
	g.post("/v1/chat/completions", ask("first", "", `,"max_tokens":80`), bearer(key)...).refuses(t, http.StatusTooManyRequests, "tokens")

	poor := g.newKey(`{"max_budget": 0.15}`)
	r = g.post("/v1/chat/completions", ask("first", "delay=2s;for=a", `,"max_tokens":80,"timeout":0.3`), bearer(poor)...)
	if p := r.problem(t); r.Status != http.StatusGatewayTimeout || p.Type != "timeout_error" {
		t.Errorf("after a timeout: %d %s, want that", r.Status, r.Body)
	}
	eventually(t, 5*time.Second, "the timeout is charged", func() bool { return g.spent("/key/info?key="+poor, "info") > 0.08 })
	if spent := g.spent("/key/info?key="+key, "info"); spent != 0 {
		t.Errorf("the reset has cost %v USD", spent)
	}
}

func TestALimitForAModelHoldsWhereItIsAFallback(t *testing.T) {
	g, a, b := runDetoured(t)
	key := g.newKey(`{"models": ["first", "wild/*"], "model_rpm_limit": {"wild/*": 2}}`)
	for name, body := range map[string]string{
		"of the config": ask("first", "status=500;for=a"),
		"of the body":   ask("first", "status=500;for=a", `,"fallbacks":["wild/other"]`),
	} {
		if got := g.statuses(5, key, body); got[200] > 2 || got[200]+got[500] != 5 {
			t.Errorf("fallbacks %s: answers %v", name, got)
		}
	}
	if n := calls(a, b)[1]; n != 2 {
		t.Errorf("%d requests came to the fallbacks, want the 2 that the key may make a minute", n)
	}
	g.as(key, "wild/another").refuses(t, http.StatusTooManyRequests, "requests")
}
