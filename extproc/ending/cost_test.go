package ending

import (
	"testing"

	nestorv1 "github.com/nestor-gateway/nestor/proto/nestor/v1"
)

// A token of input costs 1 nano-dollar, one of output 2.
func TestWhoGotNoByteOfAnAnswerPaysNothing(t *testing.T) {
	d := &nestorv1.Decision{ReservedTokens: 100, InputTokens: 30, Prices: []int64{1000, 2000}, Stream: true, Completions: 1}
	for name, c := range map[string]struct {
		entry Entry
		want  int64
	}{
		"no connection":             {Entry{Status: 503, Details: "upstream_reset_before_response_started{remote_connection_failure|delayed_connect_error:_111}"}, 0},
		"a reset":                   {Entry{Status: 503, Details: "upstream_reset_before_response_started{connection_termination}"}, 0},
		"a reset of the stream":     {Entry{Status: 503, Details: "upstream_reset_before_response_started{remote_reset}"}, 0},
		"a timeout":                 {Entry{Status: 504, Details: "response_timeout"}, 30 + 2*70},
		"a timeout of one attempt":  {Entry{Status: 504, Details: "upstream_per_try_timeout"}, 30 + 2*70},
		"an error of the provider":  {Entry{Status: 500, Details: "via_upstream"}, 0},
		"an answer that broke off":  {Entry{Status: 200, Sent: 640, Details: "upstream_reset_after_response_started{remote_reset}"}, 30 + 2*10},
		"a client that left early":  {Entry{Aborted: true, Details: "downstream_remote_disconnect"}, 30 + 2*70},
		"an answer with its counts": {Entry{Status: 200, Usage: Usage{Prompt: 5, Completion: 7, Total: 12}}, 5 + 2*7},
	} {
		c.entry.Decision = d
		_, tokens := c.entry.Spent(func(bytes int64) int64 { return bytes / 64 })
		if got := c.entry.Cost(tokens); got != c.want {
			t.Errorf("%s costs %d nano-dollars, want %d", name, got, c.want)
		}
		if c.entry.Status >= 300 {
			if got := CostOfFailure(d, c.entry.Details, tokens); got != c.want {
				t.Errorf("%s costs %d nano-dollars by its failure exchange, want %d", name, got, c.want)
			}
		}
	}
}
