package routing_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/nestor-gateway/nestor/ratelimit"
	"github.com/nestor-gateway/nestor/routing"
	"github.com/nestor-gateway/nestor/routing/live"
)

// standing is a config in which deployments are out for every reason.
const standing = `
model_list:
  - {model_name: g, litellm_params: {model: openai/up, rpm: 10, tpm: 1000}, model_info: {id: up}}
  - {model_name: g, litellm_params: {model: openai/cooling, rpm: 10}, model_info: {id: cooling}}
  - {model_name: g, litellm_params: {model: openai/full, max_parallel_requests: 1}, model_info: {id: full}}
  - {model_name: g, litellm_params: {model: openai/spent}, model_info: {id: spent}}
  - {model_name: g, litellm_params: {model: openai/off, rpm: 0}, model_info: {id: off}}
  - {model_name: g, litellm_params: {model: sub, rpm: 1}}
  - {model_name: sub, litellm_params: {model: openai/below}, model_info: {id: below}}
  - {model_name: other, litellm_params: {model: sub}}
model_groups: {sub: {tpm: 50}}
`

// stand makes every deployment of standing what its name says.
func stand(t *testing.T) *limited {
	l := limit(snapshot(t, standing))
	l.pick(t, "full", 7)
	l.refused(t, "full", 7)
	l.pick(t, "sub", 50)
	l.refused(t, "other", 7)
	l.pick(t, "up", 3)
	l.Exhausted("spent", ratelimit.Requests, 20*time.Second)
	d, _ := l.View().Snapshot().Deployment("cooling")
	l.Failed(d, routing.Failure{Class: routing.RateLimit, Status: 429})
	return l
}

func reasons(all []live.Deployment) map[string][]live.Reason {
	by := map[string][]live.Reason{}
	for _, d := range all {
		by[d.ID] = d.WhyNot
	}
	return by
}

func TestLiveSaysWhyADeploymentIsOut(t *testing.T) {
	l := stand(t)
	status := l.View().Live(target(t, l.View().Snapshot(), "g"))
	want := map[string][]live.Reason{
		"up":      nil,
		"cooling": {{Why: live.Cooling, Seconds: 5}},
		"full":    {{Why: live.Full, Limit: "deployment:full", Dimension: "parallel", Seconds: 1}},
		"spent":   {{Why: live.Exhausted, Dimension: "requests", Seconds: 20}},
		"off":     {{Why: live.Configured, Text: "rpm is 0"}},
		"below":   {{Why: live.Full, Limit: "group:sub", Dimension: "tokens", Seconds: 60}},
	}
	if diff := cmp.Diff(want, reasons(status.Deployments)); diff != "" {
		t.Error(diff)
	}
	for _, d := range status.Deployments {
		if up := d.ID == "up"; d.Eligible != up || (*d.Probability == 1) != up {
			t.Errorf("%s: eligible %v with probability %v", d.ID, d.Eligible, *d.Probability)
		}
	}
}

func TestLiveShowsWhatIsUsed(t *testing.T) {
	l := stand(t)
	status := l.View().LiveAll()
	up := status.Deployments[0]
	want := `{"id":"up","limit_name":"deployment:up","model":"openai/up","api_base":"https://api.openai.example/v1","eligible":true,"in_flight":1,"limits":[` +
		`{"dimension":"requests","used":1,"limit":10,"reset_seconds":60},{"dimension":"tokens","used":3,"limit":1000,"reset_seconds":60},` +
		`{"dimension":"parallel","used":1,"limit":null,"reset_seconds":0}],"cooldown_seconds":0,"first_token_seconds":0,"latency_seconds":0}`
	got, err := json.Marshal(up)
	if diff := cmp.Diff(want, string(got)); diff != "" || err != nil {
		t.Error(diff, err)
	}
	one, fifty := int64(1), int64(50)
	none := live.Use{Dimension: "parallel"}
	if diff := cmp.Diff([]live.Reference{{Name: "reference:g:sub:1", Group: "g", To: "sub", Number: 1, Limits: []live.Use{
		{Dimension: "requests", Limit: &one}, {Dimension: "tokens"}, none}}}, status.References); diff != "" {
		t.Error(diff)
	}
	none.Used = 1
	if diff := cmp.Diff([]live.Group{{Name: "group:sub", Group: "sub", Full: &live.Until{Dimension: "tokens", Seconds: 60}, Limits: []live.Use{
		{Dimension: "requests", Used: 1, Reset: 60}, {Dimension: "tokens", Used: 50, Limit: &fifty, Reset: 60}, none}}}, status.Groups); diff != "" {
		t.Error(diff)
	}
}

