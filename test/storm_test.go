package test

import (
	"net/http"
	"testing"
)

// A provider that fails everything is not asked several times as often as before.
func TestRetriesStayWithinTheirBudget(t *testing.T) {
	t.Parallel()
	a, b := provide(t, "a"), provide(t, "b")
	g := run(t, yaml(firstAndSecond+"  num_retries: 3\n  retry_budget: {percent: 20, min_per_second: 0}\n", a, b))
	const n = 144
	for status, count := range g.swarmWith("pair", []string{"status=500"}, "") {
		if status != http.StatusInternalServerError {
			t.Errorf("%d answers with status %d", count, status)
		}
	}
	attempts := calls(a, b)
	if sum := attempts[0] + attempts[1]; sum < n || sum > n+n/5 {
		t.Errorf("%d attempts for %d requests, want at most a fifth more", sum, n)
	}
	if withheld := g.metrics().sum("nestor_retries_withheld_total"); withheld == 0 {
		t.Error("no retry was withheld")
	}
	g.idle()
}
