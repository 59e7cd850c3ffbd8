package extproc

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	"github.com/google/go-cmp/cmp"

	nestorv1 "github.com/nestor-gateway/nestor/proto/nestor/v1"
	"github.com/nestor-gateway/nestor/ratelimit"
)

// one is a group of one deployment with limits.
func one(limits string) string {
	return fmt.Sprintf(`
model_list:
  - model_name: fast
    litellm_params: {model: openai/gpt-4o, api_base: "http://127.0.0.1:9999/v1", api_key: k, %s}
    model_info: {id: d1}
`, limits)
}

// asked runs a decision exchange of its own request.
func asked(t *testing.T, s *Server, request, body string) *extprocv3.ProcessingResponse {
	t.Helper()
	return decideFor(t, s, map[string]string{nestorv1.HeaderRequest: request}, body)
}

func errorIn(t *testing.T, r *extprocv3.ProcessingResponse) (e struct{ Message, Type, Code string }) {
	t.Helper()
	var body struct {
		Error struct{ Message, Type, Code string }
	}
	if err := json.Unmarshal(r.GetImmediateResponse().GetBody(), &body); err != nil {
		t.Fatalf("%v: %v", r, err)
	}
	return body.Error
}

var limitNames = []string{
	"retry-after", "retry-after-ms", "x-should-retry",
	nestorv1.HeaderLimitRequests, nestorv1.HeaderRemainingRequests, nestorv1.HeaderResetRequests,
	nestorv1.HeaderLimitTokens, nestorv1.HeaderRemainingTokens, nestorv1.HeaderResetTokens,
}

func TestTheLimitsOnTheWayAreTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for limits, want := range map[string]map[string]any{
			"rpm: 5":                   {"limit_requests": "5", "remaining_requests": "4", "reset_requests": "1m0s"},
			"tpm: 3000":                {"limit_tokens": "3000", "remaining_tokens": "1968", "reset_tokens": "1m0s"},
			"max_parallel_requests: 3": {},
		} {
			s := fixture(t, one(limits))
			got := map[string]any{}
			for key, v := range asked(t, s, "r", chat).GetDynamicMetadata().GetFields()[nestorv1.Namespace].GetStructValue().AsMap() {
				if strings.HasPrefix(key, "limit") || strings.HasPrefix(key, "remaining") || strings.HasPrefix(key, "reset") {
					got[key] = v
				}
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s (-want +got):\n%s", limits, diff)
			}
		}
	})
}

func TestAFullGroupIsRefusedWithTheTimeToWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for limits, want := range map[string]struct {
			headers       map[string]string
			message, kind string
		}{
			"rpm: 1": {map[string]string{
				"retry-after": "59", "retry-after-ms": "59000",
				"x-ratelimit-limit-requests": "1", "x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "59s",
			}, "No deployments available for selected model, Try again in 59 seconds. Passed model=fast. Rate limit reached on requests per min (RPM): Limit 1, Remaining 0.", "requests"},
			"tpm: 2000": {map[string]string{
				"retry-after": "59", "retry-after-ms": "59000",
				"x-ratelimit-limit-tokens": "2000", "x-ratelimit-remaining-tokens": "968", "x-ratelimit-reset-tokens": "59s",
			}, "No deployments available for selected model, Try again in 59 seconds. Passed model=fast. Rate limit reached on tokens per min (TPM): Limit 2000, Remaining 968.", "tokens"},
		} {
			s := fixture(t, one(limits))
			asked(t, s, "r1", chat)
			time.Sleep(time.Second)
			refusal := asked(t, s, "r2", chat)
			if refusal.GetImmediateResponse().GetStatus().GetCode() != 429 {
				t.Fatalf("%s: got %v", limits, refusal)
			}
			if diff := cmp.Diff(want.headers, headersOfRefusal(refusal, limitNames...)); diff != "" {
				t.Errorf("%s: headers (-want +got):\n%s", limits, diff)
			}
			e := errorIn(t, refusal)
			if e.Message != want.message || e.Type != want.kind || e.Code != "rate_limit_exceeded" {
				t.Errorf("%s: error %+v, want %q", limits, e, want.message)
			}
		}
	})
}

