package test

import (
	"flag"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// hostile are headers of a client: those that may pass, those that must not, and those that Nestor
// or Envoy would trust.
func hostile() []string {
	return []string{
		"Authorization", "Bearer sk-master", "Api-Key", "sk-master", "X-Api-Key", "sk-master", "Cookie", "session=1",
		"Proxy-Authorization", "Basic x", "Forwarded", "for=1.2.3.4", "X-Forwarded-For", "1.2.3.4", "X-Forwarded-Proto", "https",
		"X-Forwarded-Host", "evil", "X-Forwarded-Client-Cert", "By=x", "X-Real-Ip", "1.2.3.4", "X-Request-Id", "client-id",
		"Via", "1.1 proxy", "Origin", "http://evil", "Referer", "http://evil/", "X-Custom", "1",
		"X-Nestor-Cluster", "evil", "X-Nestor-Request", "evil", "X-Nestor-Retry", "1", "X-Nestor-Idle", "1", "X-Nestor-Probe", "1",
		"X-Envoy-Attempt-Count", "9", "X-Envoy-Max-Retries", "9", "X-Envoy-Retry-On", "5xx", "X-Envoy-Original-Path", "/evil",
		"X-Envoy-Upstream-Rq-Timeout-Ms", "1", "X-Envoy-Decorator-Operation", "evil", "X-Envoy-Force-Trace", "1",
		"X-Litellm-Timeout", "30", "X-Litellm-Num-Retries", "0", "X-Litellm-Tags", "a", "X-Mock", "status=500",
		"OpenAI-Organization", "client-org", "OpenAI-Project", "client-project", "Accept-Encoding", "gzip, br",
		"Accept", "application/json", "User-Agent", "OpenAI/Python 1.0", "X-Stainless-Lang", "python", "X-Stainless-Retry-Count", "0",
		"OpenAI-Beta", "assistants=v2", "Idempotency-Key", "idem-1", "Tracestate", "vendor=1",
		"Traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
	}
}

func TestAProviderReceivesTheHeadersOfTheGoldenList(t *testing.T) {
	t.Parallel()
	a := provide(t, "a")
	g := run(t, yaml(`
model_list:
  - model_name: gpt
    litellm_params:
      model: openai/gpt-mini
      api_base: $A/v1
      api_key: sk-provider
      organization: provider-org
      extra_headers: {X-Team: blue}
  - model_name: azure
    litellm_params: {model: azure/gpt-mini, api_base: $A, api_key: sk-azure, api_version: "1"}
general_settings:
  master_key: sk-master
`, a))
	var lines []string
	for _, model := range []string{"gpt", "azure"} {
		g.chat(model, "", hostile()...).succeeds(t)
		got := a.last(t)
		lines = append(lines, "# "+model)
		for _, name := range slices.Sorted(maps.Keys(got.Header)) {
			for _, value := range got.Header[name] {
				lines = append(lines, strings.ToLower(name)+": "+value)
			}
		}
		if want := strings.TrimPrefix(a.url, "http://"); got.Host != want {
			t.Errorf("%s: host %q, want %q", model, got.Host, want)
		}
	}
	golden(t, "provider_headers.txt", strings.Join(lines, "\n")+"\n")
}

func TestNoCredentialReachesAnybodyElse(t *testing.T) {
	t.Parallel()
	a, b := provide(t, "a"), provide(t, "b")
	g := run(t, yaml(`
model_list:
  - model_name: pair
    litellm_params: {model: azure/first, api_base: $A, api_key: sk-first, api_version: "1", order: 1, extra_headers: {X-First: sk-first}}
  - model_name: pair
    litellm_params: {model: openai/second, api_base: $B/v1, api_key: sk-second, order: 2}
general_settings:
  master_key: sk-master
`, a, b))
	got := g.chat("pair", "status=500;for=a", "Authorization", "Bearer sk-master").succeeds(t)
	if a.total() != 1 || b.total() != 1 {
		t.Fatalf("%d and %d calls, want one each", a.total(), b.total())
	}
	holds(t, "the first provider", a.last(t).Header, map[string]bool{"sk-first": true, "sk-second": false, "sk-master": false})
	holds(t, "the second provider", b.last(t).Header, map[string]bool{"sk-first": false, "sk-second": true, "sk-master": false})
	holds(t, "the client", got.Header, map[string]bool{"sk-first": false, "sk-second": false, "sk-master": false})
}

// holds checks which words are in the values of headers.
func holds(t *testing.T, who string, headers map[string][]string, want map[string]bool) {
	t.Helper()
	got := map[string]bool{}
	for word := range want {
		got[word] = false
		for _, values := range headers {
			got[word] = got[word] || strings.Contains(strings.Join(values, "\n"), word)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("headers of %s (-want +got):\n%s", who, diff)
	}
}

// golden compares with a file of testdata, or rewrites it with -update.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if flag.Lookup("update").Value.String() == "true" {
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(readFile(t, path), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", path, diff)
	}
}
