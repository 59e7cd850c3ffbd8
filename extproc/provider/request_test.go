package provider

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nestor-gateway/nestor/extproc/openai"
	"github.com/nestor-gateway/nestor/routing"
	"github.com/nestor-gateway/nestor/routing/config"
)

func TestTheEnvironmentGivesWhatTheDeploymentLacks(t *testing.T) {
	table := New(environment(map[string]string{
		"GROQ_API_KEY": "from-env", "OPENAI_API_KEY": "openai-env", "AZURE_API_KEY": "azure-env", "AZURE_OPENAI_API_KEY": "",
		"AZURE_API_VERSION": "2024-10-21", "OLLAMA_API_BASE": "http://gpu:11434", "TOGETHERAI_API_KEY": "together-env",
	}))
	got := map[string]string{}
	for written, base := range map[string]string{
		"groq/m": "", "together_ai/m": "", "azure/dep": "https://a.openai.azure.com", "ollama/m": "", "openai/m": "https://api.openai.com/v1",
	} {
		got[written] = show(table, deploy(t, table, written, base, ""), openai.Chat)
	}
	want := map[string]string{
		"groq/m":        "chat: POST https://api.groq.com/openai/v1/chat/completions\n    authorization: Bearer from-env\n    model m, stream_options true\n",
		"together_ai/m": "chat: POST https://api.together.ai/v1/chat/completions\n    authorization: Bearer together-env\n    model m, stream_options true\n",
		"azure/dep":     "chat: POST https://a.openai.azure.com/openai/deployments/dep/chat/completions?api-version=2024-10-21\n    api-key: azure-env\n    model dep, stream_options true\n",
		"ollama/m":      "chat: POST http://gpu:11434/v1/chat/completions\n    model m, stream_options true\n",
		"openai/m":      "chat: POST https://api.openai.com/v1/chat/completions\n    authorization: Bearer openai-env\n    model m, stream_options true\n",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestNoOtherHostGetsTheKeyOfTheEnvironment(t *testing.T) {
	table := New(environment(map[string]string{"OPENAI_API_KEY": "openai-env"}))
	d := deploy(t, table, "openai/m", "http://127.0.0.1:8000/v1", "")
	want := "chat: POST http://127.0.0.1:8000/v1/chat/completions\n    model m, stream_options true\n"
	if diff := cmp.Diff(want, show(table, d, openai.Chat)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestMissingCredentialsAreNamed(t *testing.T) {
	table := New(environment(map[string]string{"OPENAI_API_KEY": "openai-env"}))
	got := map[string]string{}
	for _, c := range [][3]string{
		{"groq/m", "", ""}, {"groq/m2", "", "key"}, {"ollama/m", "", ""}, {"openai/m", "", ""},
		{"openai/vllm", "http://127.0.0.1:8000/v1", ""}, {"xai/m", "http://127.0.0.1:8000/v1", ""},
	} {
		got[c[0]] = table.Missing(deploy(t, table, c[0], c[1], c[2]))
	}
	want := map[string]string{
		"groq/m": "there is no api_key, and GROQ_API_KEY is not set", "groq/m2": "", "ollama/m": "", "openai/m": "", "xai/m": "",
		"openai/vllm": "there is no api_key, and the one in the environment is for openai, not sent to 127.0.0.1:8000: write api_key: os.environ/OPENAI_API_KEY if it shall be",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestHeadersOfTheDeploymentReplaceTheProviders(t *testing.T) {
	table := New(environment(nil))
	d := deploy(t, table, "openai/m", "", "key")
	d.Organization = "org-1"
	d.ExtraHeaders = []config.Header{{Name: "X-Team", Value: "first"}, {Name: "Authorization", Value: "Basic abc"}, {Name: "x-team", Value: "last"}}
	r, err := table.Request(d, openai.Chat, "m")
	if err != nil {
		t.Fatal(err)
	}
	want := []config.Header{{Name: "openai-organization", Value: "org-1"}, {Name: "authorization", Value: "Basic abc"}, {Name: "x-team", Value: "last"}}
	if diff := cmp.Diff(want, r.Headers); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestHeadersThatCannotBeSentAreFoundBeforeAnyRequest(t *testing.T) {
	table := New(environment(nil))
	for want, change := range map[string]func(*routing.Deployment){
		"the api_key has a line break or another control character at character 7 of 7: remove it":  func(d *routing.Deployment) { d.APIKey = "sk-abc\n" },
		"the value of the header x-a has a line break or another control character":                 func(d *routing.Deployment) { d.ExtraHeaders = []config.Header{{Name: "X-A", Value: "a\r\nb: c"}} },
		"the value of the header openai-organization has a line break or another control character": func(d *routing.Deployment) { d.Organization = "org\x00" },
		`"a b" can't be the name of a header`:                                                       func(d *routing.Deployment) { d.ExtraHeaders = []config.Header{{Name: "a b", Value: "c"}} },
		`":path" can't be the name of a header`:                                                     func(d *routing.Deployment) { d.ExtraHeaders = []config.Header{{Name: ":path", Value: "/"}} },
		"the header x-nestor-cluster can't be set by a deployment":                                  func(d *routing.Deployment) { d.ExtraHeaders = []config.Header{{Name: "X-Nestor-Cluster", Value: "c"}} },
		"the header host can't be set by a deployment":                                              func(d *routing.Deployment) { d.ExtraHeaders = []config.Header{{Name: "Host", Value: "c"}} },
	} {
		t.Run(want, func(t *testing.T) {
			d := deploy(t, table, "openai/m", "", "key")
			change(d)
			err := table.Check(d)
			if err == nil {
				t.Fatal("accepted")
			}
			if diff := cmp.Diff(want, err.Error()); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			_, err = table.Request(d, openai.Chat, "m")
			var refusal *openai.Error
			if !errors.As(err, &refusal) || refusal.Status != 503 {
				t.Errorf("Request gave %v", err)
			}
		})
	}
}

func TestModelsThatAreNoPathAreRefused(t *testing.T) {
	table := New(environment(nil))
	d := deploy(t, table, "azure/*", "https://a.openai.azure.com", "key")
	_, err := table.Request(d, openai.Chat, "..")
	if diff := cmp.Diff(openai.Invalid("model", `model ".." can't be a deployment of Azure`), err); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func BenchmarkRequest(b *testing.B) {
	table := New(environment(nil))
	for name, d := range map[string]*routing.Deployment{
		"openai": deploy(b, table, "openai/gpt-4o", "", "sk-0123456789012345678901234567890123456789"),
		"azure":  deploy(b, table, "azure/gpt-4o", "https://a.openai.azure.com", "0123456789012345678901234567890123456789"),
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := table.Request(d, openai.Chat, d.Model); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
