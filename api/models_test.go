package api_test

import (
	"net/http"
	"testing"
)

// seed003 is the config of the third seed, with a hidden alias.
const seed003 = `
general_settings: {master_key: sk-master}
router_settings:
  model_group_alias: {"alias-1": "model-group-1", "secret-alias": {model: model-group-1, hidden: true}}
model_list:
  - model_name: model-group-1
    litellm_params:
      model: azure/gpt-1
      api_base: https://xyz1.openai.azure.com/
      api_key: sk-provider
    model_info: {id: first}
  - model_name: model-group-1
    litellm_params:
      model: azure/gpt-2
      api_base: https://xyz2.openai.azure.com/
      api_key: sk-provider
    model_info: {id: second}
`

// nested is a group of groups, with wildcards beside it.
const nested = `
model_list:
  - model_name: fast
    litellm_params: {model: fast/GPT-OSS-120b}
  - model_name: fast
    litellm_params: {model: fast/glm-4.7}
  - model_name: fast/GPT-OSS-120b
    litellm_params: {model: groq/openai/gpt-oss-120b, rpm: 30, order: 2, api_key: sk-a}
    model_info: {id: groq, max_input_tokens: 1000, input_cost_per_token: 0.5, supports_vision: true}
  - model_name: fast/GPT-OSS-120b
    litellm_params: {model: cerebras/gpt-oss-120b, rpm: 5, order: 1, api_key: sk-b}
    model_info: {id: cer, mode: chat, max_input_tokens: 2000, input_cost_per_token: 0.25}
  - model_name: fast/glm-4.7
    litellm_params: {model: cerebras/zai-glm-4.7, rpm: 5, tpm: 100, api_key: sk-b}
    model_info: {id: glm}
  - model_name: own/*
    litellm_params: {model: openai/*, api_key: sk-c}
    model_info: {id: wild}
router_settings:
  model_group_alias: {quick: fast, "hidden": {model: own/gpt, hidden: true}}
`

func TestModelsListsGroupsAndAliasesButNoHiddenOnes(t *testing.T) {
	for _, path := range []string{"/v1/models", "/models"} {
		mustEqual(t, reply{200, modelRows("model-group-1", "alias-1")}, get(t, port(t, seed003), path))
	}
}

func TestModelsLeavesWildcardsOutUnlessAsked(t *testing.T) {
	h := port(t, nested)
	mustEqual(t, reply{200, modelRows("fast", "fast/GPT-OSS-120b", "fast/glm-4.7", "quick")}, get(t, h, "/v1/models"))
	mustEqual(t, reply{200, modelRows("fast", "fast/GPT-OSS-120b", "fast/glm-4.7", "own/*", "quick")},
		get(t, h, "/v1/models?return_wildcard_routes=true"))
}

func TestOneModelIsFoundBySlashesPlainOrEncoded(t *testing.T) {
	h := port(t, nested)
	for path, name := range map[string]string{
		"/v1/models/fast":                  "fast",
		"/models/quick":                    "quick",
		"/v1/models/fast/glm-4.7":          "fast/glm-4.7",
		"/v1/models/fast%2Fglm-4.7":        "fast/glm-4.7",
		"/v1/models/fast%2fglm-4.7":        "fast/glm-4.7",
		"/models/fast%2FGPT-OSS-120b":      "fast/GPT-OSS-120b",
		"/v1/models/own/what%20ever//../x": "own/what ever//../x",
		"/v1/models/own%2Fgpt":             "own/gpt",
	} {
		want := reply{200, map[string]any{"id": name, "object": "model", "created": 1677610602.0, "owned_by": "openai"}}
		mustEqual(t, want, get(t, h, path))
	}
}

func TestUnknownAndHiddenModelsAreNotFound(t *testing.T) {
	h := port(t, nested)
	for path, name := range map[string]string{
		"/v1/models/nope":             "nope",
		"/v1/models/hidden":           "hidden",
		"/v1/models/":                 "",
		"/v1/models/fast/":            "fast/",
		"/v1/models/fast%252Fglm-4.7": "fast%2Fglm-4.7",
		"/v1/models/groq":             "groq",
	} {
		want := failure(404, `there is no model "`+name+`"; GET /v1/models lists those there are`,
			"invalid_request_error", "model", "model_not_found")
		mustEqual(t, want, get(t, h, path))
	}
}

func TestHeadAnswersLikeGetWithoutABody(t *testing.T) {
	server := serve(t, port(t, nested))
	for _, path := range []string{"/v1/models", "/v1/models/fast", "/health/readiness"} {
		r, err := http.NewRequest(http.MethodHead, server+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("x-api-key", masterKey)
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		mustEqual(t, "200 application/json", resp.Status[:3]+" "+resp.Header.Get("Content-Type"))
	}
}
