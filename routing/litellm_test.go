package routing_test

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/nestor-gateway/nestor/routing"
)

// litellmPython names an interpreter that can import litellm.
const litellmPython = "NESTOR_LITELLM_PYTHON"

// flatCases are groups that mean the same to LiteLLM, by name: the litellm_params of their members.
func flatCases() map[string][]map[string]any {
	return map[string][]map[string]any{
		"uniform":                  {{}, {}, {}},
		"rpm":                      {{"rpm": 30}, {"rpm": 5}, {"rpm": 5}},
		"tpm":                      {{"tpm": 1000}, {"tpm": 250}},
		"weight":                   {{"weight": 2}, {"weight": 1}, {"weight": 0.5}},
		"weight over rpm":          {{"weight": 1, "rpm": 900}, {"weight": 3, "rpm": 1}},
		"rpm over tpm":             {{"rpm": 1, "tpm": 900}, {"rpm": 3, "tpm": 1}},
		"order":                    {{"order": 2}, {"order": 1}, {"order": 1}, {}},
		"rpm inside the order":     {{"order": 2, "rpm": 90}, {"order": 1, "rpm": 10}, {"order": 1, "rpm": 30}},
		"weight 0 beside others":   {{"weight": 0}, {"weight": 1}, {"weight": 1}},
		"weight 0 everywhere":      {{"weight": 0, "rpm": 1}, {"weight": 0, "rpm": 3}},
		"weights inside the order": {{"order": 1, "weight": 1}, {"order": 1, "weight": 4}, {"order": 2, "weight": 100}},
	}
}

// withIDs makes a model_list of one group "g" out of the members of a case.
func withIDs(members []map[string]any) []map[string]any {
	var list []map[string]any
	for i, params := range members {
		id := string(rune('a' + i))
		params["model"], params["api_key"] = "openai/"+id, "k"
		list = append(list, map[string]any{"model_name": "g", "litellm_params": params, "model_info": map[string]any{"id": id}})
	}
	return list
}

func TestFlatGroupsAreLiteLLMs(t *testing.T) {
	python := os.Getenv(litellmPython)
	if python == "" {
		t.Skipf("NOT COMPARED WITH LITELLM: set %s to a Python that has litellm", litellmPython)
	}
	lists := map[string][]map[string]any{}
	for name, members := range flatCases() {
		lists[name] = withIDs(members)
	}
	counts := askLiteLLM(t, python, lists, 1500)
	for name, list := range lists {
		t.Run(name, func(t *testing.T) {
			s := flatSnapshot(t, list)
			if u := unfit(counts[name], byID(t, s, "g")); u > 1 {
				t.Errorf("LiteLLM's %v do not fit what is explained (%.2f)", counts[name], u)
			}
			ours := sample(t, serve(s).View(), target(t, s, "g"), 1500, routing.Query{})
			if u := unfit(ours, byID(t, s, "g")); u > 1 {
				t.Errorf("our %v do not fit what is explained (%.2f)", ours, u)
			}
		})
	}
}

func flatSnapshot(t *testing.T, list []map[string]any) *routing.Snapshot {
	t.Helper()
	// JSON is YAML.
	yaml, err := json.Marshal(map[string]any{"model_list": list})
	if err != nil {
		t.Fatal(err)
	}
	return snapshot(t, string(yaml))
}

// askLiteLLM samples LiteLLM's router and returns counts by case and deployment id.
func askLiteLLM(t *testing.T, python string, lists map[string][]map[string]any, draws int) map[string]map[string]int {
	t.Helper()
	question, err := json.Marshal(map[string]any{"draws": draws, "cases": lists})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, python, "testdata/litellm/sample.py")
	var stdout, stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(question), &stdout, &stderr
	cmd.Env = append(os.Environ(), "LITELLM_LOCAL_MODEL_COST_MAP=True", "LITELLM_LOG=ERROR")
	if err := cmd.Run(); err != nil {
		t.Fatalf("LiteLLM did not answer: %v\n%s", err, stderr.String())
	}
	var counts map[string]map[string]int
	if err := json.Unmarshal(stdout.Bytes(), &counts); err != nil {
		t.Fatalf("%v in %s", err, stdout.String())
	}
	return counts
}

// TestFlatCasesReadAsWritten keeps the comparison honest where LiteLLM is not there: what it is compared with
// is what the cases say.
func TestFlatCasesReadAsWritten(t *testing.T) {
	s := flatSnapshot(t, withIDs(flatCases()["rpm"]))
	if diff := cmp.Diff(map[string]float64{"a": 0.75, "b": 0.125, "c": 0.125}, byID(t, s, "g")); diff != "" {
		t.Error(diff)
	}
}

func TestUnfitTellsWrongSharesFromRightOnes(t *testing.T) {
	expected := map[string]float64{"a": 0.75, "b": 0.25}
	for _, c := range []struct {
		counts map[string]int
		wrong  bool
	}{
		{map[string]int{"a": 1140, "b": 360}, false},
		{map[string]int{"a": 1000, "b": 500}, true},
		{map[string]int{"a": 1125, "c": 375}, true},
	} {
		if wrong := unfit(c.counts, expected) > 1; wrong != c.wrong {
			t.Errorf("%v: wrong is %v", c.counts, wrong)
		}
	}
}
