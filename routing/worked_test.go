package routing_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/nestor-gateway/nestor/routing"
)

// worked is the example that decided what composition means.
const worked = `
model_list:
  - model_name: A
    litellm_params: {model: groq/openai/gpt-oss-120b, rpm: 30, order: 2}
  - model_name: A
    litellm_params: {model: cerebras/gpt-oss-120b, rpm: 5, order: 1}
  - model_name: B
    litellm_params: {model: cerebras/zai-glm-4.7, rpm: 5}
  - model_name: fast
    litellm_params: {model: A}
  - model_name: fast
    litellm_params: {model: B}
`

const (
	groq = "groq/openai/gpt-oss-120b"
	cer  = "cerebras/gpt-oss-120b"
	glm  = "cerebras/zai-glm-4.7"
)

func TestWorkedCaseEverythingUp(t *testing.T) {
	got := probabilities(t, snapshot(t, worked), "fast")
	if diff := cmp.Diff(map[string]float64{cer: 0.5, glm: 0.5}, got); diff != "" {
		t.Error(diff)
	}
}

func TestWorkedCaseFirstTierOut(t *testing.T) {
	got := probabilities(t, snapshot(t, worked), "fast", cer)
	if diff := cmp.Diff(map[string]float64{groq: 30.0 / 35, glm: 5.0 / 35}, got); diff != "" {
		t.Error(diff)
	}
}

func TestWorkedCaseNothingLeft(t *testing.T) {
	s := snapshot(t, worked)
	if diff := cmp.Diff(map[string]float64{}, probabilities(t, s, "fast", cer, groq, glm)); diff != "" {
		t.Error(diff)
	}
	r := serve(s)
	to := target(t, s, "fast")
	var tried []string
	for i, d := range to.Deployments() {
		r.Failed(d, routing.Failure{Class: routing.RateLimit, Status: 429, RetryAfter: time.Duration(10+i) * time.Second})
		tried = append(tried, d.ID)
	}
	_, err := r.View().Pick(context.Background(), to, routing.Query{Exclude: tried})
	var none *routing.NoneError
	if !errors.As(err, &none) {
		t.Fatalf("got %v, want a NoneError", err)
	}
	if diff := cmp.Diff(&routing.NoneError{Model: "fast", RetryAfter: 10 * time.Second}, none); diff != "" {
		t.Error(diff)
	}
}

func TestWorkedCaseWithoutOrders(t *testing.T) {
	cfg := decode(t, worked)
	for i := range cfg.Entries {
		cfg.Entries[i].Params.Order = nil
	}
	got := probabilities(t, compile(t, cfg), "fast")
	if diff := cmp.Diff(map[string]float64{groq: 30.0 / 40, cer: 5.0 / 40, glm: 5.0 / 40}, got); diff != "" {
		t.Error(diff)
	}
}

func TestWorkedCaseLive(t *testing.T) {
	s := snapshot(t, worked)
	r := serve(s)
	to := target(t, s, "fast")
	for _, d := range to.Deployments() {
		if d.Written == cer {
			r.cool(d)
		}
	}
	counts := sample(t, r.View(), to, 7000, routing.Query{})
	if u := unfit(counts, byID(t, s, "fast", cer)); u > 1 {
		t.Errorf("%v do not fit 30:5 (%.2f)", counts, u)
	}
}
