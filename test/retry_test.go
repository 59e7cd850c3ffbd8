package test

import (
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// firstAndSecond always begins with "first": orders make the choice certain.
const firstAndSecond = `
model_list:
  - model_name: pair
    litellm_params: {model: openai/m, api_base: $A/v1, api_key: k, order: 1}
    model_info: {id: first}
  - model_name: pair
    litellm_params: {model: openai/m, api_base: $B/v1, api_key: k, order: 2}
    model_info: {id: second}
  - model_name: alone
    litellm_params: {model: openai/m, api_base: $A/v1, api_key: k}
    model_info: {id: lonely}
router_settings:
  disable_cooldowns: true
`

// calls are those that two providers got since the last look.
func calls(a, b *upstream) [2]int {
	n := [2]int{a.total(), b.total()}
	a.Reset()
	b.Reset()
	return n
}

func TestAFailedAttemptGoesToAnotherDeployment(t *testing.T) {
	t.Parallel()
	a, b := provide(t, "a"), provide(t, "b")
	g := run(t, yaml(firstAndSecond, a, b))
	for _, plan := range []string{
		"status=408", "status=409", "status=429", "status=500", "status=502;body=html", "status=503;body=empty", "status=504",
		"status=401", "status=403", "reset", "reset;fin",
	} {
		t.Run(plan, func(t *testing.T) {
			for _, fields := range []string{"", asStream} {
				got := g.post("/v1/chat/completions", ask("pair", plan+";for=a", fields))
				if got.Status != http.StatusOK {
					t.Fatalf("status %d: %s", got.Status, got.Body)
				}
				want := map[string]string{"id": "second", "retries": "1", "fallbacks": "0"}
				if diff := cmp.Diff(want, origin(got)); diff != "" {
					t.Errorf("(-want +got):\n%s", diff)
				}
				if n := calls(a, b); n != [2]int{1, 1} {
					t.Errorf("%v calls, want one each", n)
				}
			}
		})
	}
}

// origin is what the headers say about the way of an answer.
func origin(r reply) map[string]string {
	return map[string]string{
		"id": r.Header.Get("X-Litellm-Model-Id"), "retries": r.Header.Get("X-Litellm-Attempted-Retries"),
		"fallbacks": r.Header.Get("X-Litellm-Attempted-Fallbacks"),
	}
}

func TestWhatIsTheClientsFaultIsNotRetried(t *testing.T) {
	t.Parallel()
	a, b := provide(t, "a"), provide(t, "b")
	g := run(t, yaml(firstAndSecond, a, b))
	for _, status := range []int{400, 413, 422} {
		got := g.chat("pair", "status="+strconv.Itoa(status))
		if n := calls(a, b); got.Status != status || n != [2]int{1, 0} {
			t.Errorf("status %d after %v calls, want %d after one", got.Status, n, status)
		}
	}
	for _, status := range []int{401, 403} {
		got := g.chat("alone", "status="+strconv.Itoa(status))
		if n := calls(a, b); got.Status != status || n != [2]int{1, 0} {
			t.Errorf("the only deployment: status %d after %v calls, want %d after one", got.Status, n, status)
		}
	}
}

func TestTheOnlyDeploymentIsTriedAgainAfterAPause(t *testing.T) {
	t.Parallel()
	a, b := provide(t, "a"), provide(t, "b")
	g := run(t, yaml(firstAndSecond, a, b))
	got := g.chat("alone", "status=500;times=2").succeeds(t)
	if diff := cmp.Diff(map[string]string{"id": "lonely", "retries": "2", "fallbacks": "0"}, origin(got)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	at := a.Report().Requests
	if len(at) != 3 {
		t.Fatalf("%d calls, want 3", len(at))
	}
	for i := 1; i < 3; i++ {
		if pause := at[i].At.Sub(at[i-1].At); pause < 50*time.Millisecond || pause > 2500*time.Millisecond {
			t.Errorf("pause %d lasted %v, want a back-off of at most 2 s", i, pause)
		}
	}
}

func TestTheLastFailurePassesThrough(t *testing.T) {
	t.Parallel()
	a, b := provide(t, "a"), provide(t, "b")
	g := run(t, yaml(firstAndSecond+"  num_retries: 1\n", a, b))
	got := g.chat("pair", "status=502;retry-after=7;header=X-From:a provider")
	want := `{"error":{"message":"mock: 502 Bad Gateway","type":"server_error","param":null,"code":null}}`
	if got.Status != http.StatusBadGateway || got.Body != want || got.Header.Get("Retry-After") != "7" {
		t.Errorf("status %d, retry-after %q, body %s", got.Status, got.Header.Get("Retry-After"), got.Body)
	}
	if got.Header.Get("X-From") != "a provider" || got.Header.Get("X-Litellm-Model-Id") != "second" {
		t.Errorf("not the last failure: %v", got.Header)
	}
	if n := calls(a, b); n != [2]int{1, 1} {
		t.Errorf("%v calls, want one each", n)
	}
}

func TestNumRetriesBoundsTheAttempts(t *testing.T) {
	t.Parallel()
	a, b := provide(t, "a"), provide(t, "b")
	g := run(t, yaml(firstAndSecond+"  num_retries: 3\n", a, b))
	tests := []struct {
		name    string
		body    string
		headers []string
		want    int
	}{
		{"as configured", ask("alone", "status=500"), nil, 4},
		{"the client's header", ask("alone", "status=500"), []string{"X-Litellm-Num-Retries", "1"}, 2},
		{"the client's field", ask("alone", "status=500", `,"num_retries":0`), nil, 1},
		{"no more than configured", ask("alone", "status=500", `,"num_retries":19`), nil, 4},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got := g.post("/v1/chat/completions", test.body, test.headers...)
			if n := calls(a, b); got.Status != http.StatusInternalServerError || n != [2]int{test.want, 0} {
				t.Errorf("status %d after %v calls, want 500 after %d", got.Status, n, test.want)
			}
			if retries := got.Header.Get("X-Litellm-Attempted-Retries"); retries != strconv.Itoa(test.want-1) {
				t.Errorf("x-litellm-attempted-retries: %s, want %d", retries, test.want-1)
			}
		})
	}
}

