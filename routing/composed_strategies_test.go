package routing_test

import (
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/nestor-gateway/nestor/ratelimit"
	"github.com/nestor-gateway/nestor/routing"
)

// composed is a pool of two deployments, a weighted group and a group of three tiers, called by "top".
const composed = `
model_list:
  - {model_name: weighted, litellm_params: {model: openai/nine, weight: 9}}
  - {model_name: weighted, litellm_params: {model: openai/one, weight: 1}}
  - {model_name: tiers, litellm_params: {model: openai/first, order: 1}}
  - {model_name: tiers, litellm_params: {model: openai/second, order: 2}}
  - {model_name: tiers, litellm_params: {model: openai/last}}
  - {model_name: top, litellm_params: {model: openai/x}}
  - {model_name: top, litellm_params: {model: openai/y}}
  - {model_name: top, litellm_params: {model: weighted}}
  - {model_name: top, litellm_params: {model: tiers}}
  - {model_name: by-weight, litellm_params: {model: top, weight: 3}}
  - {model_name: by-weight, litellm_params: {model: openai/z, weight: 1}}
router_settings: {routing_strategy: %s}
`

func otherStrategies() []string { return strategyNames()[1:] }

// part checks that a is some part of a and b, within six standard deviations.
func part(t *testing.T, what string, a, b int, want float64) {
	t.Helper()
	n := float64(a + b)
	if n < 100 || math.Abs(float64(a)-n*want) > 6*math.Sqrt(n*want*(1-want)) {
		t.Errorf("%s: %d of %v, want a part of %v", what, a, n, want)
	}
}

// churned are picks of which each ends 20 picks later, after a second, having taken some tokens.
func churned(t *testing.T, l *limited, name string, n int) map[string]int {
	t.Helper()
	counts := map[string]int{}
	var open []held
	for range n {
		l.clock.Add(50 * time.Millisecond)
		h := l.pick(t, name, 10)
		counts[h.Deployment.Written]++
		open = append(open, h)
		if len(open) <= 20 {
			continue
		}
		l.Settle(open[0].Deployment.ID, open[0].id, ratelimit.Amounts{ratelimit.Requests: 1, ratelimit.Tokens: 10})
		l.Observe(routing.Sample{Deployment: open[0].Deployment.ID, Whole: time.Second, FirstToken: time.Second})
		open = open[1:]
	}
	return counts
}

func TestWeightsHoldInsideAPoolUnderEveryStrategy(t *testing.T) {
	for _, strategy := range otherStrategies() {
		t.Run(strategy, func(t *testing.T) {
			got := churned(t, limit(snapshot(t, fmt.Sprintf(composed, strategy))), "top", 4000)
			part(t, "inside the weighted group", got["openai/nine"], got["openai/one"], 0.9)
			if got["openai/second"]+got["openai/last"] > 0 {
				t.Errorf("%v: a tier was drawn before its turn", got)
			}
			for _, model := range []string{"openai/x", "openai/y", "openai/first"} {
				if got[model] < 400 {
					t.Errorf("%v: %s gets little", got, model)
				}
			}
		})
	}
}

func TestWeightsHoldAboveAPoolUnderEveryStrategy(t *testing.T) {
	for _, strategy := range otherStrategies() {
		t.Run(strategy, func(t *testing.T) {
			got := churned(t, limit(snapshot(t, fmt.Sprintf(composed, strategy))), "by-weight", 4000)
			part(t, "outside", got["openai/z"], 4000-got["openai/z"], 0.25)
			part(t, "inside the weighted group", got["openai/nine"], got["openai/one"], 0.9)
		})
	}
}

func TestTiersTakeTurnsUnderEveryStrategy(t *testing.T) {
	for _, strategy := range otherStrategies() {
		t.Run(strategy, func(t *testing.T) {
			l := limit(snapshot(t, fmt.Sprintf(composed, strategy)))
			for _, next := range []string{"openai/first", "openai/second", "openai/last"} {
				if diff := cmp.Diff(map[string]int{next: 30}, l.picks(t, "tiers", 30)); diff != "" {
					t.Fatal(diff)
				}
				if got := l.picks(t, "top", 200); got[next] == 0 {
					t.Errorf("%v: nothing for %s", got, next)
				}
				for _, d := range l.View().Snapshot().Deployments() {
					if d.Written == next {
						l.Failed(d, routing.Failure{Class: routing.RateLimit, Status: 429, RetryAfter: time.Hour})
					}
				}
			}
		})
	}
}

// A weighted group counts as the mean of its members by weight, whatever the draw inside it will give.
func TestAWeightedGroupCountsAsItsMean(t *testing.T) {
	price := func(nine, one float64) map[string]int {
		return limit(snapshot(t, fmt.Sprintf(`
model_list:
  - {model_name: weighted, litellm_params: {model: openai/nine, weight: 9, input_cost_per_token: %v, output_cost_per_token: 0}}
  - {model_name: weighted, litellm_params: {model: openai/one, weight: 1, input_cost_per_token: %v, output_cost_per_token: 0}}
  - {model_name: top, litellm_params: {model: weighted}}
  - {model_name: top, litellm_params: {model: openai/x, input_cost_per_token: 2, output_cost_per_token: 0}}
router_settings: {routing_strategy: cost-based-routing}
`, nine, one))).picks(t, "top", 1000)
	}
	got := price(1, 10) // 1.9
	part(t, "cheaper than x", got["openai/nine"], got["openai/one"], 0.9)
	if got["openai/x"] > 0 {
		t.Errorf("%v: x is dearer", got)
	}
	if got := price(2.1, 0.1); got["openai/one"]+got["openai/nine"] != 1000 { // 1.9
		t.Errorf("%v: x is dearer", got)
	}
	if got := price(2.2, 0.8); got["openai/x"] != 1000 { // 2.06
		t.Errorf("%v: x is cheaper, and one of the group no reason to go there", got)
	}
}