func TestLiveOfAllCoolingShowsTheOneThatIsPicked(t *testing.T) {
	l := limit(snapshot(t, pair("", "")))
	for _, d := range l.View().Snapshot().Deployments() {
		l.Failed(d, routing.Failure{Class: routing.RateLimit, Status: 429})
	}
	status := l.View().Live(target(t, l.View().Snapshot(), "g"))
	a, b := status.Deployments[0], status.Deployments[1]
	if a.Eligible || *a.Probability != 0 || !b.Eligible || *b.Probability != 1 || b.Cooldown != 5 {
		t.Errorf("got %+v and %+v: b comes back first", a, b)
	}
	direct := l.View().Live(target(t, l.View().Snapshot(), "a"))
	if d := direct.Deployments; len(d) != 1 || !d[0].Eligible || *d[0].Probability != 1 {
		t.Errorf("called directly: %+v", d)
	}
}

const threeLimits = `
model_list:
  - {model_name: g, litellm_params: {model: openai/a, order: 1, rpm: 3}, model_info: {id: a}}
  - {model_name: g, litellm_params: {model: openai/b, order: 2, rpm: 10}, model_info: {id: b}}
  - {model_name: top, litellm_params: {model: g, rpm: 5}}
`

func probabilitiesOf(s live.Status) map[string]float64 {
	by := map[string]float64{}
	for _, d := range s.Deployments {
		if d.Eligible != (len(d.WhyNot) == 0) {
			by[d.ID] = -1
			continue
		}
		by[d.ID] = *d.Probability
	}
	return by
}

func TestLiveSeesWhatIsUsedUpBeforeAnybodyIsDenied(t *testing.T) {
	l := limit(snapshot(t, threeLimits))
	for range 3 {
		l.pick(t, "g", 1)
		l.clock.Add(10 * time.Second)
	}
	s := l.View().Snapshot()
	status := l.View().Live(target(t, s, "g"))
	want := map[string][]live.Reason{"a": {{Why: live.Full, Limit: "deployment:a", Dimension: "requests", Seconds: 30}}, "b": nil}
	if diff := cmp.Diff(want, reasons(status.Deployments)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(map[string]float64{"a": 0, "b": 1}, probabilitiesOf(status)); diff != "" {
		t.Error(diff)
	}
	if all := l.View().LiveAll().Deployments; all[0].Eligible || !all[1].Eligible {
		t.Errorf("of all: %+v", all)
	}
	if d := l.View().Live(target(t, s, "a")).Deployments[0]; d.Eligible || *d.Probability != 0 {
		t.Errorf("called directly: %+v", d)
	}
	for range 5 {
		l.pick(t, "top", 1)
	}
	status = l.View().Live(target(t, s, "top"))
	if diff := cmp.Diff(map[string]float64{"a": 0, "b": 0}, probabilitiesOf(status)); diff != "" {
		t.Error(diff)
	}
	way := live.Reason{Why: live.Full, Limit: "reference:top:g:1", Dimension: "requests", Seconds: 60}
	want = map[string][]live.Reason{"a": append(want["a"], way), "b": {way}}
	if diff := cmp.Diff(want, reasons(status.Deployments)); diff != "" {
		t.Error(diff)
	}
}

func TestLiveTellsThatLimitsAreClosed(t *testing.T) {
	c := newClock()
	start := c.Now()
	store := ratelimit.NewMemory(ratelimit.Options{Now: func() time.Duration { return c.Now().Sub(start) }})
	r := routing.NewRouter(routing.NewTracker(c.Now), store, snapshot(t, threeLimits+
		"  - {model_name: g, litellm_params: {model: openai/free, order: 3}, model_info: {id: free}}\n"))
	c.Add(20 * time.Second)
	closed := func(name string) live.Reason { return live.Reason{Why: live.Closed, Limit: name, Seconds: 40} }
	status := r.View().Live(target(t, r.View().Snapshot(), "g"))
	if diff := cmp.Diff(map[string][]live.Reason{"a": {closed("deployment:a")}, "b": {closed("deployment:b")}, "free": nil}, reasons(status.Deployments)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(map[string]float64{"a": 0, "b": 0, "free": 1}, probabilitiesOf(status)); diff != "" {
		t.Error(diff)
	}
	status = r.View().Live(target(t, r.View().Snapshot(), "top"))
	if diff := cmp.Diff([]live.Reason{closed("reference:top:g:1")}, status.Deployments[2].WhyNot); diff != "" || status.References[0].Closed != 40 {
		t.Error(diff, status.References)
	}
	c.Add(40 * time.Second)
	if diff := cmp.Diff(map[string]float64{"a": 1, "b": 0, "free": 0}, probabilitiesOf(r.View().Live(target(t, r.View().Snapshot(), "top")))); diff != "" {
		t.Error(diff)
	}
}
