package test

import (
	"encoding/json"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// shares are the parts of one group's requests by deployment.
type shares map[string]float64

func TestExamplesPassCheckWithoutAWarning(t *testing.T) {
	for _, variable := range []string{"GROQ_API_KEY", "CEREBRAS_API_KEY", "LITELLM_MASTER_KEY"} {
		t.Setenv(variable, "sk-example")
	}
	found, err := filepath.Glob(filepath.Join("..", "examples", "*", "*.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if len(found) < 4 {
		t.Fatalf("only %d configs in examples/", len(found))
	}
	for _, path := range found {
		t.Run(path, func(t *testing.T) {
			var said strings.Builder
			check := exec.Command(binary(t), "check", path)
			check.Stderr = &said
			if err := check.Run(); err != nil || said.Len() > 0 {
				t.Errorf("nestor check: %v\n%s", err, said.String())
			}
		})
	}
}

func TestMigrationExampleKeepsTheModelsAndMendsTheShares(t *testing.T) {
	for _, variable := range []string{"GROQ_API_KEY", "CEREBRAS_API_KEY"} {
		t.Setenv(variable, "sk-example")
	}
	for _, tc := range []struct {
		file, without string
		want          shares
	}{
		// LiteLLM's own meaning: the order of one model's providers rules over another model.
		{"before.yaml", "", shares{"cerebras/gpt-oss-120b": 1, "cerebras/zai-glm-4.7": 0, "groq/openai/gpt-oss-120b": 0}},
		{"after.yaml", "", shares{"cerebras/gpt-oss-120b": 0.5, "cerebras/zai-glm-4.7": 0.5, "groq/openai/gpt-oss-120b": 0}},
		{"after.yaml", "cerebras/gpt-oss-120b",
			shares{"cerebras/gpt-oss-120b": 0, "cerebras/zai-glm-4.7": 5.0 / 35, "groq/openai/gpt-oss-120b": 30.0 / 35}},
	} {
		t.Run(tc.file+" without "+tc.without, func(t *testing.T) {
			args := []string{"explain", "--json", filepath.Join("..", "examples", "litellm-migration", tc.file), "fast"}
			if tc.without != "" {
				args = append(args, "--without", tc.without)
			}
			if diff := cmp.Diff(tc.want, explained(t, args)); diff != "" {
				t.Errorf("probabilities (-want +got):\n%s", diff)
			}
		})
	}
}

func explained(t *testing.T, args []string) shares {
	t.Helper()
	out, err := exec.Command(binary(t), args...).Output()
	if err != nil {
		t.Fatal(err)
	}
	var explanation struct {
		Deployments []struct {
			Model       string
			Probability float64
		}
	}
	if err := json.Unmarshal(out, &explanation); err != nil {
		t.Fatal(err)
	}
	got := shares{}
	for _, d := range explanation.Deployments {
		got[d.Model] += d.Probability
	}
	return got
}
