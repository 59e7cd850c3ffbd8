package test

import (
	"math"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// seed is the first example of the project, its limits times a thousand: `fast` is made of two groups.
const seed = `
model_list:
  - model_name: fast/GPT-OSS-120b
    litellm_params: {model: groq/openai/gpt-oss-120b, api_base: $A/v1, api_key: k, rpm: 30000, order: 2}
    model_info: {id: groq}
  - model_name: fast/GPT-OSS-120b
    litellm_params: {model: cerebras/gpt-oss-120b, api_base: $A/v1, api_key: k, rpm: 5000, order: 1}
    model_info: {id: cer}
  - model_name: fast/glm-4.7
    litellm_params: {model: cerebras/zai-glm-4.7, api_base: $A/v1, api_key: k, rpm: 5000}
    model_info: {id: glm}
  - model_name: fast
    litellm_params: {model: fast/GPT-OSS-120b}
  - model_name: fast
    litellm_params: {model: fast/glm-4.7}
  - model_name: flat
    litellm_params: {model: openai/one, api_base: $A/v1, api_key: k, rpm: 30000}
    model_info: {id: one}
  - model_name: flat
    litellm_params: {model: openai/two, api_base: $A/v1, api_key: k, rpm: 10000}
    model_info: {id: two}
  - model_name: weighted
    litellm_params: {model: flat, weight: 1}
  - model_name: weighted
    litellm_params: {model: fast, weight: 3}
  - model_name: "any/*"
    litellm_params: {model: "openai/x-*", api_base: $A/v1, api_key: k}
    model_info: {id: any}
router_settings:
  disable_cooldowns: true
  model_group_alias: {quick: fast, secret: {model: flat, hidden: true}}
`

func TestRequestsAreDividedAsTheGroupsSay(t *testing.T) {
	t.Parallel()
	a := provide(t, "a")
	g := run(t, yaml(seed, a))
	tests := []struct {
		model string
		want  map[string]float64
	}{
		{"fast", map[string]float64{"cer": 0.5, "glm": 0.5}},
		{"quick", map[string]float64{"cer": 0.5, "glm": 0.5}},
		{"secret", map[string]float64{"one": 0.75, "two": 0.25}},
		{"flat", map[string]float64{"one": 0.75, "two": 0.25}},
		{"weighted", map[string]float64{"one": 0.1875, "two": 0.0625, "cer": 0.375, "glm": 0.375}},
		{"fast/GPT-OSS-120b", map[string]float64{"cer": 1}},
		{"cer", map[string]float64{"cer": 1}},
		{"groq/openai/gpt-oss-120b", map[string]float64{"groq": 1}},
		{"any/thing", map[string]float64{"any": 1}},
	}
	for _, test := range tests {
		t.Run(test.model, func(t *testing.T) {
			const n = 400
			got := g.draw(test.model, n)
			for id, p := range test.want {
				// Five standard deviations: wrong once in millions of runs.
				if off := math.Abs(float64(got[id]) - n*p); off > 5*math.Sqrt(n*p*(1-p)) {
					t.Errorf("%s got %d of %d, want %.0f", id, got[id], n, n*p)
				}
				delete(got, id)
			}
			if len(got) > 0 {
				t.Errorf("these should have got none: %v", got)
			}
		})
	}
}

// draw sends n requests and counts the deployments that answered.
func (g *gateway) draw(model string, n int) map[string]int {
	g.t.Helper()
	client, found := httpClient(g.t), map[string]int{}
	var mu sync.Mutex
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range n / 8 {
				got, err := do(client, http.MethodPost, g.url+"/v1/chat/completions", ask(model, ""))
				if err != nil || got.Status != http.StatusOK {
					g.t.Errorf("status %d, %v: %s", got.Status, err, got.Body)
					return
				}
				mu.Lock()
				found[got.Header.Get("X-Litellm-Model-Id")]++
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return found
}

func TestAWildcardFillsInWhatItMatched(t *testing.T) {
	t.Parallel()
	a := provide(t, "a")
	g := run(t, yaml(seed, a))
	g.chat("any/thing", "").succeeds(t)
	if got := a.last(t).Model; got != "x-thing" {
		t.Errorf("the provider was asked for %q, want x-thing", got)
	}
}

func TestAComposedGroupGoesOnWithWhatIsLeft(t *testing.T) {
	t.Parallel()
	a := provide(t, "a")
	g := run(t, yaml(seed, a))
	// cer fails: its tier is empty for this request, so groq stands in, or glm.
	ids := map[string]bool{}
	for range 30 {
		got := g.chat("fast", "status=500;for=gpt-oss-120b").succeeds(t)
		ids[got.Header.Get("X-Litellm-Model-Id")] = true
	}
	if diff := cmp.Diff(map[string]bool{"groq": true, "glm": true}, ids); diff != "" {
		t.Errorf("answered by (-want +got):\n%s", diff)
	}
}

func TestModelsAreListedAsLiteLLMListsThem(t *testing.T) {
	t.Parallel()
	a := provide(t, "a")
	g := run(t, yaml(seed, a))
	for _, path := range []string{"/v1/models", "/models"} {
		var ids []string
		for _, row := range list(t, g.get(path)) {
			ids = append(ids, unquote(row["id"]))
			if row["object"] != `"model"` || row["created"] != "1677610602" || row["owned_by"] != `"openai"` {
				t.Errorf("%s: %v", path, row)
			}
		}
		want := []string{"fast/GPT-OSS-120b", "fast/glm-4.7", "fast", "flat", "weighted", "quick"}
		if diff := cmp.Diff(want, ids); diff != "" {
			t.Errorf("%s (-want +got):\n%s", path, diff)
		}
	}
	for path, status := range map[string]int{
		"/v1/models/fast": 200, "/models/quick": 200, "/v1/models/fast/glm-4.7": 200, "/v1/models/fast%2Fglm-4.7": 200, "/v1/models/nobody": 404,
	} {
		if got := g.get(path); got.Status != status {
			t.Errorf("%s: status %d, want %d: %s", path, got.Status, status, got.Body)
		}
	}
	if a.total() != 0 {
		t.Errorf("listing models called the provider %d times", a.total())
	}
}

// list reads the rows of `data`.
func list(t *testing.T, r reply) []map[string]string {
	t.Helper()
	if r.Status != http.StatusOK {
		t.Fatalf("status %d: %s", r.Status, r.Body)
	}
	var rows []map[string]string
	for _, row := range elements(t, members(t, r.Body)["data"]) {
		rows = append(rows, members(t, row))
	}
	return rows
}

func unquote(s string) string { return strings.Trim(s, `"`) }

func TestModelInfoShowsEveryDeploymentUnderEveryName(t *testing.T) {
	t.Parallel()
	a := provide(t, "a")
	g := run(t, yaml(strings.ReplaceAll(seed, "api_key: k", "api_key: sk-hidden-key"), a))
	want := map[string]string{
		"fast/GPT-OSS-120b": "groq cer", "fast/glm-4.7": "glm", "fast": "groq cer glm", "flat": "one two",
		"weighted": "groq cer glm one two", "any/*": "any", "quick": "groq cer glm",
	}
	for _, path := range []string{"/model/info", "/v1/model/info"} {
		whole := g.get(path)
		if strings.Contains(whole.Body, "sk-hidden-key") || strings.Contains(whole.Body, "api_key") {
			t.Errorf("%s shows a credential: %s", path, whole.Body)
		}
		got := map[string]string{}
		for _, row := range list(t, whole) {
			name := unquote(row["model_name"])
			info := members(t, row["model_info"])
			got[name] = strings.TrimSpace(got[name] + " " + unquote(info["id"]))
			if params := members(t, row["litellm_params"]); unquote(params["api_base"]) != a.url+"/v1" || info["db_model"] != "false" || info["key"] != params["model"] {
				t.Errorf("%s: %v, %v", name, params, info)
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", path, diff)
		}
	}
}

func TestGroupInfoNamesTheProviders(t *testing.T) {
	t.Parallel()
	a := provide(t, "a")
	g := run(t, yaml(seed, a))
	got := map[string]string{}
	for _, row := range list(t, g.get("/model_group/info")) {
		got[unquote(row["model_group"])] = row["providers"]
	}
	want := map[string]string{
		"fast/GPT-OSS-120b": `["groq","cerebras"]`, "fast/glm-4.7": `["cerebras"]`, "fast": `["groq","cerebras"]`, "flat": `["openai"]`,
		"weighted": `["groq","cerebras","openai"]`, "any/*": `["openai"]`, "quick": `["groq","cerebras"]`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
