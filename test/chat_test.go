package test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nestor-gateway/nestor/cmd/nestor/mock"
)

const oneDeployment = `
model_list:
  - model_name: gpt
    litellm_params: {model: openai/gpt-mini, api_base: $A/v1, api_key: sk-provider}
    model_info: {id: only}
`

func TestEveryEndpointIsAnsweredByTheDeployment(t *testing.T) {
	t.Parallel()
	a := provide(t, "a")
	g := run(t, yaml(oneDeployment, a))
	tests := []struct{ path, body, object, target string }{
		{"/v1/chat/completions", `{"model":"gpt","messages":[]}`, "chat.completion", "/v1/chat/completions"},
		{"/chat/completions", `{"model":"gpt","messages":[]}`, "chat.completion", "/v1/chat/completions"},
		{"/v1/completions", `{"model":"gpt","prompt":"x"}`, "text_completion", "/v1/completions"},
		{"/completions", `{"model":"gpt","prompt":"x"}`, "text_completion", "/v1/completions"},
		{"/v1/embeddings", `{"model":"gpt","input":"x"}`, "list", "/v1/embeddings"},
		{"/embeddings", `{"model":"gpt","input":"x"}`, "list", "/v1/embeddings"},
		{"/openai/deployments/gpt/chat/completions?api-version=2024-06-01", `{"messages":[]}`, "chat.completion", "/v1/chat/completions"},
		{"/openai/deployments/gpt/embeddings?api-version=2024-06-01", `{"input":"x"}`, "list", "/v1/embeddings"},
	}
	for _, test := range tests {
		t.Run(test.path, func(t *testing.T) {
			got := g.post(test.path, test.body)
			var answer struct{ Object, Model string }
			if err := json.Unmarshal([]byte(got.Body), &answer); err != nil || got.Status != http.StatusOK {
				t.Fatalf("status %d: %s (%v)", got.Status, got.Body, err)
			}
			arrived := a.last(t)
			if answer.Object != test.object || answer.Model != "gpt-mini" || arrived.Target != test.target || arrived.Model != "gpt-mini" {
				t.Errorf("got %+v from %s for model %s, want %s from %s", answer, arrived.Target, arrived.Model, test.object, test.target)
			}
		})
	}
}

func TestTheModelOfAnAzurePathWinsOverTheBody(t *testing.T) {
	t.Parallel()
	a := provide(t, "a")
	g := run(t, yaml(`
model_list:
  - model_name: team/gpt
    litellm_params: {model: openai/from-path, api_base: $A/v1, api_key: k}
  - model_name: other
    litellm_params: {model: openai/from-body, api_base: $A/v1, api_key: k}
`, a))
	for _, path := range []string{"/openai/deployments/team%2Fgpt/chat/completions", "/openai/deployments/team/gpt/chat/completions"} {
		g.post(path+"?api-version=1", `{"model":"other","messages":[]}`).succeeds(t)
		if got := a.last(t).Body; got != `{"model":"from-path","messages":[]}` {
			t.Errorf("%s: the provider got %s", path, got)
		}
	}
}

func TestAnAzureDeploymentGetsItsPathVersionAndKey(t *testing.T) {
	t.Parallel()
	a := provide(t, "a")
	g := run(t, yaml(`
model_list:
  - model_name: gpt
    litellm_params: {model: azure/my-gpt, api_base: $A, api_key: azure-secret, api_version: "2024-06-01"}
`, a))
	g.chat("gpt", "").succeeds(t)
	got := a.last(t)
	if got.Target != "/openai/deployments/my-gpt/chat/completions?api-version=2024-06-01" {
		t.Errorf("asked for %s", got.Target)
	}
	if key := got.Header.Get("Api-Key"); key != "azure-secret" || got.Header.Get("Authorization") != "" {
		t.Errorf("api-key %q and authorization %q", key, got.Header.Get("Authorization"))
	}
}

