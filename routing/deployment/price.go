package deployment

import "encoding/json"

// unpriced is the USD for a token where nobody says what it costs. LiteLLM's.
const unpriced = 5.0

// Price is the USD for a token in and one out: by litellm_params, else by model_info.
func (d *Deployment) Price() float64 {
	var info struct {
		Input  *float64 `json:"input_cost_per_token"`
		Output *float64 `json:"output_cost_per_token"`
	}
	if (d.InputCost == nil || d.OutputCost == nil) && d.Info.All != nil {
		// What is no number is no price: model_info may hold anything.
		_ = json.Unmarshal(d.Info.All, &info)
	}
	return priced(d.InputCost, info.Input) + priced(d.OutputCost, info.Output)
}

func priced(choices ...*float64) float64 {
	for _, c := range choices {
		if c != nil && *c >= 0 {
			return *c
		}
	}
	return unpriced
}
