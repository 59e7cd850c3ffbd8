package test

import (
	"strings"
	"testing"
)

// The file sdk/python/keys_sdk.py knows these models and prices.
const keyedSDK = `  - model_name: vectors
    litellm_params: {model: openai/vectors, api_base: $A/v1, api_key: sk-provider, input_cost_per_token: 0.001}
router_settings:`

func TestTheOpenAIPackageForPythonWithKeys(t *testing.T) {
	t.Parallel()
	for name, database := range backends() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			config := strings.Replace(keyed, "router_settings:", keyedSDK, 1)
			g := run(t, withDatabase(yaml(config, provide(t, "a")), database(t)))
			g.scriptAs(masterSecret, need(t, "python"), "sdk/python/keys_sdk.py", "--verbose")
		})
	}
}
