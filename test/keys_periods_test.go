package test

import (
	"net/http"
	"testing"
	"time"
)

// period is that of a key's budget as /key/info has it: what it has cost, and when it ends.
func (g *gateway) period(key string) (spend float64, ends time.Time) {
	g.t.Helper()
	info := g.manage("/key/info?key="+key, "")["info"].(map[string]any)
	ends, err := time.Parse(time.RFC3339, info["budget_reset_at"].(string))
	if err != nil {
		g.t.Fatalf("%v in %v", err, info)
	}
	return info["spend"].(float64), ends
}

// spendAll asks until the budget of the current period is spent, which may end meanwhile, and returns how many requests that
// were.
func (g *gateway) spendAll(t *testing.T, key string) (n int) {
	t.Helper()
	for ; n < 20; n++ {
		got := g.post("/v1/chat/completions", priced(""), bearer(key)...)
		if got.Status == http.StatusOK {
			continue
		}
		got.refuses(t, http.StatusTooManyRequests, "budget_exceeded")
		if after := got.Header.Get("Retry-After"); after != "1" && after != "2" {
			t.Errorf("retry-after is %q in a period of 2 s", after)
		}
		return n
	}
	t.Fatalf("a budget of two requests admitted %d", n)
	return n
}

func TestABudgetBeginsAnewAtTheEndOfItsPeriod(t *testing.T) {
	onBoth(t, func(t *testing.T, g *gateway, _ *upstream) {
		const budget = `{"max_budget": 0.05, "budget_duration": "2s"}`
		key, idle := g.newKey(budget), g.newKey(budget)
		g.pays(t, idle)
		asked := 0
		// spend uses the period up, and returns when the one ends in which the last of its rows were written: that counts.
		spend := func() time.Time {
			asked += g.spendAll(t, key)
			g.logs(t, "api_key="+key, asked)
			_, ends := g.period(key)
			return ends
		}
		for range 2 {
			ends := spend()
			if left := time.Until(ends); left > 2*time.Second || ends.UnixNano()%int64(2*time.Second) != 0 {
				t.Errorf("the period ends at %v, in %v", ends, left)
			}
			<-time.After(time.Until(ends) + 50*time.Millisecond)
			g.pays(t, key)
			asked++
		}
		// The key that nobody asked with any more, too.
		g.pays(t, idle)
		if spend, ends := g.period(idle); spend > 0.02 || time.Until(ends) > 2*time.Second {
			t.Errorf("%v were spent in the period that ends at %v", spend, ends)
		}
		// At the boundary there is no nestor.
		for _, end := range []func(){func() { g.nestor.end() }, g.kill} {
			ends := spend()
			end()
			<-time.After(time.Until(ends) + 50*time.Millisecond)
			g.again()
			g.pays(t, key)
			asked++
			if spend, _ := g.period(key); spend > 0.02 {
				t.Errorf("%v were spent in a period with one request", spend)
			}
		}
		// Every request is in the log, whatever the period.
		rows := g.logs(t, "api_key="+idle, 2)
		if got := costs(rows); !near(got, 2*0.019) {
			t.Errorf("the log has %v of two requests", got)
		}
	})
}