func TestAnswersSayWhereTheyCameFrom(t *testing.T) {
	t.Parallel()
	a := provide(t, "a")
	g := run(t, yaml(oneDeployment+`
router_settings:
  model_group_alias: {nickname: gpt}
`, a))
	plan := "header=Set-Cookie:a=b;header=OpenAI-Organization:secret-org;header=X-RateLimit-Remaining-Requests:7;header=X-Custom:kept"
	got := g.chat("nickname", plan).succeeds(t).Header
	id := got.Get("X-Litellm-Call-Id")
	if id == "" {
		t.Error("no x-litellm-call-id")
	}
	want := map[string]string{
		"X-Litellm-Model-Id": "only", "X-Litellm-Model-Group": "gpt", "X-Litellm-Model-Api-Base": a.url + "/v1",
		"X-Litellm-Attempted-Retries": "0", "X-Litellm-Attempted-Fallbacks": "0", "X-Litellm-Call-Id": id,
		"Llm_provider-X-Ratelimit-Remaining-Requests": "7", "X-Custom": "kept",
		"Set-Cookie": "", "Openai-Organization": "", "X-Ratelimit-Remaining-Requests": "",
		"X-Nestor-Retry": "", "X-Nestor-Refusal": "", "X-Envoy-Upstream-Service-Time": "", "X-Envoy-Attempt-Count": "",
	}
	found := map[string]string{}
	for name := range want {
		found[name] = got.Get(name)
	}
	if diff := cmp.Diff(want, found); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestTokensAreCountedFromTheAnswer(t *testing.T) {
	t.Parallel()
	a := provide(t, "a")
	g := run(t, yaml(oneDeployment, a))
	// 10 bytes of JSON are 3 prompt tokens, each event is one completion token.
	prompt := `"messages":["0123456"]`
	plans := []string{`"user":"mock:events=5"`, `"user":"mock:events=6","stream":true`, `"user":"mock:events=7;charset=utf-8"`,
		`"user":"mock:events=8;crlf;spaced","stream":true`, `"user":"mock:events=9;usage=every","stream":true`,
		`"user":"mock:events=4;unended","stream":true,"stream_options":{"include_usage":true}`}
	for _, plan := range plans {
		got := g.post("/v1/chat/completions", `{"model":"gpt",`+prompt+`,`+plan+`}`)
		if got.Status != http.StatusOK || !strings.Contains(got.Body, mock.Content(1, 0)) {
			t.Fatalf("status %d: %s", got.Status, got.Body)
		}
	}
	g.settles("nestor_tokens_total", samples{
		`nestor_tokens_total{deployment="only",kind="prompt"}`:     6 * 3,
		`nestor_tokens_total{deployment="only",kind="completion"}`: 5 + 6 + 7 + 8 + 9 + 4,
		`nestor_tokens_total{deployment="only",kind="total"}`:      6*3 + 39,
	})
	g.settles("nestor_attempts_total", samples{`nestor_attempts_total{deployment="only",outcome="success",status="200"}`: 6})
}

func TestTokensOfEmbeddingsAreCountedWithoutReadingTheVectors(t *testing.T) {
	t.Parallel()
	a := provide(t, "a")
	g := run(t, yaml(oneDeployment, a))
	if got := g.post("/v1/embeddings", `{"model":"gpt","input":"0123456789","dimensions":3000}`); got.Status != http.StatusOK {
		t.Fatalf("status %d: %s", got.Status, got.Body)
	}
	g.settles("nestor_tokens_total", samples{
		`nestor_tokens_total{deployment="only",kind="prompt"}`: 3,
		`nestor_tokens_total{deployment="only",kind="total"}`:  3,
	})
}

func TestAnUpstreamCannotAskForRetriesNorPassEnvoysHeaders(t *testing.T) {
	t.Parallel()
	a := provide(t, "a")
	g := run(t, yaml(oneDeployment, a))
	plan := "header=x-nestor-retry:1;header=x-nestor-refusal:1;header=x-nestor-cluster:z;header=x-envoy-ratelimited:1;header=x-envoy-overloaded:1;charset=utf-8;events=5"
	got := g.chat("gpt", plan)
	if got.Status != http.StatusOK || a.total() != 1 {
		t.Errorf("status %d after %d calls, want 200 after 1", got.Status, a.total())
	}
	for _, name := range []string{"X-Nestor-Retry", "X-Nestor-Refusal", "X-Nestor-Cluster"} {
		if value := got.Header.Get(name); value != "" {
			t.Errorf("the client sees %s: %s", name, value)
		}
	}
	g.chat("gpt", plan+";status=400")
	if a.total() != 2 {
		t.Errorf("%d calls, want 2: a failure marked by the upstream was retried", a.total())
	}
	if !soon(secondsToSettle, func() bool { return g.metrics().sum("nestor_tokens_total", `kind="completion"`) == 5 }) {
		t.Errorf("not metered: %v", g.metrics().only("nestor_tokens_total"))
	}
}

func TestAnAnswerCompressedInSpiteOfAllIsUnpacked(t *testing.T) {
	t.Parallel()
	a := provide(t, "a")
	g := run(t, yaml(oneDeployment, a))
	got := g.chat("gpt", "gzip", "Accept-Encoding", "gzip").succeeds(t)
	if got.Header.Get("Content-Encoding") != "" {
		t.Errorf("headers %v", got.Header)
	}
	got = g.post("/v1/chat/completions", ask("gpt", "gzip", asStream), "Accept-Encoding", "gzip")
	if text, done := spoken(got.Body); text != mock.Content(0, 0) || !done || strings.Contains(got.Body, `"usage":{`) {
		t.Errorf("%q", got.Body)
	}
	if encoding := a.last(t).Header.Get("Accept-Encoding"); encoding != "identity" {
		t.Errorf("the provider was asked for %q, want identity", encoding)
	}
}
