package routing_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/nestor-gateway/nestor/ratelimit"
	"github.com/nestor-gateway/nestor/routing"
)

// asking picks for an endpoint that groq does not have.
func asking(seed uint64) routing.Query { return routing.Query{Seed: seed, Endpoint: groqLacks} }

// Drawn again alone, what stands in for groq would get its share too often: a weight is a promise about a whole group.
func TestWhoLacksTheEndpointIsLeftOutAsIfItWereNotThere(t *testing.T) {
	for name, yaml := range map[string]string{
		"among equals": `
  - {model_name: g, litellm_params: {model: groq/a, rpm: 50}}
  - {model_name: g, litellm_params: {model: openai/b, rpm: 10}}
  - {model_name: g, litellm_params: {model: openai/c, rpm: 30}}`,
		"below a weight": `
  - {model_name: g, litellm_params: {model: one, weight: 1}}
  - {model_name: g, litellm_params: {model: two, weight: 1}}
  - {model_name: one, litellm_params: {model: groq/a}}
  - {model_name: one, litellm_params: {model: openai/b}}
  - {model_name: two, litellm_params: {model: openai/c}}`,
		"a whole group": `
  - {model_name: g, litellm_params: {model: one, weight: 9}}
  - {model_name: g, litellm_params: {model: openai/b, weight: 1}}
  - {model_name: g, litellm_params: {model: openai/c, weight: 2}}
  - {model_name: one, litellm_params: {model: groq/a}}`,
		"in the first tier": `
  - {model_name: g, litellm_params: {model: groq/a, order: 1}}
  - {model_name: g, litellm_params: {model: openai/b, order: 2}}
  - {model_name: g, litellm_params: {model: openai/c, order: 2}}`,
		"without an rpm": `
  - {model_name: g, litellm_params: {model: groq/a}}
  - {model_name: g, litellm_params: {model: openai/b, rpm: 10}}
  - {model_name: g, litellm_params: {model: openai/c, rpm: 30}}`,
	} {
		t.Run(name, func(t *testing.T) {
			s := snapshot(t, "model_list:"+yaml)
			v, to, counts := serve(s).View(), target(t, s, "g"), map[string]int{}
			for seed := range uint64(20_000) {
				p, err := v.Pick(context.Background(), to, asking(seed))
				if err != nil {
					t.Fatal(err)
				}
				counts[p.Deployment.Written]++
			}
			if by := unfit(counts, probabilities(t, s, "g", "groq/a")); by > 1 {
				t.Errorf("picked %v, which is unfit by %v", counts, by)
			}
		})
	}
}

func TestATargetThatLacksTheEndpointGivesNothing(t *testing.T) {
	s := snapshot(t, `
model_list:
  - {model_name: g, litellm_params: {model: sub}}
  - {model_name: g, litellm_params: {model: groq/a}}
  - {model_name: sub, litellm_params: {model: groq/b}}
`)
	v := serve(s).View()
	for _, name := range []string{"g", "sub", "groq/a"} {
		_, err := v.Pick(context.Background(), target(t, s, name), asking(1))
		none, _ := errors.AsType[*routing.NoneError](err)
		if diff := cmp.Diff(&routing.NoneError{Model: name, Unserved: true}, none); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		if _, err := v.Pick(context.Background(), target(t, s, name), routing.Query{}); err != nil {
			t.Errorf("%s: the endpoint that all have: %v", name, err)
		}
	}
}

// A client that is told to wait would wait for ever.
func TestWhoNeverAdmitsAnythingServesNoEndpoint(t *testing.T) {
	const groq = "\n  - {model_name: g, litellm_params: {model: groq/a}}"
	for name, c := range map[string]struct {
		yaml string
		want bool
	}{
		"a key that is not set": {groq + `
  - {model_name: g, litellm_params: {model: openai/b, api_key: os.environ/NOT_SET}}`, true},
		"no provider": {groq + `
  - {model_name: g, litellm_params: {model: os.environ/NOT_SET}}`, true},
		"a limit of 0": {groq + `
  - {model_name: g, litellm_params: {model: openai/b, rpm: 0}}`, true},
		"a reference with a limit of 0": {groq + `
  - {model_name: g, litellm_params: {model: sub, rpm: 0}}
  - {model_name: sub, litellm_params: {model: openai/b}}`, true},
		"a group with a limit of 0": {groq + `
  - {model_name: g, litellm_params: {model: sub}}
  - {model_name: sub, litellm_params: {model: openai/b}}
model_groups: {sub: {rpm: 0}}`, true},
		"a group of those": {groq + `
  - {model_name: g, litellm_params: {model: sub}}
  - {model_name: sub, litellm_params: {model: openai/b, rpm: 0}}`, true},
		"nobody, where that is all there is": {`
  - {model_name: g, litellm_params: {model: groq/a, rpm: 0}}
  - {model_name: g, litellm_params: {model: openai/b, rpm: 0}}`, false},
	} {
		t.Run(name, func(t *testing.T) {
			s := snapshot(t, "model_list:"+c.yaml)
			_, err := serve(s).View().Pick(context.Background(), target(t, s, "g"), asking(1))
			if none, _ := errors.AsType[*routing.NoneError](err); none == nil || none.Unserved != c.want {
				t.Errorf("got %#v, want one that says Unserved: %v", err, c.want)
			}
		})
	}
}

