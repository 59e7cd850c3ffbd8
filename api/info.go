package api

import (
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/nestor-gateway/nestor/access"
	"github.com/nestor-gateway/nestor/api/reply"
	"github.com/nestor-gateway/nestor/routing"
)

// infoRow is one deployment under one name.
type infoRow struct {
	ModelName string          `json:"model_name"`
	Params    json.RawMessage `json:"litellm_params"`
	Info      json.RawMessage `json:"model_info"`
}

// modelInfo answers /model/info: every deployment that a model reaches, under the model's name.
// ?litellm_model_id=ID leaves the first row of that deployment.
func (s *server) modelInfo(w http.ResponseWriter, r *http.Request, who access.Principal) {
	models := s.visible(who)
	if id := r.URL.Query().Get("litellm_model_id"); id != "" {
		s.deploymentInfo(w, models, id)
		return
	}
	l := newList(w)
	details := map[*routing.Deployment]infoRow{}
	for _, m := range models {
		for _, d := range m.Deployments {
			row, ok := details[d]
			if !ok {
				row = describe(d)
				details[d] = row
			}
			row.ModelName = m.Name
			l.add(row)
		}
	}
	l.close("")
}

func (s *server) deploymentInfo(w http.ResponseWriter, models []routing.Model, id string) {
	for _, m := range models {
		for _, d := range m.Deployments {
			if d.ID == id {
				row := describe(d)
				row.ModelName = m.Name
				reply.JSON(w, http.StatusOK, reply.Object{"data": []infoRow{row}})
				return
			}
		}
	}
	reply.Refuse(w, reply.Problem{Status: http.StatusBadRequest, Type: reply.InvalidRequest, Param: "litellm_model_id",
		Message: fmt.Sprintf("no deployment has the id %.200s", id)})
}

func describe(d *routing.Deployment) infoRow {
	return infoRow{Params: encode(paramsOf(d)), Info: encode(infoOf(d))}
}

// encode marshals what paramsOf and infoOf make, which is all JSON to begin with.
func encode(v reply.Object) json.RawMessage {
	body, err := json.Marshal(v)
	if err != nil {
		return json.RawMessage("{}")
	}
	return body
}

// paramsOf gives the litellm_params of a deployment that nobody minds being read.
// Of the default request parameters only numbers and truth values: text may come from the environment.
func paramsOf(d *routing.Deployment) reply.Object {
	params := reply.Object{}
	for _, f := range d.Defaults {
		switch v := decode(f.JSON).(type) {
		case json.Number, bool:
			params[f.Name] = v
		}
	}
	params["model"] = d.Written
	params["api_base"] = withoutUser(d.Base.String())
	if d.APIVersion != "" {
		params["api_version"] = d.APIVersion
	}
	setLimit(params, "rpm", d.RPM)
	setLimit(params, "tpm", d.TPM)
	setLimit(params, "max_parallel_requests", d.MaxParallel)
	setSeconds(params, "timeout", d.Timeout)
	setSeconds(params, "stream_timeout", d.StreamTimeout)
	if d.CooldownTime != nil {
		params["cooldown_time"] = d.CooldownTime.Seconds()
	}
	return params
}

func setLimit(params reply.Object, name string, limit *int64) {
	if limit != nil {
		params[name] = *limit
	}
}

func setSeconds(params reply.Object, name string, d time.Duration) {
	if d > 0 {
		params[name] = d.Seconds()
	}
}

// infoOf gives the model_info of a deployment: what the file says, and null where LiteLLM
// would look in its own list of models.
func infoOf(d *routing.Deployment) reply.Object {
	info := reply.Object{
		"max_tokens": nil, "max_input_tokens": nil, "max_output_tokens": nil,
		"input_cost_per_token": nil, "output_cost_per_token": nil, "mode": nil,
		"supports_vision": nil, "supports_function_calling": nil, "supports_parallel_function_calling": nil,
		"supports_web_search": nil, "supports_url_context": nil, "supports_reasoning": nil,
		"litellm_provider": d.Provider,
	}
	for name, v := range written(d) {
		info[name] = v
	}
	info["id"], info["db_model"], info["key"] = d.ID, false, d.Written
	return info
}

// written is model_info as in the file, without what looks like a secret.
func written(d *routing.Deployment) map[string]any {
	info, _ := visible(decode(d.Info.All)).(map[string]any)
	return info
}
