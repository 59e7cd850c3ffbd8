package api

import (
	"encoding/json"
	"net/http"
	"slices"

	"github.com/nestor-gateway/nestor/access"
	"github.com/nestor-gateway/nestor/routing"
)

// groupRow is a model as /model_group/info describes it: the most that any of its deployments offers.
// Costs are in US dollars; null is unknown. The fields are those of LiteLLM's ModelGroupInfo.
type groupRow struct {
	ModelGroup string   `json:"model_group"`
	Providers  []string `json:"providers"`

	MaxInputTokens     *float64 `json:"max_input_tokens"`
	MaxOutputTokens    *float64 `json:"max_output_tokens"`
	InputCostPerToken  *float64 `json:"input_cost_per_token"`
	OutputCostPerToken *float64 `json:"output_cost_per_token"`

	Mode *string `json:"mode"`
	// TPM and RPM are the group's own limits, else the sums over the deployments that declare them.
	TPM *int64 `json:"tpm"`
	RPM *int64 `json:"rpm"`

	SupportsParallelFunctionCalling bool `json:"supports_parallel_function_calling"`
	SupportsVision                  bool `json:"supports_vision"`
	SupportsWebSearch               bool `json:"supports_web_search"`
	SupportsURLContext              bool `json:"supports_url_context"`
	SupportsReasoning               bool `json:"supports_reasoning"`
	SupportsFunctionCalling         bool `json:"supports_function_calling"`

	SupportedOpenAIParams []string `json:"supported_openai_params"`
}

// groupInfo answers /model_group/info; ?model_group=NAME leaves that one.
func (s *server) groupInfo(w http.ResponseWriter, r *http.Request, who access.Principal) {
	only := r.URL.Query().Get("model_group")
	seen := map[*routing.Deployment]map[string]any{}
	l := newList(w)
	for _, m := range s.visible(who) {
		if only == "" || only == m.Name {
			l.add(newGroupRow(m, seen))
		}
	}
	l.close("")
}

func newGroupRow(m routing.Model, seen map[*routing.Deployment]map[string]any) *groupRow {
	row := &groupRow{ModelGroup: m.Name, Providers: []string{}, TPM: m.TPM, RPM: m.RPM}
	for _, d := range m.Deployments {
		info, ok := seen[d]
		if !ok {
			info = written(d)
			seen[d] = info
		}
		row.add(d, info)
	}
	return row
}

func (g *groupRow) add(d *routing.Deployment, info map[string]any) {
	if d.Provider != "" && !slices.Contains(g.Providers, d.Provider) {
		g.Providers = append(g.Providers, d.Provider)
	}
	if mode, ok := info["mode"].(string); ok && g.Mode == nil {
		g.Mode = &mode
	}
	for name, value := range map[string]**float64{
		"max_input_tokens":      &g.MaxInputTokens,
		"max_output_tokens":     &g.MaxOutputTokens,
		"input_cost_per_token":  &g.InputCostPerToken,
		"output_cost_per_token": &g.OutputCostPerToken,
	} {
		*value = most(*value, info[name])
	}
	for name, flag := range map[string]*bool{
		"supports_parallel_function_calling": &g.SupportsParallelFunctionCalling,
		"supports_vision":                    &g.SupportsVision,
		"supports_web_search":                &g.SupportsWebSearch,
		"supports_url_context":               &g.SupportsURLContext,
		"supports_reasoning":                 &g.SupportsReasoning,
		"supports_function_calling":          &g.SupportsFunctionCalling,
	} {
		*flag = *flag || info[name] == true
	}
}

func most(so *float64, v any) *float64 {
	number, ok := v.(json.Number)
	if !ok {
		return so
	}
	f, err := number.Float64()
	if err != nil || so != nil && *so >= f {
		return so
	}
	return &f
}