func TestWhatIsRefusedSucceedsAfterTheTimeToWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := fixture(t, one("rpm: 1"))
		asked(t, s, "r1", chat)
		ms := headersOfRefusal(asked(t, s, "r2", chat), "retry-after-ms")["retry-after-ms"]
		wait, err := time.ParseDuration(ms + "ms")
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(wait)
		if r := asked(t, s, "r3", chat); r.GetImmediateResponse() != nil {
			t.Errorf("refused after %v: %s", wait, r.GetImmediateResponse().GetBody())
		}
	})
}

func TestARequestLargerThanItsLimitIsNotToBeTriedAgain(t *testing.T) {
	s := fixture(t, one("tpm: 1000"))
	refusal := asked(t, s, "r", `{"model":"fast","messages":["`+strings.Repeat("word ", 1000)+`"]}`)
	want := map[string]string{
		"x-should-retry":           "false",
		"x-ratelimit-limit-tokens": "1000", "x-ratelimit-remaining-tokens": "1000", "x-ratelimit-reset-tokens": "0ms",
	}
	if diff := cmp.Diff(want, headersOfRefusal(refusal, limitNames...)); diff != "" {
		t.Errorf("headers (-want +got):\n%s", diff)
	}
	if e := errorIn(t, refusal); !strings.HasPrefix(e.Message, "Request too large for fast on tokens per min (TPM): Limit 1000, Requested 2") || e.Type != "tokens" {
		t.Errorf("error %+v", e)
	}
}

// Otherwise a limit under the estimate would admit nothing, ever, and nothing would be learned.
func TestAGuessLargerThanTheLimitTakesTheWholeLimit(t *testing.T) {
	s, l := limited(t, one("tpm: 100"))
	a := begin(t, s, nil, chat)
	if got := l.used(t, leaf); got[ratelimit.Tokens] != 100 {
		t.Errorf("held %v, want the limit", got)
	}
	a.ended(t, s, how{status: 200, usage: tokens(8, 20)})
	if got := l.used(t, leaf); got != (ratelimit.Amounts{1, 28, 0}) {
		t.Errorf("used %v", got)
	}
}

func TestEstimatesAreLearned(t *testing.T) {
	s, l := limited(t, one("tpm: 100000"))
	for n := range 200 {
		a := begin(t, s, map[string]string{nestorv1.HeaderRequest: fmt.Sprint(n)}, chat)
		a.ended(t, s, how{status: 200, usage: tokens(8, 50)})
	}
	before := l.used(t, leaf)[ratelimit.Tokens]
	begin(t, s, nil, chat)
	if got := l.used(t, leaf)[ratelimit.Tokens] - before; got < 58 || got > 70 {
		t.Errorf("held %d of the next one, want about 58", got)
	}
	before = l.used(t, leaf)[ratelimit.Tokens]
	begin(t, s, map[string]string{nestorv1.HeaderRequest: "last"}, `{"model":"fast","messages":[],"max_tokens":5,"n":2}`)
	if got := l.used(t, leaf)[ratelimit.Tokens] - before; got != 13+10 {
		t.Errorf("held %d, want the request's own bound twice and its 51 bytes", got)
	}
}

func TestEmbeddingsHoldTheirInputAlone(t *testing.T) {
	s, l := limited(t, one("tpm: 100000"))
	a := begin(t, s, map[string]string{":path": "/v1/embeddings"}, `{"model":"fast","input":["`+strings.Repeat("word ", 100)+`"]}`)
	if got := l.used(t, leaf)[ratelimit.Tokens]; got != 133 {
		t.Errorf("held %d of 532 bytes", got)
	}
	a.ended(t, s, how{status: 200, sent: 100_000, usage: map[string]any{"prompt_tokens": 101, "total_tokens": 101}})
	if got := l.used(t, leaf)[ratelimit.Tokens]; got != 101 {
		t.Errorf("used %d", got)
	}
}

