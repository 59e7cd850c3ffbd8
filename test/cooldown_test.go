package test

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

const cooling = `
model_list:
  - model_name: pair
    litellm_params: {model: openai/m, api_base: $A/v1, api_key: k, order: 1}
    model_info: {id: first}
  - model_name: pair
    litellm_params: {model: openai/m, api_base: $B/v1, api_key: k, order: 2}
    model_info: {id: second}
router_settings:
  cooldown_time: 30
`

func TestADeploymentThatFailsTooOftenIsLeftAlone(t *testing.T) {
	t.Parallel()
	a, b := provide(t, "a"), provide(t, "b")
	g := run(t, yaml(cooling+"  allowed_fails: 1\n", a, b))
	// One failure is allowed, the second is too many.
	for i, want := range [][2]int{{1, 1}, {1, 1}, {0, 1}, {0, 1}} {
		g.chat("pair", "status=500;for=a").succeeds(t)
		if n := calls(a, b); n != want {
			t.Errorf("request %d: %v calls, want %v", i, n, want)
		}
	}
}

func TestACooldownLastsAsLongAsRetryAfterSays(t *testing.T) {
	t.Parallel()
	a, b := provide(t, "a"), provide(t, "b")
	g := run(t, yaml(cooling, a, b))
	before := time.Now()
	g.chat("pair", "status=429;retry-after=2;for=a").succeeds(t)
	g.chat("pair", "").succeeds(t)
	if n := calls(a, b); n != [2]int{1, 2} {
		t.Fatalf("%v calls, want the limited one left alone at once", n)
	}
	eventually(t, 8*time.Second, "the first deployment is asked again", func() bool {
		g.chat("pair", "").succeeds(t)
		return a.total() > 0
	})
	if back := time.Since(before); back < 1900*time.Millisecond || back > 5*time.Second {
		t.Errorf("back after %v, want 2 s", back)
	}
}

func TestACooldownEndsByItself(t *testing.T) {
	t.Parallel()
	a, b := provide(t, "a"), provide(t, "b")
	g := run(t, yaml(strings.Replace(cooling, "cooldown_time: 30", "cooldown_time: 1\n  allowed_fails: 0", 1), a, b))
	g.chat("pair", "status=500;for=a").succeeds(t)
	g.chat("pair", "").succeeds(t)
	if n := calls(a, b); n != [2]int{1, 2} {
		t.Fatalf("%v calls, want the failing one left alone at once", n)
	}
	eventually(t, 5*time.Second, "the first deployment is asked again", func() bool {
		g.chat("pair", "").succeeds(t)
		return a.total() > 0
	})
}

func TestCooldownNeverTakesTheLastDeployment(t *testing.T) {
	t.Parallel()
	a, b := provide(t, "a"), provide(t, "b")
	g := run(t, yaml(cooling+"  allowed_fails: 0\n  num_retries: 1\n", a, b))
	if got := g.chat("pair", "status=500"); got.Status != http.StatusInternalServerError {
		t.Fatalf("status %d: %s", got.Status, got.Body)
	}
	calls(a, b)
	for range 3 {
		g.chat("pair", "").succeeds(t)
	}
	if n := calls(a, b); n[0]+n[1] != 3 {
		t.Errorf("%v calls for 3 requests", n)
	}
}

