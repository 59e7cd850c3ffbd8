package api_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nestor-gateway/nestor/api"
)

// gateway stands in for Envoy and all behind it.
type gateway struct {
	mu       sync.Mutex
	seen     []string
	inFlight int
	peak     int
	// answer is told the model, which a probe names by the deployment's id.
	answer func(w http.ResponseWriter, model string)
}

func (g *gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	var fields struct{ Model string }
	_ = json.Unmarshal(body, &fields)
	g.enter(fmt.Sprint(r.Method, " ", r.URL.Path, " ", r.Header.Get("X-Nestor-Probe"), " ",
		r.Header.Get("X-Litellm-Num-Retries"), " ", string(body)))
	defer g.leave()
	g.answer(w, fields.Model)
}

func (g *gateway) enter(request string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.seen = append(g.seen, request)
	g.inFlight++
	g.peak = max(g.peak, g.inFlight)
}

func (g *gateway) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.inFlight--
}

// requests are those that came, sorted.
func (g *gateway) requests() []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Sorted(slices.Values(g.seen))
}

func fine(w http.ResponseWriter, _ string) { fmt.Fprint(w, `{"choices":[]}`) }

// portTo is a port whose probes go to g.
func portTo(t *testing.T, g *gateway, text string, change func(*api.Options)) http.Handler {
	o := options(t, text)
	o.ProbeTarget = serve(t, g)
	if change != nil {
		change(&o)
	}
	return api.New(o)
}

const everyMode = `
model_list:
  - model_name: parent
    litellm_params: {model: child}
  - model_name: child
    litellm_params: {model: groq/a, api_key: k}
    model_info: {id: chat}
  - model_name: child
    litellm_params: {model: openai/gpt-5-mini, api_key: k}
    model_info: {id: reasoning}
  - model_name: old
    litellm_params: {model: openai/davinci, api_key: k}
    model_info: {id: completion, mode: completion}
  - model_name: vectors
    litellm_params: {model: openai/text-embedding-3-small, api_key: k}
    model_info: {id: named}
  - model_name: vectors
    litellm_params: {model: openai/vec, api_key: k}
    model_info: {id: embedding, mode: embedding}
  - model_name: pictures
    litellm_params: {model: openai/dall-e-3, api_key: k}
    model_info: {id: image, mode: image_generation}
  - model_name: any/*
    litellm_params: {model: openai/*, api_key: k}
    model_info: {id: wild}
  - model_name: closed
    litellm_params: {model: openai/x, api_key: k, rpm: 0}
    model_info: {id: closed}
router_settings:
  model_group_alias: {a: parent, b: child, c: {model: vectors, hidden: true}}
`

func TestHealthProbesEachDeploymentOnceByItsMode(t *testing.T) {
	g := &gateway{answer: fine}
	r := get(t, portTo(t, g, everyMode, nil), "/health")
	mustEqual(t, []string{
		`POST /v1/chat/completions probe-secret 0 {"max_completion_tokens":16,"messages":[{"content":"Hi","role":"user"}],"model":"reasoning"}`,
		`POST /v1/chat/completions probe-secret 0 {"max_tokens":1,"messages":[{"content":"Hi","role":"user"}],"model":"chat"}`,
		`POST /v1/completions probe-secret 0 {"max_tokens":1,"model":"completion","prompt":"Hi"}`,
		`POST /v1/embeddings probe-secret 0 {"input":"Hi","model":"embedding"}`,
		`POST /v1/embeddings probe-secret 0 {"input":"Hi","model":"named"}`,
	}, g.requests())
	body := r.Body.(map[string]any)
	mustEqual(t, []any{5.0, 0.0, 3.0}, []any{body["healthy_count"], body["unhealthy_count"], body["skipped_count"]})
	mustEqual(t, any([]any{
		map[string]any{
			"model": "openai/dall-e-3", "model_id": "image", "api_base": "https://openai.example", "mode": "image_generation",
			"reason": "mode image_generation can't be probed, only chat, completion and embedding",
		},
		map[string]any{
			"model": "openai/*", "model_id": "wild", "api_base": "https://openai.example", "mode": "chat",
			"reason": "a wildcard names no model that could be probed",
		},
		map[string]any{
			"model": "openai/x", "model_id": "closed", "api_base": "https://openai.example", "mode": "chat", "rpm": 0.0,
			"reason": "its limit of 0 admits no request",
		},
	}), body["skipped_endpoints"])
}

const two = `
model_list:
  - model_name: good
    litellm_params: {model: groq/a, api_key: sk-provider-key, rpm: 3}
    model_info: {id: up}
  - model_name: bad
    litellm_params: {model: groq/b, api_key: sk-provider-key, extra_headers: {x-token: Bearer tok-123}}
    model_info: {id: down}
router_settings:
  model_group_alias: {worse: bad}
`

func upOrDown(w http.ResponseWriter, model string) {
	if model == "up" {
		fine(w, model)
		return
	}
	w.WriteHeader(401)
	fmt.Fprint(w, `{"error":{"message":"Incorrect API key provided: sk-provider-key (tok-123, probe-secret)"}}`)
}

func up() any {
	return map[string]any{"model": "groq/a", "model_id": "up", "api_base": "https://groq.example", "mode": "chat", "rpm": 3.0}
}

func down() any {
	return map[string]any{
		"model": "groq/b", "model_id": "down", "api_base": "https://groq.example", "mode": "chat", "exception_status": 401.0,
		"error": "401: Incorrect API key provided: [secret] ([secret], [secret])",
	}
}

