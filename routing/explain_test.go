package routing_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestExplanationAsJSON(t *testing.T) {
	yaml := strings.NewReplacer("order: 2}", "order: 2}\n    model_info: {id: one}", "order: 1}", "order: 1}\n    model_info: {id: two}",
		"glm-4.7, rpm: 5}", "glm-4.7, rpm: 5}\n    model_info: {id: three}").Replace(worked)
	e, err := snapshot(t, yaml).Explain("fast", nil)
	if err != nil {
		t.Fatal(err)
	}
	got, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"model":"fast","group":"fast","deployments":[` +
		`{"id":"one","model":"groq/openai/gpt-oss-120b","api_base":"https://api.groq.example/v1","probability":0,"paths":[["fast","A"]]},` +
		`{"id":"two","model":"cerebras/gpt-oss-120b","api_base":"https://api.cerebras.example/v1","probability":0.5,"paths":[["fast","A"]]},` +
		`{"id":"three","model":"cerebras/zai-glm-4.7","api_base":"https://api.cerebras.example/v1","probability":0.5,"paths":[["fast","B"]]}]}`
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Error(diff)
	}
}

func TestLeftOutByIDAndByModel(t *testing.T) {
	s := snapshot(t, trio)
	if diff := cmp.Diff(map[string]float64{"a": 0, "b": 0, "c": 1}, byID(t, s, "g", "a", "openai/b")); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(map[string]float64{"a": 0}, byID(t, s, "a", "a")); diff != "" {
		t.Errorf("called by its id: %s", diff)
	}
}

func TestSecretsAreNotInIDs(t *testing.T) {
	one := snapshot(t, "model_list: [{model_name: g, litellm_params: {model: openai/x, api_key: sk-very-secret}}]")
	other := snapshot(t, "model_list: [{model_name: g, litellm_params: {model: openai/x, api_key: sk-other}}]")
	a, b := one.Deployments()[0].ID, other.Deployments()[0].ID
	if a == b || strings.Contains(a, "secret") {
		t.Errorf("ids %q and %q", a, b)
	}
	if again := snapshot(t, "model_list: [{model_name: h, litellm_params: {model: openai/x, api_key: sk-very-secret, rpm: 3}}]"); again.Deployments()[0].ID != a {
		t.Error("the id depends on the group or a limit")
	}
}