const chains = `
model_list:
  - model_name: main
    litellm_params: {model: "openai/main", api_base: $A/v1, api_key: k}
    model_info: {id: main-id}
  - model_name: second
    litellm_params: {model: "openai/second", api_base: $A/v1, api_key: k}
    model_info: {id: second-id}
  - model_name: third
    litellm_params: {model: "openai/third", api_base: $A/v1, api_key: k}
    model_info: {id: third-id}
  - model_name: wide
    litellm_params: {model: "openai/wide", api_base: $A/v1, api_key: k}
    model_info: {id: wide-id}
  - model_name: safe
    litellm_params: {model: "openai/safe", api_base: $A/v1, api_key: k}
    model_info: {id: safe-id}
  - model_name: umbrella
    litellm_params: {model: main}
  - model_name: lonely
    litellm_params: {model: "openai/lonely", api_base: $A/v1, api_key: k}
    model_info: {id: lonely-id}
router_settings:
  num_retries: 0
  disable_cooldowns: true
  model_group_alias: {nickname: umbrella}
litellm_settings:
  fallbacks: [{"main": ["main", "second", "third"]}, {"umbrella": ["second"]}]
  context_window_fallbacks: [{"main": ["wide"]}]
  content_policy_fallbacks: [{"main": ["safe"]}]
  default_fallbacks: ["third"]
`

func TestFallbacksAreTriedInTheirOrder(t *testing.T) {
	t.Parallel()
	a := provide(t, "a")
	g := run(t, yaml(chains, a))
	tests := []struct{ name, model, plan, way, fallbacks string }{
		{"the first stands in", "main", "status=500;for=main", "main second", "1"},
		{"the second when the first fails too", "main", "status=500;times=2", "main second third", "2"},
		{"of a composed group", "umbrella", "status=500;for=main", "main second", "1"},
		{"of an alias", "nickname", "status=500;for=main", "main second", "1"},
		{"a prompt too long", "main", "body=context;for=main", "main wide", "1"},
		{"a content policy", "main", "body=policy;for=main", "main safe", "1"},
		{"general ones after the special one", "main", "body=context;times=2", "main wide second", "2"},
		{"the default", "lonely", "status=500;for=lonely", "lonely third", "1"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got := g.chat(test.model, test.plan+";id="+test.name).succeeds(t)
			if way := wayOf(a); way != test.way {
				t.Errorf("went %q, want %q", way, test.way)
			}
			words := strings.Fields(test.way)
			last := words[len(words)-1]
			if o := origin(got); o["id"] != last+"-id" || o["fallbacks"] != test.fallbacks || got.Header.Get("X-Litellm-Model-Group") != last {
				t.Errorf("%v from group %q", o, got.Header.Get("X-Litellm-Model-Group"))
			}
		})
	}
}

// wayOf is the models that were asked since the last look, in their order.
func wayOf(a *upstream) string {
	var models []string
	for _, r := range a.Report().Requests {
		models = append(models, r.Model)
	}
	a.Reset()
	return strings.Join(models, " ")
}

func TestWhenAllFallbacksFailTheLastFailureIsShown(t *testing.T) {
	t.Parallel()
	a := provide(t, "a")
	g := run(t, yaml(chains, a))
	got := g.chat("main", "status=503")
	if way := wayOf(a); got.Status != http.StatusServiceUnavailable || way != "main second third" {
		t.Errorf("status %d by way of %q", got.Status, way)
	}
	if message := got.problem(t).Message; !strings.Contains(message, "mock: 503") {
		t.Errorf("not the provider's own words: %q", message)
	}
}

func TestAClientNamesItsOwnFallbacks(t *testing.T) {
	t.Parallel()
	a := provide(t, "a")
	g := run(t, yaml(chains, a))
	g.post("/v1/chat/completions", ask("lonely", "status=500;for=lonely", `,"fallbacks":["safe","wide"]`)).succeeds(t)
	if way := wayOf(a); way != "lonely safe" {
		t.Errorf("went %q, want the client's fallback before the default", way)
	}
}

func TestAnUnknownModelIsRefusedInSpiteOfDefaultFallbacks(t *testing.T) {
	t.Parallel()
	a := provide(t, "a")
	g := run(t, yaml(chains, a))
	got := g.chat("nobody", "")
	if message := got.problem(t).Message; got.Status != http.StatusBadRequest || !strings.Contains(message, "nobody") || a.total() != 0 {
		t.Errorf("status %d after %d calls: %q", got.Status, a.total(), message)
	}
}