const fallingBack = `
model_list:
  - {model_name: fast, litellm_params: {model: openai/a, api_base: "http://127.0.0.1:1/v1", api_key: k, rpm: 1}, model_info: {id: a}}
  - {model_name: slow, litellm_params: {model: openai/b, api_base: "http://127.0.0.1:2/v1", api_key: k, max_parallel_requests: 1}, model_info: {id: b}}
litellm_settings: {fallbacks: [{fast: [slow]}]}
`

func TestAFullGroupGoesToItsFallbacks(t *testing.T) {
	s, l := limited(t, fallingBack)
	asked(t, s, "r1", chat)
	if d := decisionIn(t, asked(t, s, "r2", chat)); d.Deployment != "b" || d.Fallbacks != 1 {
		t.Errorf("decision %v, want the fallback", d)
	}
	refusal := asked(t, s, "r3", chat)
	if e := errorIn(t, refusal); !strings.Contains(e.Message, "requests per min (RPM): Limit 1") {
		t.Errorf("error %+v, want that of the group that was called", e)
	}
	if got := l.used(t, "deployment:b"); got[ratelimit.Parallel] != 1 {
		t.Errorf("used %v of the fallback", got)
	}
	if got := valueOf(t, s.Metrics.denials.WithLabelValues("fast", "requests")); got != 2 {
		t.Errorf("%v denials counted", got)
	}
}

const pair = `
model_list:
  - {model_name: fast, litellm_params: {model: openai/a, api_base: "http://127.0.0.1:1/v1", api_key: k}, model_info: {id: a}}
  - {model_name: fast, litellm_params: {model: openai/b, api_base: "http://127.0.0.1:2/v1", api_key: k}, model_info: {id: b}}
`

// A 429 that says until when is no fault: the deployment does not cool, and is not picked until then.
func TestAProvidersOwnLimitClosesItUntilItSays(t *testing.T) {
	for name, headers := range map[string]map[string]string{
		"retry-after":        {"retry-after": "30"},
		"reset of requests":  {"llm_provider-x-ratelimit-remaining-requests": "0", "llm_provider-x-ratelimit-reset-requests": "30s"},
		"reset of tokens":    {"llm_provider-x-ratelimit-remaining-tokens": "12", "llm_provider-x-ratelimit-reset-tokens": "30"},
		"Anthropic's own":    {"anthropic-ratelimit-requests-remaining": "0", "anthropic-ratelimit-requests-reset": "2000-01-01T00:00:30Z"},
		"time on both sides": {"retry-after": "30", "llm_provider-x-ratelimit-remaining-requests": "0", "llm_provider-x-ratelimit-reset-requests": "6m0s"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { // whose time begins at 2000-01-01
				s := fixture(t, pair)
				a := begin(t, s, nil, chat)
				first := decisionIn(t, &extprocv3.ProcessingResponse{DynamicMetadata: a.decision}).Deployment
				if reply := a.failed(t, s, how{status: 429, details: "via_upstream"}, headers); !isMarked(reply) {
					t.Fatalf("not tried elsewhere: %v", reply)
				}
				if _, cooling := s.Router.CoolingUntil(first); cooling {
					t.Error("the deployment cools")
				}
				went := func() (n int) {
					for i := range 40 {
						if decisionIn(t, asked(t, s, fmt.Sprint(name, time.Now(), i), chat)).Deployment == first {
							n++
						}
					}
					return n
				}
				time.Sleep(29 * time.Second)
				if n := went(); n > 0 {
					t.Errorf("%d of 40 requests went to it after 29 s", n)
				}
				time.Sleep(time.Second)
				if n := went(); n == 0 {
					t.Error("none of 40 requests went to it after 30 s")
				}
			})
		})
	}
}

