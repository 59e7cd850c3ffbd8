package test

import (
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const guarded = `
model_list:
  - model_name: gpt
    litellm_params: {model: openai/one, api_base: $A/v1, api_key: k}
    model_info: {id: one}
  - model_name: gpt
    litellm_params: {model: "openai/two+mock:status=500;id=two", api_base: $A/v1, api_key: k}
    model_info: {id: two}
  - model_name: vectors
    litellm_params: {model: openai/three, api_base: $A/v1, api_key: k}
    model_info: {id: three, mode: embedding}
  - model_name: parent
    litellm_params: {model: gpt}
  - model_name: grandparent
    litellm_params: {model: parent}
router_settings:
  model_group_alias: {a1: gpt, a2: grandparent}
general_settings:
  master_key: sk-master
`

func TestHealthProbesEachDeploymentOnce(t *testing.T) {
	t.Parallel()
	a := provide(t, "a")
	g := run(t, yaml(guarded, a))
	got := g.get("/health", "Authorization", "Bearer sk-master")
	if got.Status != http.StatusOK {
		t.Fatalf("status %d: %s", got.Status, got.Body)
	}
	report := members(t, got.Body)
	if report["healthy_count"] != "2" || report["unhealthy_count"] != "1" {
		t.Errorf("got %s", got.Body)
	}
	unhealthy := members(t, elements(t, report["unhealthy_endpoints"])[0])
	if unhealthy["model_id"] != `"two"` {
		t.Errorf("unhealthy: %v", unhealthy)
	}
	want := map[string]int{"one": 1, "two+mock:status=500;id=two": 1, "three": 1}
	if diff := cmp.Diff(want, a.Report().Models); diff != "" {
		t.Errorf("probes (-want +got):\n%s", diff)
	}
	for _, r := range a.Report().Requests {
		if r.Model == "three" && r.Target != "/v1/embeddings" || r.Model == "one" && r.Target != "/v1/chat/completions" {
			t.Errorf("%s was probed at %s", r.Model, r.Target)
		}
	}
	if n := g.metrics().sum("nestor_cooldowns_total"); n != 0 {
		t.Errorf("a probe made %v deployments cool", n)
	}
}

func TestHealthProbesEightAtATime(t *testing.T) {
	t.Parallel()
	a := provide(t, "a")
	config := "model_list:\n"
	for i := range 20 {
		config += "  - {model_name: gpt, litellm_params: {model: \"openai/m" + strconv.Itoa(i) + "+mock:delay=300ms\", api_base: $A/v1, api_key: k}}\n"
	}
	g := run(t, yaml(config, a))
	done := make(chan reply, 1)
	go func() {
		got, _ := do(httpClient(t), http.MethodGet, g.url+"/health", "")
		done <- got
	}()
	var most int64
	var got reply
	eventually(t, 10*time.Second, "/health answers", func() bool {
		most = max(most, a.Report().Open)
		select {
		case got = <-done:
			return true
		default:
			return false
		}
	})
	if got.Status != http.StatusOK || members(t, got.Body)["healthy_count"] != "20" || a.total() != 20 || most != 8 {
		t.Errorf("status %d after %d probes, %d at a time: %s", got.Status, a.total(), most, got.Body)
	}
}

func TestOnlyLivenessAndReadinessNeedNoKey(t *testing.T) {
	t.Parallel()
	a := provide(t, "a")
	g := run(t, yaml(guarded, a))
	for path, open := range map[string]bool{
		"/health/liveliness": true, "/health/liveness": true, "/health/readiness": true,
		"/health": false, "/v1/models": false, "/models": false, "/v1/models/gpt": false, "/model/info": false, "/v1/model/info": false,
		"/model_group/info": false,
	} {
		got := g.get(path)
		if open && got.Status != http.StatusOK {
			t.Errorf("%s without a key: status %d", path, got.Status)
		}
		if !open {
			if got.problem(t); got.Status != http.StatusUnauthorized {
				t.Errorf("%s without a key: status %d, want 401", path, got.Status)
			}
			if path == "/health" {
				continue // its probes are another test's
			}
			if with := g.get(path, "X-Api-Key", "sk-master"); with.Status != http.StatusOK {
				t.Errorf("%s with the key: status %d: %s", path, with.Status, with.Body)
			}
		}
	}
	if got := g.get("/metrics", "Authorization", "Bearer sk-master"); got.Status == http.StatusOK {
		t.Errorf("/metrics is open to clients")
	}
	if a.total() != 0 {
		t.Errorf("the provider was called %d times", a.total())
	}
}
