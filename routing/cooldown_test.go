package routing_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/nestor-gateway/nestor/routing"
)

// cooldowns is a config of one group of two deployments with router settings.
func cooldowns(settings string) string {
	return `
model_list:
  - {model_name: g, litellm_params: {model: openai/a}, model_info: {id: a}}
  - {model_name: g, litellm_params: {model: openai/b, cooldown_time: 60}, model_info: {id: b}}
  - {model_name: g, litellm_params: {model: openai/c, cooldown_time: 0}, model_info: {id: c}}
router_settings: {num_retries: 1` + settings + "}\n"
}

// fail counts failures of a deployment and returns for how long each of them cooled it.
func fail(t *testing.T, r server, id string, failures ...routing.Failure) []time.Duration {
	t.Helper()
	d, ok := r.View().Snapshot().Deployment(id)
	if !ok {
		t.Fatalf("there is no deployment %q", id)
	}
	var cooled []time.Duration
	for _, f := range failures {
		cooled = append(cooled, r.Failed(d, f))
	}
	return cooled
}

func times(n int, f routing.Failure) []routing.Failure {
	all := make([]routing.Failure, n)
	for i := range all {
		all[i] = f
	}
	return all
}

func TestWhichFailuresCool(t *testing.T) {
	const s5 = 5 * time.Second
	status := func(class routing.Class, status int) routing.Failure {
		return routing.Failure{Class: class, Status: status}
	}
	alone := func(f routing.Failure) routing.Failure {
		f.Alone = true
		return f
	}
	limited, down := status(routing.RateLimit, 429), status(routing.Internal, 500)
	for name, c := range map[string]struct {
		settings string
		failures []routing.Failure
		want     []time.Duration
	}{
		"429 at once":                        {"", times(1, limited), []time.Duration{s5}},
		"429 of the only deployment never":   {"", times(6, alone(limited)), make([]time.Duration, 6)},
		"401, 402 and 404 at once":           {"", []routing.Failure{status(routing.Authentication, 401), status(routing.BadRequest, 402), status(routing.NotFound, 404)}, []time.Duration{s5, s5, s5}},
		"401 of the only deployment too":     {"", times(1, alone(status(routing.Authentication, 401))), []time.Duration{s5}},
		"402 of the only deployment never":   {"", times(1, alone(status(routing.BadRequest, 402))), []time.Duration{0}},
		"500 from the fifth in a minute":     {"", times(6, down), []time.Duration{0, 0, 0, 0, s5, s5}},
		"connection errors count like 500":   {"", times(5, status(routing.Connection, 0)), []time.Duration{0, 0, 0, 0, s5}},
		"timeouts count like 500":            {"", times(5, status(routing.Timeout, 408)), []time.Duration{0, 0, 0, 0, s5}},
		"500 of the only deployment never":   {"", times(6, alone(down)), make([]time.Duration, 6)},
		"400, 403, 409 never":                {"", append(times(3, status(routing.BadRequest, 400)), status(routing.PermissionDenied, 403), status(routing.Conflict, 409)), make([]time.Duration, 5)},
		"a fault of the request is none":     {", allowed_fails: 0", []routing.Failure{status(routing.ContextWindow, 500), status(routing.ContentPolicy, 404)}, make([]time.Duration, 2)},
		"what the body says counts":          {"", []routing.Failure{status(routing.Authentication, 400), status(routing.RateLimit, 413)}, []time.Duration{s5, s5}},
		"a model that is not there too":      {"", []routing.Failure{status(routing.NotFound, 400)}, []time.Duration{s5}},
		"a redirect is like 404":             {"", []routing.Failure{status(routing.NotFound, 302)}, []time.Duration{s5}},
		"what the upstream asks for":         {"", times(1, routing.Failure{Class: routing.RateLimit, Status: 429, RetryAfter: 7 * time.Second}), []time.Duration{7 * time.Second}},
		"the router's cooldown_time":         {", cooldown_time: 2", times(1, limited), []time.Duration{2 * time.Second}},
		"disabled":                           {", disable_cooldowns: true", times(9, limited), make([]time.Duration, 9)},
		"more than allowed_fails":            {", allowed_fails: 1", times(3, down), []time.Duration{0, s5, s5}},
		"allowed_fails is for 429 too":       {", allowed_fails: 1", times(2, limited), []time.Duration{0, s5}},
		"allowed_fails by class":             {", allowed_fails_policy: {RateLimitErrorAllowedFails: 0}", []routing.Failure{down, limited}, []time.Duration{0, s5}},
		"a class without a policy: 3":        {", allowed_fails_policy: {RateLimitErrorAllowedFails: 9}", times(4, down), []time.Duration{0, 0, 0, s5}},
		"503 has a class of its own":         {", allowed_fails_policy: {ServiceUnavailableErrorAllowedFails: 0}", []routing.Failure{down, status(routing.Internal, 503)}, []time.Duration{0, s5}},
		"no class of a policy for 400 helps": {", allowed_fails_policy: {BadRequestErrorAllowedFails: 0}", times(2, status(routing.BadRequest, 400)), make([]time.Duration, 2)},
	} {
		t.Run(name, func(t *testing.T) {
			r := serve(snapshot(t, cooldowns(c.settings)))
			if diff := cmp.Diff(c.want, fail(t, r, "a", c.failures...)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestOwnCooldownTimeComesFirst(t *testing.T) {
	r := serve(snapshot(t, cooldowns("")))
	f := routing.Failure{Class: routing.RateLimit, Status: 429, RetryAfter: 7 * time.Second}
	if diff := cmp.Diff([]time.Duration{time.Minute}, fail(t, r, "b", f)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]time.Duration{0}, fail(t, r, "c", f)); diff != "" {
		t.Errorf("cooldown_time 0: %s", diff)
	}
}

func TestHalfOfTheRequestsMayFail(t *testing.T) {
	r := serve(snapshot(t, cooldowns("")))
	down := routing.Failure{Class: routing.Internal, Status: 500}
	for range 5 {
		r.Succeeded("a")
	}
	want := []time.Duration{0, 0, 0, 0, 0, 5 * time.Second}
	if diff := cmp.Diff(want, fail(t, r, "a", times(6, down)...)); diff != "" {
		t.Error(diff)
	}
}

func TestFailuresOfAnotherMinuteDoNotCount(t *testing.T) {
	r := serve(snapshot(t, cooldowns("")))
	down := routing.Failure{Class: routing.Internal, Status: 500}
	fail(t, r, "a", times(4, down)...)
	r.clock.Add(time.Minute)
	if diff := cmp.Diff([]time.Duration{0}, fail(t, r, "a", down)); diff != "" {
		t.Error(diff)
	}
}

func TestTheOnlyDeploymentCoolsWhenAThousandFailWithoutASuccess(t *testing.T) {
	r := serve(snapshot(t, cooldowns("")))
	down := routing.Failure{Class: routing.Internal, Status: 500, Alone: true}
	cooled := fail(t, r, "a", times(1000, down)...)
	want := make([]time.Duration, 1000)
	want[999] = 5 * time.Second
	if diff := cmp.Diff(want, cooled); diff != "" {
		t.Error(diff)
	}
}

func TestLaterEndOfTwoCooldownsCounts(t *testing.T) {
	r := serve(snapshot(t, cooldowns("")))
	limited := func(after time.Duration) routing.Failure {
		return routing.Failure{Class: routing.RateLimit, Status: 429, RetryAfter: after}
	}
	fail(t, r, "a", limited(20*time.Second), limited(time.Second))
	to := target(t, r.View().Snapshot(), "g")
	r.clock.Add(10 * time.Second)
	if n := sample(t, r.View(), to, 100, routing.Query{})["a"]; n > 0 {
		t.Errorf("picked %d times while cooling", n)
	}
	r.clock.Add(10 * time.Second)
	if n := sample(t, r.View(), to, 100, routing.Query{})["a"]; n == 0 {
		t.Error("never picked after its cooldown")
	}
}