func TestA429ThatSaysNothingCoolsItsDeployment(t *testing.T) {
	for name, headers := range map[string]map[string]string{
		"nothing":               nil,
		"enough left":           {"llm_provider-x-ratelimit-remaining-requests": "10", "llm_provider-x-ratelimit-reset-requests": "30s"},
		"Azure, that knows not": {"llm_provider-x-ratelimit-remaining-tokens": "-1", "llm_provider-x-ratelimit-reset-tokens": "0"},
		"Nestor's own":          {"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "30s"},
	} {
		s := fixture(t, pair)
		a := begin(t, s, nil, chat)
		a.failed(t, s, how{status: 429, details: "via_upstream"}, headers)
		first := decisionIn(t, &extprocv3.ProcessingResponse{DynamicMetadata: a.decision}).Deployment
		if _, cooling := s.Router.CoolingUntil(first); !cooling {
			t.Errorf("%s: the deployment does not cool", name)
		}
	}
}

func TestALoneDeploymentIsWaitedForOnlyAsLongAsBackOffTakes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for seconds, again := range map[string]bool{"1": true, "30": false} {
			s := fixture(t, oneDeployment)
			a := begin(t, s, nil, chat)
			reply := a.failed(t, s, how{status: 429, details: "via_upstream"}, map[string]string{"retry-after": seconds})
			if isMarked(reply) != again {
				t.Errorf("retry-after %s: tried again %v, want %v", seconds, !again, again)
			}
			if again {
				begin(t, s, map[string]string{nestorv1.HeaderAttempt: "2"}, chat)
			}
		}
	})
}

func TestAProbeIsWithinTheLimits(t *testing.T) {
	s, l := limited(t, one("rpm: 1"))
	probe := map[string]string{"authorization": "", nestorv1.HeaderProbe: "probe-secret", nestorv1.HeaderRequest: "p"}
	a := begin(t, s, probe, `{"model":"d1","messages":[]}`)
	a.ended(t, s, how{status: 200, usage: tokens(1, 1)})
	if got := l.used(t, leaf); got != (ratelimit.Amounts{1, 2, 0}) {
		t.Errorf("used %v, want the probe", got)
	}
	probe[nestorv1.HeaderRequest] = "q"
	if r := decideFor(t, s, probe, `{"model":"d1","messages":[]}`); r.GetImmediateResponse() == nil {
		t.Error("a probe passed for which there was no room")
	}
	if r := asked(t, s, "r", chat); r.GetImmediateResponse() == nil {
		t.Error("a request passed where a probe had taken what was left")
	}
}

// Envoy's entry comes some 20 ms after the client has read the answer.
func TestAClientThatAsksOneAfterTheOtherIsNeverRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, l := limited(t, one("max_parallel_requests: 1"))
		for n := range 20 {
			a := begin(t, s, map[string]string{nestorv1.HeaderRequest: fmt.Sprint(n)}, chat)
			time.AfterFunc(25*time.Millisecond, func() { a.ended(t, s, how{status: 200, usage: tokens(1, 1)}) })
		}
		synctest.Wait()
		if got := l.used(t, leaf)[ratelimit.Parallel]; got != 1 {
			t.Errorf("%d in flight, want the last", got)
		}
	})
}

func TestAPlaceInFlightIsNotWaitedForLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, l := limited(t, one("max_parallel_requests: 1, rpm: 5"))
		asked(t, s, "r1", chat)
		begin := time.Now()
		if r := asked(t, s, "r2", chat); r.GetImmediateResponse().GetStatus().GetCode() != 429 {
			t.Errorf("answered %v", r)
		}
		if got := time.Since(begin); got != 150*time.Millisecond {
			t.Errorf("waited %v", got)
		}
		if got := l.used(t, leaf); got[ratelimit.Requests] != 1 || got[ratelimit.Parallel] != 1 {
			t.Errorf("used %v, want that of the first alone", got)
		}
	})
}
