package api_test

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/nestor-gateway/nestor/api"
	"github.com/nestor-gateway/nestor/ratelimit"
	"github.com/nestor-gateway/nestor/routing"
)

const limited = `
model_list:
  - model_name: m
    litellm_params: {model: groq/a, rpm: 2, tpm: 1000, api_key: sk-a}
    model_info: {id: a}
  - model_name: all
    litellm_params: {model: m, rpm: 5}
model_groups: {all: {max_parallel_requests: 9}}
`

// limitedRouter has one request of 100 tokens in flight, called as `all`, at a moment that does not pass.
func limitedRouter(t *testing.T) *routing.Router {
	t.Helper()
	now := time.Now()
	store := ratelimit.NewMemory(ratelimit.Options{Fresh: true, Now: func() time.Duration { return time.Hour }})
	r := routing.NewRouter(routing.NewTracker(func() time.Time { return now }), store, snapshotOf(t, limited))
	to, _ := r.View().Snapshot().Resolve("all")
	hold := ratelimit.Reservation{ID: ratelimit.ID{1}, Amounts: ratelimit.Amounts{1, 100, 1}, Life: time.Minute}
	if _, err := r.View().Pick(context.Background(), to, routing.Query{Hold: hold}); err != nil {
		t.Fatal(err)
	}
	return r
}

func TestStatusTellsHowLimitsStand(t *testing.T) {
	o := options(t, limited)
	o.View = limitedRouter(t).View
	h := api.New(o)
	use := func(dimension string, used, limit any, reset float64) any {
		return map[string]any{"dimension": dimension, "used": used, "limit": limit, "reset_seconds": reset}
	}
	want := reply{http.StatusOK, map[string]any{
		"model": "all", "group": "all",
		"deployments": []any{map[string]any{
			"id": "a", "limit_name": "deployment:a", "model": "groq/a", "api_base": "https://groq.example", "probability": 1.0, "eligible": true,
			"in_flight": 1.0, "cooldown_seconds": 0.0, "first_token_seconds": 0.0, "latency_seconds": 0.0,
			"limits": []any{use("requests", 1.0, 2.0, 60), use("tokens", 100.0, 1000.0, 60), use("parallel", 1.0, nil, 0)},
		}},
		"references": []any{map[string]any{
			"limit_name": "reference:all:m:1", "group": "all", "to": "m", "number": 1.0,
			"limits": []any{use("requests", 1.0, 5.0, 60), use("tokens", 100.0, nil, 60), use("parallel", 1.0, nil, 0)},
		}},
		"groups": []any{map[string]any{
			"limit_name": "group:all", "group": "all",
			"limits": []any{use("requests", 1.0, nil, 60), use("tokens", 100.0, nil, 60), use("parallel", 1.0, 9.0, 0)},
		}},
	}}
	mustEqual(t, want, get(t, h, "/status?model=all"))
	mustEqual(t, failure(http.StatusNotFound, `there is no model "nix"; GET /v1/models lists those there are`,
		"invalid_request_error", "model", "model_not_found"), get(t, h, "/status?model=nix"))
	if all := get(t, h, "/status").Body.(map[string]any)["deployments"].([]any); len(all) != 1 {
		t.Errorf("all deployments: %v", all)
	}
}

func TestCollectorTellsHowLimitsStand(t *testing.T) {
	r := limitedRouter(t)
	r.Exhausted("a", ratelimit.Tokens, 7*time.Second)
	registry := prometheus.NewRegistry()
	registry.MustRegister(api.NewCollector(r.View))
	const want = `
# HELP nestor_deployment_eligible 1 when a request can go to the deployment, 0 when it is full, cooling, exhausted or configured to take none.
# TYPE nestor_deployment_eligible gauge
nestor_deployment_eligible{deployment="a"} 0
# HELP nestor_exhausted_seconds How long a provider admits nothing more to a deployment by its own word; absent where it does.
# TYPE nestor_exhausted_seconds gauge
nestor_exhausted_seconds{deployment="a",dimension="tokens"} 7
# HELP nestor_in_flight Attempts at a deployment that have not ended.
# TYPE nestor_in_flight gauge
nestor_in_flight{deployment="a"} 1
# HELP nestor_limit A limit in force, by its name (deployment:ID, reference:GROUP:TARGET:NUMBER, group:NAME) and dimension.
# TYPE nestor_limit gauge
nestor_limit{dimension="parallel",limit="group:all"} 9
nestor_limit{dimension="requests",limit="deployment:a"} 2
nestor_limit{dimension="requests",limit="reference:all:m:1"} 5
nestor_limit{dimension="tokens",limit="deployment:a"} 1000
# HELP nestor_limit_used What is used of a limit now: over the last minute, or in flight; reservations count. With Redis, that of other replicas as this one last heard.
# TYPE nestor_limit_used gauge
nestor_limit_used{dimension="parallel",limit="group:all"} 1
nestor_limit_used{dimension="requests",limit="deployment:a"} 1
nestor_limit_used{dimension="requests",limit="reference:all:m:1"} 1
nestor_limit_used{dimension="tokens",limit="deployment:a"} 100
`
	if err := testutil.GatherAndCompare(registry, strings.NewReader(want)); err != nil {
		t.Error(err)
	}
}