func report(healthy, unhealthy []any) any {
	return map[string]any{
		"healthy_endpoints": healthy, "unhealthy_endpoints": unhealthy, "skipped_endpoints": []any{},
		"healthy_count": float64(len(healthy)), "unhealthy_count": float64(len(unhealthy)), "skipped_count": 0.0,
	}
}

func TestHealthTellsGoodFromBadWithoutSecrets(t *testing.T) {
	h := portTo(t, &gateway{answer: upOrDown}, two, nil)
	mustEqual(t, reply{200, report([]any{up()}, []any{down()})}, get(t, h, "/health"))
}

func TestHealthOfOneModel(t *testing.T) {
	g := &gateway{answer: upOrDown}
	h := portTo(t, g, two, nil)
	mustEqual(t, reply{200, report([]any{up()}, []any{})}, get(t, h, "/health?model=good"))
	mustEqual(t, reply{503, report([]any{}, []any{down()})}, get(t, h, "/health?model=worse"))
	mustEqual(t, reply{503, report([]any{}, []any{})}, get(t, h, "/health?model=nix"))
	mustEqual(t, reply{200, report([]any{up()}, []any{})}, get(t, h, "/health?model=groq/a"))
	mustEqual(t, reply{503, report([]any{}, []any{down()})}, get(t, h, "/health?model_id=down"))
	mustEqual(t, failure(404, "no deployment has the id nix", "invalid_request_error", "model_id", nil), get(t, h, "/health?model_id=nix"))
	mustEqual(t, 4, len(g.requests()))
}

func TestHealthWhenTheGatewayFails(t *testing.T) {
	text := func(change func(*api.Options), answer func(http.ResponseWriter, string)) string {
		r := get(t, portTo(t, &gateway{answer: answer}, two, change), "/health?model_id=up")
		return r.Body.(map[string]any)["unhealthy_endpoints"].([]any)[0].(map[string]any)["error"].(string)
	}
	t.Run("silent", func(t *testing.T) {
		done := make(chan struct{})
		defer close(done)
		got := text(func(o *api.Options) { o.ProbeTimeout = 20 * time.Millisecond }, func(http.ResponseWriter, string) { <-done })
		mustEqual(t, "no answer within 20ms", got)
	})
	t.Run("not there", func(t *testing.T) {
		got := text(func(o *api.Options) { o.ProbeTarget = "http://127.0.0.1:1" }, fine)
		mustEqual(t, true, strings.Contains(got, "connection refused"))
	})
	t.Run("foreign body", func(t *testing.T) {
		got := text(nil, func(w http.ResponseWriter, _ string) {
			http.Error(w, "<html>"+strings.Repeat("é", 2000), http.StatusBadGateway)
		})
		mustEqual(t, true, strings.HasPrefix(got, "502: <html>é") && strings.HasSuffix(got, "é...") && len(got) < 1010)
	})
	t.Run("empty body", func(t *testing.T) {
		mustEqual(t, "503: Service Unavailable", text(nil, func(w http.ResponseWriter, _ string) { w.WriteHeader(503) }))
	})
	t.Run("redirect", func(t *testing.T) {
		mustEqual(t, "302: Found", text(nil, func(w http.ResponseWriter, _ string) {
			w.Header().Set("Location", "/elsewhere")
			w.WriteHeader(302)
		}))
	})
}

func TestADeploymentThatCantBeUsedIsUnhealthyWithoutAProbe(t *testing.T) {
	g := &gateway{answer: fine}
	r := get(t, portTo(t, g, `
model_list:
  - model_name: m
    litellm_params: {model: groq/a, api_key: os.environ/NOT_SET}
    model_info: {id: x}
`, nil), "/health")
	problem := r.Body.(map[string]any)["unhealthy_endpoints"].([]any)[0].(map[string]any)["error"].(string)
	mustEqual(t, true, strings.Contains(problem, "NOT_SET"))
	mustEqual(t, 0, len(g.requests()))
}

func TestProbesRunEightAtATime(t *testing.T) {
	var config strings.Builder
	config.WriteString("model_list:\n")
	for i := range 30 {
		fmt.Fprintf(&config, "  - {model_name: m, litellm_params: {model: groq/m%d, api_key: k}}\n", i)
	}
	var mu sync.Mutex
	waiting, full := 0, make(chan struct{})
	g := &gateway{answer: func(w http.ResponseWriter, model string) {
		mu.Lock()
		if waiting++; waiting == 8 {
			close(full)
		}
		mu.Unlock()
		select {
		case <-full:
		case <-time.After(10 * time.Second):
		}
		fine(w, model)
	}}
	r := get(t, portTo(t, g, config.String(), nil), "/health")
	mustEqual(t, 30.0, r.Body.(map[string]any)["healthy_count"].(float64))
	mustEqual(t, 30, len(g.requests()))
	mustEqual(t, 8, g.peak)
}

func TestADeploymentThatIsFullIsNotProbed(t *testing.T) {
	g := &gateway{answer: func(w http.ResponseWriter, model string) {
		if model == "down" { // refused by its provider, as what Envoy adds for a deployment that was tried shows
			w.Header().Set("X-Litellm-Model-Id", "down")
		}
		w.WriteHeader(http.StatusTooManyRequests)
	}}
	body := get(t, portTo(t, g, two, nil), "/health").Body.(map[string]any)
	mustEqual(t, []any{0.0, 1.0, 1.0}, []any{body["healthy_count"], body["unhealthy_count"], body["skipped_count"]})
	mustEqual(t, any("its limits admit no request now"), body["skipped_endpoints"].([]any)[0].(map[string]any)["reason"])
}
