package metering

import (
	"encoding/json"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
)

// withRetries gives every route to an upstream a retry policy, as other people's configurations have.
func withRetries(t *testing.T, static []byte) []byte {
	t.Helper()
	var all any
	if err := json.Unmarshal(static, &all); err != nil {
		t.Fatal(err)
	}
	changed := 0
	var walk func(any)
	walk = func(v any) {
		switch v := v.(type) {
		case []any:
			for _, item := range v {
				walk(item)
			}
		case map[string]any:
			if _, ok := v["cluster_header"]; ok {
				v["retry_policy"] = map[string]any{"retry_on": "5xx,reset,retriable-status-codes", "retriable_status_codes": []int{429}, "num_retries": 3}
				changed++
			}
			for _, item := range v {
				walk(item)
			}
		}
	}
	walk(all)
	if changed == 0 {
		t.Fatal("there is no route to an upstream")
	}
	out, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestAnEnvoyOfSomebodyElsesMakesNoAttemptOfItsOwn(t *testing.T) {
	needEnvoy(t)
	var arrived atomic.Int64
	g := startGatewayOf(t, gatewayOptions{
		inband: true, change: withRetries,
		answer: func(w http.ResponseWriter, _ *http.Request) {
			arrived.Add(1)
			w.WriteHeader(http.StatusInternalServerError)
		},
	})
	resp, err := http.Post("http://"+g.address+"/v1/chat/completions", "application/json", strings.NewReader(`{"model":"m0","messages":[]}`))
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if used := <-g.ledger.ended["m0"]; used != "1 requests, 0 tokens" || arrived.Load() != 1 {
		t.Errorf("%d requests came to the provider; charged for: %s", arrived.Load(), used)
	}
}
