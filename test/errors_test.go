package test

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestForeignAndEmptyFailuresAreShapedLikeOpenAIs(t *testing.T) {
	t.Parallel()
	a := provide(t, "a")
	g := run(t, yaml(oneDeployment+"router_settings: {num_retries: 1, disable_cooldowns: true}\n", a))
	tests := map[string]int{
		"status=502;body=html": 502, "status=503;body=empty": 503, "status=500;body=text": 500, "status=429;body=empty": 429,
		"status=404;body=html": 404, "status=401;body=empty": 401, "reset": 503, "reset;fin": 503,
	}
	for plan, want := range tests {
		for _, fields := range []string{"", asStream} {
			got := g.post("/v1/chat/completions", ask("gpt", plan, fields))
			problem := got.problem(t)
			if got.Status != want {
				t.Errorf("%s: status %d, want %d: %s", plan, got.Status, want, got.Body)
			}
			if problem.Type == "" || strings.Contains(problem.Message, "<html>") {
				t.Errorf("%s: %+v", plan, problem)
			}
		}
	}
}

func TestAnUpstreamThatIsNotThereIsAnErrorInOpenAIsShape(t *testing.T) {
	t.Parallel()
	nobody := &upstream{url: "http://" + freeAddresses(t, 1)[0]}
	g := run(t, yaml(`
model_list:
  - model_name: refused
    litellm_params: {model: openai/m, api_base: $A/v1, api_key: k}
  - model_name: unknown
    litellm_params: {model: openai/m, api_base: "http://nobody.invalid/v1", api_key: k}
router_settings: {num_retries: 1}
`, nobody))
	for _, model := range []string{"refused", "unknown"} {
		got := g.chat(model, "")
		if got.problem(t); got.Status != http.StatusServiceUnavailable {
			t.Errorf("%s: status %d, want 503", model, got.Status)
		}
	}
}

func TestABodyOverTheLimitIs413(t *testing.T) {
	t.Parallel()
	a := provide(t, "a")
	g := run(t, yaml(oneDeployment, a), "--body-limit", "1048576")
	small := `{"model":"gpt","x":"` + strings.Repeat("y", 1<<20-100) + `"}`
	g.post("/v1/chat/completions", small).succeeds(t)
	large := `{"model":"gpt","x":"` + strings.Repeat("y", 3<<20) + `"}`
	for name, body := range map[string]io.Reader{"with a length": strings.NewReader(large), "in chunks": io.MultiReader(strings.NewReader(large))} {
		t.Run(name, func(t *testing.T) {
			response, err := httpClient(t).Post(g.url+"/v1/chat/completions", "application/json", body)
			if err != nil {
				t.Fatal(err)
			}
			defer response.Body.Close()
			text, err := io.ReadAll(response.Body)
			if err != nil {
				t.Fatal(err)
			}
			got := reply{response.StatusCode, response.Header, string(text)}
			if got.problem(t); got.Status != http.StatusRequestEntityTooLarge {
				t.Errorf("status %d, want 413", got.Status)
			}
		})
	}
	if a.total() != 1 {
		t.Errorf("the provider got %d requests, want the small one only", a.total())
	}
}

func TestWithoutItsProcessorEnvoyAnswersInOpenAIsShape(t *testing.T) {
	t.Parallel()
	a := provide(t, "a")
	g := run(t, yaml(oneDeployment, a))
	g.kill()
	got := g.chat("gpt", "")
	if got.problem(t); got.Status != http.StatusServiceUnavailable || a.total() != 0 {
		t.Errorf("status %d after %d calls: %s", got.Status, a.total(), got.Body)
	}
	if got := g.get("/v1/models"); got.Status != http.StatusServiceUnavailable {
		t.Errorf("/v1/models: status %d", got.Status)
	} else {
		got.problem(t)
	}
	g.start()
	g.chat("gpt", "").succeeds(t)
}

func TestWhatHasNoBodyIsDecidedAtItsHeaders(t *testing.T) {
	t.Parallel()
	a := provide(t, "a")
	g := run(t, yaml(guarded, a))
	const key = "Authorization: Bearer sk-master\r\n"
	tests := []struct {
		name, request string
		want          int
	}{
		{"GET", "GET /v1/chat/completions HTTP/1.1\r\nHost: x\r\n" + key + "\r\n", 405},
		{"HEAD", "HEAD /v1/chat/completions HTTP/1.1\r\nHost: x\r\n" + key + "\r\n", 405},
		{"an empty POST", "POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n" + key + "\r\n", 400},
		{"an empty POST without a key", "POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", 401},
		{"an unknown path", "POST /v1/nothing HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n" + key + "\r\n", 404},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got := g.raw(test.request, 3*time.Second)
			if got.Status != test.want {
				t.Errorf("status %d, want %d: %s", got.Status, test.want, got.Body)
			}
			if test.name != "HEAD" {
				got.problem(t)
			}
		})
	}
	if a.total() != 0 {
		t.Errorf("the provider was called %d times", a.total())
	}
}

func TestWebSocketUpgradesAreRefusedAtOnce(t *testing.T) {
	t.Parallel()
	a := provide(t, "a")
	g := run(t, yaml(oneDeployment, a))
	for _, path := range []string{"/v1/realtime?model=gpt", "/v1/chat/completions"} {
		before := time.Now()
		got := g.raw("GET "+path+" HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
			"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n", 3*time.Second)
		if got.problem(t); got.Status != http.StatusForbidden || time.Since(before) > time.Second {
			t.Errorf("%s: status %d after %v, want 403 at once", path, got.Status, time.Since(before))
		}
	}
	if a.total() != 0 {
		t.Errorf("the provider was called %d times", a.total())
	}
}

func TestABodyThatNeverComesEndsIn408(t *testing.T) {
	t.Parallel()
	a := provide(t, "a")
	g := run(t, yaml(oneDeployment, a), "--request-timeout", "1s")
	before := time.Now()
	got := g.raw("POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{\"model\":", 8*time.Second)
	took := time.Since(before)
	if got.problem(t); got.Status != http.StatusRequestTimeout || took < 900*time.Millisecond || took > 5*time.Second {
		t.Errorf("status %d after %v, want 408 after 1 s", got.Status, took)
	}
	// A timeout for requests must not bound answers.
	g.chat("gpt", "delay=1500ms").succeeds(t)
}
