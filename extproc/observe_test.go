package extproc

import "testing"

func TestTokensAreCountedByKind(t *testing.T) {
	s, _ := limited(t, oneDeployment)
	a := begin(t, s, nil, chat)
	a.ended(t, s, how{status: 200, usage: map[string]any{
		"prompt_tokens": 10, "completion_tokens": 2000, "total_tokens": 2010, "cached_tokens": 4, "reasoning_tokens": 1500,
	}})
	for kind, want := range map[string]float64{"prompt": 10, "completion": 2000, "total": 2010, "cached": 4, "reasoning": 1500} {
		if got := valueOf(t, s.Metrics.tokens.WithLabelValues("d1", kind)); got != want {
			t.Errorf("%s: %v, want %v", kind, got, want)
		}
	}
	for kind, want := range map[string]float64{"reserved": estimated, "used": 2010, "overrun": 2010 - estimated} {
		if got := valueOf(t, s.Metrics.reserved.WithLabelValues("d1", kind)); got != want {
			t.Errorf("%s: %v, want %v", kind, got, want)
		}
	}
	a.ended(t, s, how{status: 200, usage: tokens(1, 1)})
	if got := valueOf(t, s.Metrics.expired); got != 1 {
		t.Errorf("%v answers without a reservation, want the second one", got)
	}
}
