package test

import (
	"net/http"
	"testing"
	"time"
)

// Envoy tells of the end of a request after the client has read its answer: until then its place is taken.
func TestAClientWithOneRequestAtATimeIsNeverRefused(t *testing.T) {
	t.Parallel()
	a := provide(t, "a")
	g := run(t, yaml(`
model_list:
  - {model_name: single, litellm_params: {model: openai/single, api_base: $A/v1, api_key: k, max_parallel_requests: 1}}
`, a))
	const n = 40
	begin := time.Now()
	for i := range n {
		plan := ""
		if i%2 == 1 {
			plan = "delay=5ms"
		}
		if r := g.chat("single", plan); r.Status != http.StatusOK {
			t.Fatalf("request %d: status %d: %s", i, r.Status, r.Body)
		}
	}
	t.Logf("%v a request", time.Since(begin)/n)
	g.idle()
}
