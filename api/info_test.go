package api_test

import (
	"strings"
	"testing"
)

func TestModelInfoHasTheShapeOfTheSeed(t *testing.T) {
	row := func(name, model, base, id string) any {
		return map[string]any{
			"model_name":     name,
			"litellm_params": map[string]any{"model": model, "api_base": base},
			"model_info": map[string]any{
				"id": id, "db_model": false, "key": model, "litellm_provider": "azure", "mode": nil,
				"max_tokens": nil, "max_input_tokens": nil, "max_output_tokens": nil,
				"input_cost_per_token": nil, "output_cost_per_token": nil,
				"supports_vision": nil, "supports_function_calling": nil, "supports_parallel_function_calling": nil,
				"supports_web_search": nil, "supports_url_context": nil, "supports_reasoning": nil,
			},
		}
	}
	const base1, base2 = "https://xyz1.openai.azure.com/", "https://xyz2.openai.azure.com/"
	want := reply{200, map[string]any{"data": []any{
		row("model-group-1", "azure/gpt-1", base1, "first"),
		row("model-group-1", "azure/gpt-2", base2, "second"),
		row("alias-1", "azure/gpt-1", base1, "first"),
		row("alias-1", "azure/gpt-2", base2, "second"),
	}}}
	h := port(t, seed003)
	mustEqual(t, want, get(t, h, "/model/info"))
	mustEqual(t, want, get(t, h, "/v1/model/info"))
}

func TestComposedGroupsListEveryDeploymentTheyReach(t *testing.T) {
	got := column(t, get(t, port(t, nested), "/model/info"), "model_name", "model_info.id")
	mustEqual(t, []string{
		"fast groq", "fast cer", "fast glm",
		"fast/GPT-OSS-120b groq", "fast/GPT-OSS-120b cer",
		"fast/glm-4.7 glm",
		"own/* wild",
		"quick groq", "quick cer", "quick glm",
	}, got)
}

func TestModelInfoOfOneDeployment(t *testing.T) {
	h := port(t, nested)
	mustEqual(t, []string{"fast glm 5 100"},
		column(t, get(t, h, "/model/info?litellm_model_id=glm"), "model_name", "model_info.id", "litellm_params.rpm", "litellm_params.tpm"))
	mustEqual(t, failure(400, "no deployment has the id nix", "invalid_request_error", "litellm_model_id", nil),
		get(t, h, "/model/info?litellm_model_id=nix"))
}

func TestModelInfoGivesWhatTheConfigSays(t *testing.T) {
	h := port(t, `
model_list:
  - model_name: m
    litellm_params: {model: openai/x, api_base: "http://127.0.0.1:9/v1", api_key: sk-a, timeout: 1.5, temperature: 0.25, api_version: v9, max_parallel_requests: 3}
    model_info: {id: x, mode: embedding, max_tokens: 7, input_cost_per_token: 1.5e-06, output_cost_per_token: 12345678901234567, team: {name: red}}
`)
	mustEqual(t, []string{"x openai/x http://127.0.0.1:9/v1 v9 3 1.5 0.25 embedding 7 1.5e-06 red"}, column(t, get(t, h, "/model/info"),
		"model_info.id", "litellm_params.model", "litellm_params.api_base", "litellm_params.api_version",
		"litellm_params.max_parallel_requests", "litellm_params.timeout", "litellm_params.temperature",
		"model_info.mode", "model_info.max_tokens", "model_info.input_cost_per_token", "model_info.team.name"))
}

func TestNoAnswerHoldsASecret(t *testing.T) {
	h := port(t, `
model_list:
  - model_name: m
    litellm_params:
      model: openai/x
      api_base: https://SECRET:SECRET@host.example/v1
      api_key: SECRET
      extra_headers: {x-token: SECRET}
      user: SECRET
      metadata: {a: SECRET}
    model_info:
      id: x
      api_key: SECRET
      Client-Secret: SECRET
      nested: [{password: SECRET, home: "https://SECRET@host.example/"}]
`)
	for _, path := range []string{"/v1/models", "/model/info", "/model/info?litellm_model_id=x", "/model_group/info"} {
		body := ask(h, "GET", path).Body.String()
		if strings.Contains(body, "SECRET") {
			t.Errorf("%s: %s", path, body)
		}
	}
}

func TestModelGroupInfoSumsUpEveryModel(t *testing.T) {
	row := func(name string, more map[string]any) any {
		group := map[string]any{
			"model_group": name, "providers": []any{}, "max_input_tokens": nil, "max_output_tokens": nil,
			"input_cost_per_token": nil, "output_cost_per_token": nil, "mode": nil, "tpm": nil, "rpm": nil,
			"supports_parallel_function_calling": false, "supports_vision": false, "supports_web_search": false,
			"supports_url_context": false, "supports_reasoning": false, "supports_function_calling": false,
			"supported_openai_params": nil,
		}
		for k, v := range more {
			group[k] = v
		}
		return group
	}
	both := map[string]any{
		"providers": []any{"groq", "cerebras"}, "max_input_tokens": 2000.0, "input_cost_per_token": 0.5,
		"mode": "chat", "supports_vision": true, "rpm": 35.0,
	}
	all := map[string]any{"rpm": 40.0, "tpm": 100.0}
	for k, v := range both {
		if all[k] == nil {
			all[k] = v
		}
	}
	h := port(t, nested)
	mustEqual(t, reply{200, map[string]any{"data": []any{
		row("fast", all),
		row("fast/GPT-OSS-120b", both),
		row("fast/glm-4.7", map[string]any{"providers": []any{"cerebras"}, "rpm": 5.0, "tpm": 100.0}),
		row("own/*", map[string]any{"providers": []any{"openai"}}),
		row("quick", all),
	}}}, get(t, h, "/model_group/info"))
	mustEqual(t, []string{"quick"}, column(t, get(t, h, "/model_group/info?model_group=quick"), "model_group"))
	mustEqual(t, []string{}, column(t, get(t, h, "/model_group/info?model_group=nix"), "model_group"))
}

func TestModelGroupInfoNamesNoProviderWhereItIsUnknown(t *testing.T) {
	h := port(t, `{model_list: [{model_name: m, litellm_params: {model: "<your-model>"}}]}`)
	if body := ask(h, "GET", "/model_group/info").Body.String(); !strings.Contains(body, `"providers":[]`) {
		t.Error(body)
	}
}
