package extproc

import (
	"fmt"
	"testing"
	"testing/synctest"

	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	"github.com/prometheus/client_golang/prometheus"
)

func TestAStormOfFailuresIsNotAnsweredWithAStormOfRetries(t *testing.T) {
	for _, c := range []struct {
		settings string
		most     int // attempts at 1000 requests within a second
	}{
		{"{num_retries: 2}", 1000 + 200},
		{"{num_retries: 2, retry_budget: {percent: 50, min_per_second: 1}}", 1000 + 500},
		{"{num_retries: 2, retry_budget: {percent: 0, min_per_second: 0}}", 1000},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := fixture(t, twoGroupsWith(c.settings))
			const requests = 1000
			total := storm(t, s, requests, failing("500", ""))
			if total > c.most || total < c.most-c.most/50 {
				t.Errorf("%s: %d attempts, want %d", c.settings, total, c.most)
			}
			if withheld := valueOf(t, s.Metrics.withheld); int(withheld) < requests-(total-requests) {
				t.Errorf("%s: %v retries were withheld, of %d attempts", c.settings, withheld, total)
			}
		})
	}
}

func TestAttemptsThatReachedNobodyCostNoBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := fixture(t, twoGroupsWith("{retry_budget: {percent: 0, min_per_second: 0}}"))
		unknown := func(d *extprocv3.ProcessingResponse) []*extprocv3.ProcessingRequest {
			m := failureOf(d.DynamicMetadata, "503", true, nil)
			m.Attributes = codeDetails(t, "cluster_not_found")
			return []*extprocv3.ProcessingRequest{m}
		}
		if total := storm(t, s, 1, unknown); total < 2 {
			t.Errorf("%d attempts while the upstream was not known yet", total)
		}
	})
}

func twoGroupsWith(settings string) string {
	return `
model_list:
  - {model_name: fast, litellm_params: {model: openai/a, api_base: "http://127.0.0.1:1/v1", api_key: k}, model_info: {id: a}}
  - {model_name: fast, litellm_params: {model: openai/b, api_base: "http://127.0.0.1:2/v1", api_key: k}, model_info: {id: b}}
  - {model_name: slow, litellm_params: {model: openai/c, api_base: "http://127.0.0.1:3/v1", api_key: k}, model_info: {id: c}}
litellm_settings: {fallbacks: [{fast: [slow]}]}
router_settings: ` + settings + "\n"
}

// storm begins all requests at once, and makes all attempts that are asked for. It returns their number.
func storm(t *testing.T, s *Server, requests int, fail func(*extprocv3.ProcessingResponse) []*extprocv3.ProcessingRequest) int {
	t.Helper()
	total := 0
	asking := make([]int, requests)
	for i := range asking {
		asking[i] = i
	}
	for n := 1; len(asking) > 0; n++ {
		decisions := make(map[int]*extprocv3.ProcessingResponse, len(asking))
		for _, i := range asking {
			headers := map[string]string{"x-nestor-request": fmt.Sprint("request-", i), "x-envoy-attempt-count": itoa(n)}
			decisions[i] = decideFor(t, s, headers, chat)
		}
		total += len(asking)
		asking = nil
		for i, d := range decisions {
			if isMarked(exchange(t, s, fail(d)...).last()) {
				asking = append(asking, i)
			}
		}
	}
	return total
}

// valueOf is what a counter has come to.
func valueOf(t *testing.T, c prometheus.Collector) float64 {
	t.Helper()
	r := prometheus.NewRegistry()
	r.MustRegister(c)
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	return families[0].GetMetric()[0].GetCounter().GetValue()
}