func TestARetryPolicyCountsByKindOfFailure(t *testing.T) {
	t.Parallel()
	a, b := provide(t, "a"), provide(t, "b")
	g := run(t, yaml(firstAndSecond+`  num_retries: 2
  retry_policy: {InternalServerErrorRetries: 0, RateLimitErrorRetries: 1}
`, a, b))
	for status, want := range map[int]int{500: 1, 429: 2} {
		got := g.chat("alone", "status="+strconv.Itoa(status))
		if n := calls(a, b); got.Status != status || n != [2]int{want, 0} {
			t.Errorf("status %d after %v calls, want %d after %d", got.Status, n, status, want)
		}
	}
}

func TestADeploymentThatCannotBeReachedIsLeftForAnother(t *testing.T) {
	t.Parallel()
	b := provide(t, "b")
	nobody := &upstream{url: "http://" + freeAddresses(t, 1)[0]}
	g := run(t, yaml(firstAndSecond, nobody, b))
	got := g.chat("pair", "").succeeds(t)
	if diff := cmp.Diff(map[string]string{"id": "second", "retries": "1", "fallbacks": "0"}, origin(got)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

const impatient = `
model_list:
  - model_name: pair
    litellm_params: {model: openai/m, api_base: $A/v1, api_key: k, order: 1, timeout: 0.4, stream_timeout: 0.3}
    model_info: {id: first}
  - model_name: pair
    litellm_params: {model: openai/m, api_base: $B/v1, api_key: k, order: 2}
    model_info: {id: second}
router_settings:
  disable_cooldowns: true
`

func TestATimeoutIsRetriedElsewhere(t *testing.T) {
	t.Parallel()
	a, b := provide(t, "a"), provide(t, "b")
	g := run(t, yaml(impatient, a, b))
	for name, fields := range map[string]string{"whole answers": "", "streams until their headers": asStream} {
		t.Run(name, func(t *testing.T) {
			before := time.Now()
			got := g.post("/v1/chat/completions", ask("pair", "delay=20s;for=a", fields))
			took := time.Since(before)
			if got.Status != http.StatusOK || origin(got)["id"] != "second" {
				t.Errorf("status %d from %q: %s", got.Status, origin(got)["id"], got.Body)
			}
			if took < 250*time.Millisecond || took > 5*time.Second {
				t.Errorf("took %v, want the timeout and little more", took)
			}
			if n := calls(a, b); n != [2]int{1, 1} {
				t.Errorf("%v calls, want one each", n)
			}
		})
	}
}

func TestAClientMayShortenTheTimeout(t *testing.T) {
	t.Parallel()
	a, b := provide(t, "a"), provide(t, "b")
	g := run(t, yaml(firstAndSecond+"  timeout: 10\n", a, b))
	for name, send := range map[string]func() reply{
		"by header": func() reply { return g.chat("pair", "delay=20s;for=a", "X-Litellm-Timeout", "0.3") },
		"by field":  func() reply { return g.post("/v1/chat/completions", ask("pair", "delay=20s;for=a", `,"timeout":0.3`)) },
	} {
		t.Run(name, func(t *testing.T) {
			before := time.Now()
			got := send().succeeds(t)
			if took := time.Since(before); took > 5*time.Second || origin(got)["id"] != "second" {
				t.Errorf("took %v, answered by %q", took, origin(got)["id"])
			}
			calls(a, b)
		})
	}
}

func TestATimeoutOfEveryAttemptIs504OrLikeIt(t *testing.T) {
	t.Parallel()
	a, b := provide(t, "a"), provide(t, "b")
	g := run(t, yaml(firstAndSecond, a, b))
	got := g.chat("pair", "delay=20s", "X-Litellm-Timeout", "0.2", "X-Litellm-Num-Retries", "1")
	if got.Status != http.StatusGatewayTimeout && got.Status != http.StatusRequestTimeout {
		t.Errorf("status %d, want 504 or 408", got.Status)
	}
	got.problem(t)
	if n := calls(a, b); n != [2]int{1, 1} {
		t.Errorf("%v calls, want one each", n)
	}
}

func TestAStreamThatBrokeOffIsNotPaidTwice(t *testing.T) {
	t.Parallel()
	a, b := provide(t, "a"), provide(t, "b")
	g := run(t, yaml(firstAndSecond, a, b))
	for _, plan := range []string{"cut=300", "cut=300;fin", "cut=0"} {
		got, err := do(httpClient(t), http.MethodPost, g.url+"/v1/chat/completions", ask("pair", plan, asStream))
		if err == nil {
			t.Errorf("%s: the client cannot tell that the stream broke off: %+v", plan, got)
		}
		if n := calls(a, b); got.Status != http.StatusOK || n != [2]int{1, 0} {
			t.Errorf("%s: status %d after %v calls, want 200 after one", plan, got.Status, n)
		}
	}
	g.settles("nestor_attempts_total", samples{`nestor_attempts_total{deployment="first",outcome="cut",status="200"}`: 3})
}

func TestAStreamThatFallsSilentIsCut(t *testing.T) {
	t.Parallel()
	a, b := provide(t, "a"), provide(t, "b")
	g := run(t, yaml(impatient, a, b))
	before := time.Now()
	got, err := do(httpClient(t), http.MethodPost, g.url+"/v1/chat/completions", ask("pair", "stall=2;for=a", asStream))
	took := time.Since(before)
	// stream_timeout is 0.3 s; the next idle route above it allows 1 s.
	if err == nil || took < 700*time.Millisecond || took > 4*time.Second {
		t.Errorf("ended after %v with %v: %+v", took, err, got)
	}
	if text, _ := spoken(got.Body); !strings.HasPrefix(text, "Nestor carries ") {
		t.Errorf("what came before the silence is lost: %q", got.Body)
	}
	if n := calls(a, b); n != [2]int{1, 0} {
		t.Errorf("%v calls, want one", n)
	}
}