const mixed = `
model_list:
  - {model_name: g, litellm_params: {model: groq/a, rpm: 90}, model_info: {id: a}}
  - {model_name: g, litellm_params: {model: openai/b, rpm: 2}, model_info: {id: b}}
`

// What lacks the endpoint is no place to wait for either, and nothing of it is used.
func TestTheLimitsOfWhoLacksTheEndpointDontMatter(t *testing.T) {
	s := snapshot(t, mixed)
	l := limit(s)
	to := target(t, s, "g")
	var last error
	for n := range uint64(3) {
		q := hold(n+1, 1)
		q.Endpoint = groqLacks
		_, last = l.View().Pick(context.Background(), to, q)
	}
	none, _ := errors.AsType[*routing.NoneError](last)
	if none == nil || none.Limit == nil || none.Limit.Dimension != ratelimit.Requests || none.RetryAfter < 20*time.Second {
		t.Errorf("the third request of b's two got %v, want b's limit", last)
	}
	for n := range uint64(90) {
		if p, err := l.View().Pick(context.Background(), to, hold(n+10, 1)); err != nil || p.Deployment.ID != "a" {
			t.Fatalf("request %d for the endpoint that a has: %v %v", n, p.Deployment, err)
		}
	}
}

func TestTheOnlyOneThatHasTheEndpointIsPickedWhileItCools(t *testing.T) {
	s := snapshot(t, mixed)
	r := serve(s)
	to := target(t, s, "g")
	for _, d := range s.Deployments() {
		r.cool(d)
		r.clock.Add(time.Second)
	}
	for seed := range uint64(20) {
		if p, err := r.View().Pick(context.Background(), to, asking(seed)); err != nil || p.Deployment.ID != "b" {
			t.Fatalf("got %v %v, want b", p.Deployment, err)
		}
	}
	if r.View().Others(to, groqLacks, []string{"b"}) || !r.View().Others(to, 0, []string{"b"}) {
		t.Error("beside b there is a, for the endpoint that it has alone")
	}
}

func TestStrategiesLeaveOutWhoLacksTheEndpoint(t *testing.T) {
	for _, strategy := range []string{"least-busy", "latency-based-routing", "usage-based-routing-v2", "cost-based-routing"} {
		s := snapshot(t, mixed+"router_settings: {routing_strategy: "+strategy+"}\n")
		v := serve(s).View()
		for seed := range uint64(10) {
			if p, err := v.Pick(context.Background(), target(t, s, "g"), asking(seed)); err != nil || p.Deployment.ID != "b" {
				t.Fatalf("%s: got %v %v, want b", strategy, p.Deployment, err)
			}
		}
	}
}

func TestWhatClosesForAllClosesForWhoeverHasTheEndpointToo(t *testing.T) {
	s := snapshot(t, mixed+"  - {model_name: g, litellm_params: {model: openai/c}, model_info: {id: c}}\n")
	r := serve(s)
	picked := func(exclude ...string) map[string]bool {
		t.Helper()
		ids := map[string]bool{}
		for seed := range uint64(50) {
			q := asking(seed)
			q.Exclude = exclude
			p, err := r.View().Pick(context.Background(), target(t, s, "g"), q)
			if err != nil {
				t.Fatal(err)
			}
			ids[p.Deployment.ID] = true
		}
		return ids
	}
	c, _ := s.Deployment("c")
	r.cool(c)
	cooling, others := picked(), picked("b")
	r.clock.Add(time.Minute)
	got := []map[string]bool{cooling, others, picked(), picked("b")}
	want := []map[string]bool{{"b": true}, {"c": true}, {"b": true, "c": true}, {"c": true}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
