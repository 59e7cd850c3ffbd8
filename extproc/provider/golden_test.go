package provider

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nestor-gateway/nestor/extproc/openai"
	"github.com/nestor-gateway/nestor/routing"
	"github.com/nestor-gateway/nestor/routing/config"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// environment is a look-up of variables in a map.
func environment(variables map[string]string) func(string) (string, bool) {
	return func(name string) (string, bool) {
		value, ok := variables[name]
		return value, ok
	}
}

// deploy makes a deployment as the compiler does.
func deploy(t testing.TB, table *Table, written, apiBase, key string) *routing.Deployment {
	t.Helper()
	provider, model, err := table.Split(written, "")
	if err != nil {
		t.Fatal(err)
	}
	base, err := table.Base(provider, apiBase)
	if err != nil {
		t.Fatal(err)
	}
	return &routing.Deployment{Provider: provider, Model: model, Written: written, Base: base, APIKey: config.Secret(key)}
}

// show writes what the upstream would get.
func show(table *Table, d *routing.Deployment, e openai.Endpoint) string {
	r, err := table.Request(d, e, d.Model)
	if err != nil {
		return fmt.Sprintf("%s: %v\n", e, err)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s: POST %s://%s%s\n", e, d.Base.Scheme, r.Host, r.Path)
	for _, h := range r.Headers {
		fmt.Fprintf(&b, "    %s: %s\n", h.Name, h.Value)
	}
	fmt.Fprintf(&b, "    model %s, stream_options %v\n", r.Model, r.StreamOptions)
	return b.String()
}

func TestEveryProviderGetsItsOwnRequest(t *testing.T) {
	table := New(environment(nil))
	bases := map[string]string{
		"azure": "https://east.openai.azure.com/", "azure_ai": "https://hub.services.ai.azure.com",
		"hosted_vllm": "http://vllm:8000/v1", "custom_openai": "https://api.example.com/v1/", "litellm_proxy": "http://litellm:4000",
	}
	var got strings.Builder
	for _, name := range table.names {
		d := deploy(t, table, name+"/maker/model", bases[name], "TEST-KEY")
		fmt.Fprintf(&got, "== %s\n", name)
		for _, e := range []openai.Endpoint{openai.Chat, openai.Completions, openai.Embeddings} {
			got.WriteString(show(table, d, e))
		}
	}
	compareGolden(t, "providers.golden", got.String())
}

func TestAddressesAreReadAsLiteLLMReadsThem(t *testing.T) {
	table := New(environment(nil))
	var got strings.Builder
	for _, c := range [][3]string{
		{"openai/m", "http://127.0.0.1:8000", ""},
		{"openai/m", "http://127.0.0.1:8000/v1/", ""},
		{"openai/m", "https://HOST.example/v1/chat/completions", ""},
		{"openai/m", "http://[::1]:8000/v1", ""},
		{"mistral/m", "https://api.mistral.ai", ""},
		{"mistral/m", "https://api.mistral.ai/v1/", ""},
		{"anthropic/m", "https://api.anthropic.com", ""},
		{"anthropic/m", "https://api.anthropic.com/v1/messages", ""},
		{"gemini/m", "https://generativelanguage.googleapis.com/v1beta", ""},
		{"ollama/m", "http://gpu:11434", ""},
		{"ollama_chat/m", "http://gpu:11434/api/chat", ""},
		{"ollama/m", "http://gpu:11434/v1", ""},
		{"lm_studio/m", "http://gpu:1234/v1", ""},
		{"hosted_vllm/m", "http://gpu:8000", ""},
		{"azure/dep", "https://a.openai.azure.com", ""},
		{"azure/dep", "https://a.openai.azure.com/openai", "2024-06-01"},
		{"azure/dep", "https://a.openai.azure.com/openai/deployments/other", "2024-10-21"},
		{"azure/dep", "https://gateway.example/azure/", "2024-10-21"},
		{"azure/dep", "https://a.openai.azure.com/openai/v1/", ""},
		{"azure/dep", "https://a.openai.azure.com", "v1"},
		{"azure/dep", "https://a.openai.azure.com", "preview"},
		{"azure/a b/c?d", "https://a.openai.azure.com", ""},
		{"azure_ai/m", "https://hub.services.ai.azure.com/models", "2024-05-01-preview"},
		{"azure_ai/m", "https://m.eastus.models.ai.azure.com", ""},
		{"openrouter/auto", "", ""},
		{"openrouter/openrouter/auto", "", ""},
		{"openrouter/anthropic/claude", "", ""},
		{"fireworks_ai/accounts/me/models/m", "", ""},
		{"gpt-4o", "", ""},
	} {
		d := deploy(t, table, c[0], c[1], "TEST-KEY")
		d.APIVersion = c[2]
		fmt.Fprintf(&got, "== %s %s %s\n%s", c[0], c[1], c[2], show(table, d, openai.Chat))
	}
	compareGolden(t, "addresses.golden", got.String())
}

func compareGolden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s differs, -want +got; -update rewrites it:\n%s", file, diff)
	}
}
