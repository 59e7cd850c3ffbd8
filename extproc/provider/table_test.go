package provider

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nestor-gateway/nestor/extproc/openai"
	"github.com/nestor-gateway/nestor/routing"
)

func TestSplitFindsTheProvider(t *testing.T) {
	table := New(environment(nil))
	type found struct{ Provider, Model, Error string }
	known := "it knows " + strings.Join(table.names, ", ") + "; any other address that speaks OpenAI's API is openai/MODEL with api_base"
	for _, c := range []struct {
		written, custom string
		want            found
	}{
		{"groq/openai/gpt-oss-120b", "", found{Provider: "groq", Model: "openai/gpt-oss-120b"}},
		{"openai/gpt-4o", "", found{Provider: "openai", Model: "gpt-4o"}},
		{"ollama_chat/llama3:8b", "", found{Provider: "ollama", Model: "llama3:8b"}},
		{"text-completion-openai/davinci-002", "", found{Provider: "openai", Model: "davinci-002"}},
		{"azure/*", "", found{Provider: "azure", Model: "*"}},
		{"*", "", found{Provider: "openai", Model: "*"}},
		{"gpt-4o", "", found{Provider: "openai", Model: "gpt-4o"}},
		{"o3-mini", "", found{Provider: "openai", Model: "o3-mini"}},
		{"text-embedding-3-small", "", found{Provider: "openai", Model: "text-embedding-3-small"}},
		{"ft:gpt-4o:me::1", "", found{Provider: "openai", Model: "ft:gpt-4o:me::1"}},
		{"claude-sonnet-4-5", "", found{Provider: "anthropic", Model: "claude-sonnet-4-5"}},
		{"gemini-2.5-flash", "", found{Provider: "gemini", Model: "gemini-2.5-flash"}},
		{"llama", "hosted_vllm", found{Provider: "hosted_vllm", Model: "llama"}},
		{"hosted_vllm/llama", "hosted_vllm", found{Provider: "hosted_vllm", Model: "llama"}},
		{"groq/llama", "openai", found{Provider: "openai", Model: "groq/llama"}},
		{"auto", "openrouter", found{Provider: "openrouter", Model: "openrouter/auto"}},
		{"openai/", "", found{Error: `model "openai/" names a provider and no model: write it as openai/MODEL`}},
		{"llama", "bedrock", found{Error: `custom_llm_provider is "bedrock", which is no provider that Nestor knows: ` + known}},
		{"bedrock/claude", "", found{Error: `the prefix of model "bedrock/claude" is "bedrock", which is no provider that Nestor knows: ` + known}},
		{"llama", "", found{Error: `model "llama" does not say its provider: write it as PROVIDER/llama; ` + known}},
	} {
		t.Run(c.written+" "+c.custom, func(t *testing.T) {
			var got found
			var err error
			got.Provider, got.Model, err = table.Split(c.written, c.custom)
			if err != nil {
				got.Error = err.Error()
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestPrefixesAreProvidersAndTheirOtherNames(t *testing.T) {
	table := New(environment(nil))
	got := map[string]bool{}
	for _, word := range []string{"openai", "azure", "ollama_chat", "openai_like", "litellm_proxy", "fast", "bedrock", ""} {
		got[word] = table.IsPrefix(word)
	}
	want := map[string]bool{"openai": true, "azure": true, "ollama_chat": true, "openai_like": true, "litellm_proxy": true, "fast": false, "bedrock": false, "": false}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestUnusableAddressesAreRefused(t *testing.T) {
	table := New(environment(map[string]string{"HOSTED_VLLM_API_BASE": "vllm:8000"}))
	for _, c := range []struct{ provider, base, want string }{
		{"azure", "", "azure needs api_base, the address of its API, or AZURE_API_BASE in the environment"},
		{"custom_openai", "", "custom_openai needs api_base, the address of its API, for example http://127.0.0.1:8000/v1"},
		{"hosted_vllm", "", "HOSTED_VLLM_API_BASE: must begin with http:// or https://"},
		{"openai", "localhost:8000/v1", "api_base: must begin with http:// or https://"},
		{"openai", "ftp://host/v1", "api_base: must begin with http:// or https://"},
		{"openai", "http:///v1", "api_base: has no host"},
		{"openai", "https://<your-azure-endpoint>", "api_base: the host has characters that no host may have"},
		{"openai", "<your-azure-endpoint>", "api_base: must begin with http:// or https://"},
		{"openai", "https://me:secret@host/v1", "api_base: has a user name or password: put the credential in api_key"},
		{"openai", "https://me:se cret@host/v1", "api_base: not a valid URL"},
		{"openai", "https://host/v1?api-version=1", "api_base: ends in a query or fragment: leave it out; an api-version goes in api_version"},
		{"openai", "https://host/v1#x", "api_base: ends in a query or fragment: leave it out; an api-version goes in api_version"},
		{"openai", "https://host:0/v1", "api_base: the port must be a number from 1 to 65535"},
		{"openai", "https://host:70000/v1", "api_base: the port must be a number from 1 to 65535"},
		{"openai", "https://host:/v1", "api_base: the port must be a number from 1 to 65535"},
		{"openai", "https://user:secret/v1", "api_base: the port must be a number from 1 to 65535"},
		{"openai", "https://host\r\nx-evil: 1/v1", "api_base: not a valid URL: net/url: invalid control character in URL"},
		{"openai", "https://hö.st/v1", "api_base: the host has characters that no host may have"},
	} {
		t.Run(c.provider+" "+c.base, func(t *testing.T) {
			u, err := table.Base(c.provider, c.base)
			if err == nil {
				t.Fatalf("accepted as %s", u)
			}
			if diff := cmp.Diff(c.want, err.Error()); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestTheTableIsWhatTheCompilerNeeds(t *testing.T) {
	var _ routing.Providers = New(environment(nil))
}

func TestWhichEndpointsAProviderLacks(t *testing.T) {
	table := New(environment(nil))
	got := map[string]uint8{}
	for _, name := range []string{"openai", "groq", "gemini", "cerebras", "ollama_chat"} {
		got[name] = table.Lacks(name)
	}
	want := map[string]uint8{
		"openai": 0, "groq": 1<<openai.Completions | 1<<openai.Embeddings, "gemini": 1 << openai.Completions,
		"cerebras": 1 << openai.Embeddings, "ollama_chat": 0,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
