package routing_test

import "testing"

func TestTheRetryBudgetIsWhatTheFileSays(t *testing.T) {
	const model = "model_list: [{model_name: m, litellm_params: {model: openai/m, api_key: k}}]\n"
	for settings, want := range map[string][2]float64{
		"":                            {20, 10},
		"retry_budget: {percent: 50}": {50, 10},
		"retry_budget: {percent: 0, min_per_second: 0.5}": {0, 0.5},
	} {
		text := model
		if settings != "" {
			text += "router_settings: {" + settings + "}"
		}
		percent, perSecond := snapshot(t, text).RetryBudget()
		if got := [2]float64{percent, perSecond}; got != want {
			t.Errorf("%q: got %v, want %v", settings, got, want)
		}
	}
}