// A group that is reached in two ways counts twice among equals, as its members would inline.
func TestASharedGroupCountsForEveryWay(t *testing.T) {
	l := limit(snapshot(t, `
model_list:
  - {model_name: shared, litellm_params: {model: openai/a, input_cost_per_token: 1, output_cost_per_token: 1}}
  - {model_name: left, litellm_params: {model: shared}}
  - {model_name: right, litellm_params: {model: shared}}
  - {model_name: right, litellm_params: {model: openai/b, input_cost_per_token: 1, output_cost_per_token: 1}}
  - {model_name: top, litellm_params: {model: left}}
  - {model_name: top, litellm_params: {model: right}}
router_settings: {routing_strategy: cost-based-routing}
`))
	got := l.picks(t, "top", 3000)
	part(t, "reached in two ways", got["openai/a"], got["openai/b"], 2.0/3)
}

// The called group's strategy decides, not that of a group in it.
func TestTheStrategyOfTheCalledGroupCounts(t *testing.T) {
	l := limit(snapshot(t, `
model_list:
  - {model_name: sub, litellm_params: {model: openai/cheap, input_cost_per_token: 1, output_cost_per_token: 1}}
  - {model_name: sub, litellm_params: {model: openai/dear, input_cost_per_token: 2, output_cost_per_token: 2}}
  - {model_name: top, litellm_params: {model: sub}}
  - {model_name: plain, litellm_params: {model: sub}}
router_settings: {routing_strategy: simple-shuffle}
model_groups: {sub: {routing_strategy: cost-based-routing}, top: {routing_strategy: least-busy}}
`))
	if got := l.picks(t, "sub", 100); got["openai/cheap"] != 100 {
		t.Errorf("called itself: %v", got)
	}
	if got := l.picks(t, "top", 102); got["openai/cheap"] > 2 {
		t.Errorf("called through the least busy: %v, want the busy one left alone", got)
	}
	if got := l.picks(t, "plain", 100); got["openai/dear"] < 20 || got["openai/dear"] > 80 {
		t.Errorf("called through a shuffle: %v", got)
	}
}

func TestAReloadKeepsWhatStrategiesKnow(t *testing.T) {
	yaml := (&fleet{strategy: "latency-based-routing", members: five()[:2]}).yaml()
	l := limit(snapshot(t, yaml))
	for i, d := range l.View().Snapshot().Deployments() {
		l.Observe(routing.Sample{Deployment: d.ID, Whole: time.Duration(2-i) * time.Second})
	}
	l.Swap(snapshot(t, yaml))
	if got := l.picks(t, "g", 20); got["openai/m1"] != 20 {
		t.Errorf("after a reload: %v, want the faster one", got)
	}
}

func TestExplainNamesTheStrategy(t *testing.T) {
	for strategy, want := range map[string]string{"simple-shuffle": "", "usage-based-routing-v2": "usage-based-routing-v2"} {
		e, err := snapshot(t, fmt.Sprintf(composed, strategy)).Explain("top", nil)
		if err != nil || e.Strategy != want {
			t.Errorf("%s: %q, %v", strategy, e.Strategy, err)
		}
	}
}

// Offline all are equal but for their prices; live, what is known counts.
func TestExplanationsFollowTheStrategy(t *testing.T) {
	s := snapshot(t, `
model_list:
  - {model_name: weighted, litellm_params: {model: openai/nine, weight: 9, rpm: 50}}
  - {model_name: weighted, litellm_params: {model: openai/one, weight: 1, rpm: 50}}
  - {model_name: busy, litellm_params: {model: weighted}}
  - {model_name: busy, litellm_params: {model: openai/x, rpm: 30}}
  - {model_name: busy, litellm_params: {model: openai/y, rpm: 5}}
  - {model_name: cost, litellm_params: {model: openai/cheap, input_cost_per_token: 0, rpm: 1}}
  - {model_name: cost, litellm_params: {model: openai/dear}}
model_groups: {busy: {routing_strategy: least-busy}, cost: {routing_strategy: cost-based-routing}}
`)
	equal := map[string]float64{"openai/nine": 0.45, "openai/one": 0.05, "openai/x": 0.25, "openai/y": 0.25}
	near := cmpopts.EquateApprox(0, 1e-9)
	if diff := cmp.Diff(equal, probabilities(t, s, "busy"), near); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(map[string]float64{"openai/cheap": 1}, probabilities(t, s, "cost")); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(map[string]float64{"openai/dear": 1}, probabilities(t, s, "cost", "openai/cheap")); diff != "" {
		t.Error(diff)
	}
	l := limit(s)
	for l.pick(t, "busy", 1).Deployment.Written != "openai/x" {
		l.Swap(s)
	}
	next := map[string]float64{}
	for _, d := range l.View().Live(target(t, s, "busy")).Deployments {
		next[d.Model] = *d.Probability
	}
	if next["openai/x"] != 0 || next["openai/y"] == 0 {
		t.Errorf("with one in flight at x: %v", next)
	}
}
