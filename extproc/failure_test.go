package extproc

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	"github.com/google/go-cmp/cmp"

	"github.com/nestor-gateway/nestor/extproc/message"
	"github.com/nestor-gateway/nestor/extproc/retry"
	nestorv1 "github.com/nestor-gateway/nestor/proto/nestor/v1"
	"github.com/nestor-gateway/nestor/routing"
)

const twoGroups = `
model_list:
  - {model_name: fast, litellm_params: {model: openai/a, api_base: "http://127.0.0.1:1/v1", api_key: k}, model_info: {id: a}}
  - {model_name: fast, litellm_params: {model: openai/b, api_base: "http://127.0.0.1:2/v1", api_key: k}, model_info: {id: b}}
  - {model_name: slow, litellm_params: {model: openai/c, api_base: "http://127.0.0.1:3/v1", api_key: k}, model_info: {id: c}}
  - {model_name: long, litellm_params: {model: openai/l, api_base: "http://127.0.0.1:4/v1", api_key: k}, model_info: {id: l}}
  - {model_name: lax, litellm_params: {model: openai/x, api_base: "http://127.0.0.1:5/v1", api_key: k}, model_info: {id: x}}
router_settings: {num_retries: 2}
litellm_settings:
  fallbacks: [{fast: [slow]}]
  context_window_fallbacks: [{fast: [long]}]
  content_policy_fallbacks: [{fast: [lax]}]
`

// attempts plays a request whose every attempt fails in the same way, and returns the
// deployments it went to and the last reply.
func attempts(t *testing.T, s *Server, headers map[string]string, body string, fail func(decision *extprocv3.ProcessingResponse) []*extprocv3.ProcessingRequest) ([]string, *extprocv3.ProcessingResponse) {
	t.Helper()
	var went []string
	for n := 1; ; n++ {
		more := map[string]string{"x-envoy-attempt-count": itoa(n)}
		for k, v := range headers {
			more[k] = v
		}
		decision := decideFor(t, s, more, body)
		went = append(went, decisionIn(t, decision).Deployment)
		last := exchange(t, s, fail(decision)...).last()
		if !isMarked(last) {
			return went, last
		}
		if n > 30 {
			t.Fatal("the attempts never end")
		}
	}
}

func itoa(n int) string {
	b, _ := json.Marshal(n)
	return string(b)
}

func failing(code, body string) func(*extprocv3.ProcessingResponse) []*extprocv3.ProcessingRequest {
	return func(d *extprocv3.ProcessingResponse) []*extprocv3.ProcessingRequest {
		if body == "" {
			return []*extprocv3.ProcessingRequest{failureOf(d.DynamicMetadata, code, true, nil)}
		}
		return []*extprocv3.ProcessingRequest{failureOf(d.DynamicMetadata, code, false, map[string]string{
			"content-type": "application/json", "content-length": itoa(len(body))}), responseBody(body)}
	}
}

const chat = `{"model":"fast","messages":[]}`

func TestFailuresGoToOtherDeploymentsThenBackThenToTheFallback(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		went, last := attempts(t, fixture(t, twoGroups), nil, chat, failing("500", `{"error":{"message":"boom"}}`))
		if len(went) != 6 {
			t.Fatalf("went to %v, want 3 attempts in fast and 3 in slow", went)
		}
		if went[0] == went[1] {
			t.Errorf("went to %v: the second attempt must take the other deployment", went)
		}
		if diff := cmp.Diff([]string{"c", "c", "c"}, went[3:]); diff != "" {
			t.Errorf("fallback (-want +got):\n%s", diff)
		}
		if waited := time.Since(begin); waited < 500*time.Millisecond || waited > 8*time.Second {
			t.Errorf("backed off for %v", waited)
		}
		if last.GetResponseBody() == nil {
			t.Errorf("the last failure must pass with its body, got %v", last)
		}
	})
}

func TestRequestFieldsBoundTheRetries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := fixture(t, twoGroups)
		went, _ := attempts(t, s, map[string]string{"x-litellm-num-retries": "0"}, chat, failing("503", ""))
		if len(went) != 2 || went[1] != "c" {
			t.Errorf("went to %v, want one attempt and the fallback", went)
		}
		went, _ = attempts(t, s, map[string]string{"x-litellm-num-retries": "9", "x-nestor-request": "r2"}, chat, failing("503", ""))
		if len(went) != 6 {
			t.Errorf("went to %v: a client may not ask for more retries than configured", went)
		}
	})
}

func TestARetryPolicyForAnAliasIsThatOfCallsByTheAlias(t *testing.T) {
	policies := strings.Replace(twoGroups, "{num_retries: 2}", `
  num_retries: 2
  model_group_alias: {once: fast, quick: fast}
  model_group_retry_policy: {once: {InternalServerErrorRetries: 0}, fast: {InternalServerErrorRetries: 1}}`, 1)
	for model, want := range map[string]int{"once": 1, "quick": 2, "fast": 2} {
		synctest.Test(t, func(t *testing.T) {
			body := strings.Replace(chat, "fast", model, 1)
			went, _ := attempts(t, fixture(t, policies), nil, body, failing("500", ""))
			if tried := slices.Index(went, "c"); tried != want {
				t.Errorf("%s went to %v, want %d attempts and the fallback", model, went, want)
			}
		})
	}
}

func TestMaxFallbacksBoundsTheGroupsThatStandIn(t *testing.T) {
	var config strings.Builder
	config.WriteString("model_list:\n")
	for _, group := range strings.Fields("fast f1 f2 f3 f4 f5 f6") {
		config.WriteString("  - {model_name: " + group + ", litellm_params: {model: openai/m, api_base: 'http://127.0.0.1:1/v1', api_key: k}, model_info: {id: " + group + "}}\n")
	}
	config.WriteString("router_settings:\n  num_retries: 0\n  fallbacks: [{fast: [f1, f2, f3, f4, f5, f6]}]\n")
	for setting, want := range map[string][]string{
		"":                                     {"fast", "f1", "f2", "f3", "f4", "f5"}, // LiteLLM's default
		"  max_fallbacks: 2":                   {"fast", "f1", "f2"},
		"  max_fallbacks: 0":                   {"fast"},
		"litellm_settings: {max_fallbacks: 1}": {"fast", "f1"},
	} {
		synctest.Test(t, func(t *testing.T) {
			went, _ := attempts(t, fixture(t, config.String()+setting), nil, chat, failing("500", ""))
			if diff := cmp.Diff(want, went); diff != "" {
				t.Errorf("%q (-want +got):\n%s", setting, diff)
			}
		})
	}
}

func TestRetryAfterIsHowLongAFailedDeploymentIsLeftAlone(t *testing.T) {
	for own, want := range map[string]time.Duration{"": 40 * time.Second, ", cooldown_time: 3": 3 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			s := fixture(t, `
model_list:
  - {model_name: fast, litellm_params: {model: openai/a, api_base: "http://127.0.0.1:1/v1", api_key: k, order: 1`+own+`}, model_info: {id: a}}
  - {model_name: fast, litellm_params: {model: openai/b, api_base: "http://127.0.0.1:2/v1", api_key: k, order: 2}, model_info: {id: b}}
router_settings: {allowed_fails: 0, cooldown_time: 90}
`)
			requests := 0
			pick := func() *extprocv3.ProcessingResponse {
				requests++
				return decideFor(t, s, map[string]string{"x-nestor-request": "r" + itoa(requests)}, chat)
			}
			failed := pick()
			exchange(t, s, failureOf(failed.DynamicMetadata, "503", true, map[string]string{"retry-after": "40"}))
			went := []string{decisionIn(t, failed).Deployment}
			for _, wait := range []time.Duration{0, want - time.Nanosecond, time.Nanosecond} {
				time.Sleep(wait)
				went = append(went, decisionIn(t, pick()).Deployment)
			}
			if diff := cmp.Diff([]string{"a", "b", "b", "a"}, went); diff != "" {
				t.Errorf("%q: at first, then at once, before and after %v (-want +got):\n%s", own, want, diff)
			}
		})
	}
}

func TestContextWindowErrorGoesToItsOwnFallback(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		body := `{"error":{"message":"This model's maximum context length is 8192 tokens","type":"invalid_request_error","param":"messages","code":"context_length_exceeded"}}`
		went, last := attempts(t, fixture(t, twoGroups), nil, chat, failing("400", body))
		if len(went) < 2 || went[1] != "l" {
			t.Fatalf("went to %v, want the long context second", went)
		}
		if got := last.GetResponseBody().GetResponse().GetBodyMutation().GetBody(); got != nil {
			t.Errorf("an OpenAI error must pass byte for byte, was replaced by %s", got)
		}
	})
}

// Providers answer with these statuses, which alone would mean another deployment and a cooldown.
func TestTheKindOfFailureIsReadFromTheBodyWhateverTheStatus(t *testing.T) {
	for _, c := range []struct{ code, body, want string }{
		{"500", `{"error":{"code":500,"message":"Context size has been exceeded.","type":"server_error"}}`, "l"}, // llama.cpp
		{"403", `{"error":{"code":403,"message":"openai/o1 requires moderation and your input was flagged for \"violence\""}}`, "x"},
		{"403", `{"code":"The caller does not have permission to execute the specified operation","error":"Content violates usage guidelines. Failed check: SAFETY_CHECK_TYPE_BIO"}`, "x"}, // xAI
		{"404", `{"error":{"message":"too long","code":"context_length_exceeded"}}`, "l"},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := fixture(t, strings.Replace(twoGroups, "num_retries: 2", "num_retries: 2, allowed_fails: 0", 1))
			went, _ := attempts(t, s, nil, chat, failing(c.code, c.body))
			if len(went) < 2 || went[1] != c.want {
				t.Fatalf("%s %s: went to %v, want %s second", c.code, c.body, went, c.want)
			}
			for _, id := range went {
				if _, cooling := s.Router.CoolingUntil(id); cooling {
					t.Errorf("%s %s: %s cools down for a fault of the request", c.code, c.body, id)
				}
			}
		})
	}
}

func TestABodyThatMayNeverEndHoldsUpNoOtherAttempt(t *testing.T) {
	for _, c := range []struct {
		status, length string
		want           bool
	}{
		{"500", "", true}, {"500", "900000", true}, {"500", "70", false},
		{"403", "", false}, {"404", "", false}, // the request is refused: its body is worth waiting for
	} {
		s := fixture(t, twoGroups)
		d := decideFor(t, s, nil, chat)
		more := map[string]string{"content-length": c.length}
		first := exchange(t, s, failureOf(d.DynamicMetadata, c.status, false, more)).replies[0]
		_, marked := setHeaders(first.GetResponseHeaders().GetResponse().GetHeaderMutation())[nestorv1.HeaderRetry]
		if marked != c.want {
			t.Errorf("%s, content-length %q: another attempt at its headers is %v, want %v", c.status, c.length, marked, c.want)
		}
	}
}

func TestAFailureWhoseKindIsNeverToldIsJudgedByItsStatus(t *testing.T) {
	for code, want := range map[string]bool{"500": true, "400": false} {
		s := fixture(t, strings.Replace(twoGroups, "num_retries: 2", "allowed_fails: 0", 1))
		d := decideFor(t, s, nil, chat)
		exchange(t, s, failureOf(d.DynamicMetadata, code, false, nil))
		if _, cooling := s.Router.CoolingUntil(decisionIn(t, d).Deployment); cooling != want {
			t.Errorf("%s: cooling is %v", code, cooling)
		}
		exchange(t, s, failureOf(nil, code, false, nil))
	}
}

// As in LiteLLM: another group may take what this one does not.
func TestARequestThatAProviderRefusesIsNotRetriedAndFallsBack(t *testing.T) {
	refused := failing("400", `{"error":{"message":"temperature is not supported","type":"invalid_request_error","param":null,"code":null}}`)
	for body, want := range map[string]int{chat: 2, `{"model":"fast","messages":[],"disable_fallbacks":true}`: 1} {
		went, last := attempts(t, fixture(t, twoGroups), nil, body, refused)
		if len(went) != want || want == 2 && went[1] != "c" {
			t.Errorf("%s: went to %v", body, went)
		}
		if m := last.GetResponseBody().GetResponse().GetBodyMutation(); m != nil {
			t.Errorf("%s: the provider's answer was replaced by %s", body, m.GetBody())
		}
	}
}

// A group that the request has been to is none to go to, by whatever name; nor is a name that means nothing.
func TestFallbacksOfTheRequestGoToNewGroupsAlone(t *testing.T) {
	s := fixture(t, strings.Replace(twoGroups, "router_settings: {", "router_settings: {model_group_alias: {quick: fast, late: slow}, ", 1))
	body := `{"model":"fast","messages":[],"num_retries":0,"fallbacks":["fast","quick","nobody","long","late","slow"]}`
	went, _ := attempts(t, s, nil, body, failing("500", `{"error":{"message":"boom"}}`))
	if len(went) == 0 {
		t.Fatal("went nowhere")
	}
	if diff := cmp.Diff([]string{"l", "c"}, went[1:]); diff != "" {
		t.Errorf("after fast (-want +got):\n%s", diff)
	}
}

func TestRefusedCredentialNeedsAnotherDeployment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		went, _ := attempts(t, fixture(t, oneDeployment), nil, chat, failing("401", ""))
		if len(went) != 1 {
			t.Errorf("went to %v: the same key would be refused again", went)
		}
	})
}

func TestFailureWithoutDecisionIsShapedAndPassed(t *testing.T) {
	w := exchange(t, fixture(t, twoGroups), failureOf(nil, "413", true, nil))
	common := w.last().GetResponseHeaders().GetResponse()
	if isMarked(w.last()) || common.GetStatus() != extprocv3.CommonResponse_CONTINUE_AND_REPLACE {
		t.Fatalf("got %v", w.last())
	}
	var body struct{ Error struct{ Message string } }
	if err := json.Unmarshal(common.GetBodyMutation().GetBody(), &body); err != nil || body.Error.Message == "" {
		t.Errorf("body %s", common.GetBodyMutation().GetBody())
	}
}

func TestProbeIsNeverRetriedOrCooled(t *testing.T) {
	s := fixture(t, oneDeployment)
	decision := decideFor(t, s, map[string]string{"x-nestor-probe": "probe-secret"}, `{"model":"d1","messages":[]}`)
	w := exchange(t, s, failureOf(decision.DynamicMetadata, "401", true, nil))
	if isMarked(w.last()) {
		t.Error("a probe was marked for another attempt")
	}
	if _, cooling := s.Router.CoolingUntil("d1"); cooling {
		t.Error("a probe cooled its deployment")
	}
}

func TestForeignErrorIsShaped(t *testing.T) {
	s := fixture(t, oneDeployment)
	decision := decideFor(t, s, map[string]string{"x-litellm-num-retries": "0"}, chat)
	w := exchange(t, s, failureOf(decision.DynamicMetadata, "400", false, map[string]string{"content-type": "text/html"}), responseBody("<html>no</html>"))
	common := w.last().GetResponseBody().GetResponse()
	headers := setHeaders(common.GetHeaderMutation())
	if headers["content-type"] != "application/json" || headers["content-length"] != itoa(len(common.GetBodyMutation().GetBody())) {
		t.Errorf("headers %v for body %s", headers, common.GetBodyMutation().GetBody())
	}
}

func TestUpstreamThatEnvoyDoesNotKnowYetCostsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := fixture(t, twoGroups)
		decision := decideFor(t, s, nil, chat)
		m := failureOf(decision.DynamicMetadata, "503", true, nil)
		m.Attributes = codeDetails(t, "cluster_not_found")
		if w := exchange(t, s, m); !isMarked(w.last()) {
			t.Fatal("not tried again")
		}
		decision = decideFor(t, s, map[string]string{"x-envoy-attempt-count": "2"}, chat)
		again := decisionIn(t, decision)
		if again.Retries != 0 || len(again.Tried) != 0 {
			t.Errorf("counted as a retry: %v", again)
		}
		time.Sleep(freshUpstream)
		m = failureOf(decision.DynamicMetadata, "503", true, nil)
		m.Attributes = codeDetails(t, "cluster_not_found")
		exchange(t, s, m)
		again = decisionIn(t, decideFor(t, s, map[string]string{"x-envoy-attempt-count": "3"}, chat))
		if again.Retries != 1 {
			t.Errorf("an upstream that stays away is a failure: %v", again)
		}
	})
}

func TestReplicaWithoutMemoryGoesOnCounting(t *testing.T) {
	s := fixture(t, twoGroups)
	first := decisionIn(t, decideFor(t, s, nil, chat))
	other := fixture(t, twoGroups)
	second := decisionIn(t, decideFor(t, other, map[string]string{"x-envoy-attempt-count": "2"}, chat))
	if second.Retries != 1 || second.Deployment == first.Deployment {
		t.Errorf("first %v, second at another replica %v", first, second)
	}
}

func TestRequestFinishesOnTheSnapshotItBeganWith(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := fixture(t, twoGroups)
		decision := decideFor(t, s, nil, chat)
		s.Router.Swap(fixture(t, oneDeployment).Router.View().Snapshot())
		if w := exchange(t, s, failureOf(decision.DynamicMetadata, "500", true, nil)); !isMarked(w.last()) {
			t.Fatal("not tried again")
		}
		again := decisionIn(t, decideFor(t, s, map[string]string{"x-envoy-attempt-count": "2"}, chat))
		if again.Deployment != "a" && again.Deployment != "b" {
			t.Errorf("went to %q of the new snapshot", again.Deployment)
		}
		next := decisionIn(t, decideFor(t, s, map[string]string{"x-nestor-request": "request-2"}, chat))
		if next.Deployment != "d1" {
			t.Errorf("a new request went to %q of the old snapshot", next.Deployment)
		}
	})
}

func TestAttemptsEnd(t *testing.T) {
	s := fixture(t, twoGroups)
	if _, ok := retry.After(s.Router.View(), &nestorv1.Decision{Group: "fast", Deployment: "a", Attempt: retry.MaxAttempts}, retry.Setback{Class: "internal", Free: true}); ok {
		t.Error("no bound on the attempts of a request")
	}
}

const threeDeployments = `
model_list:
  - {model_name: fast, litellm_params: {model: openai/a, api_base: "http://127.0.0.1:1/v1", api_key: k}, model_info: {id: a}}
  - {model_name: fast, litellm_params: {model: openai/b, api_base: "http://127.0.0.1:2/v1", api_key: k}, model_info: {id: b}}
  - {model_name: fast, litellm_params: {model: openai/c, api_base: "http://127.0.0.1:3/v1", api_key: k}, model_info: {id: c}}
`

// A replica that saw the first failure and not the second one must not go by what it remembers alone.
func TestReplicasThatTakeTurnsTryEachDeploymentOnce(t *testing.T) {
	for n := range 20 {
		replicas := [2]*Server{fixture(t, threeDeployments), fixture(t, threeDeployments)}
		went := map[string]bool{}
		var last *nestorv1.Decision
		for attempt := range 3 {
			s := replicas[attempt%2]
			decision := decideFor(t, s, map[string]string{"x-nestor-request": "r" + itoa(n), "x-envoy-attempt-count": itoa(attempt + 1)}, chat)
			last = decisionIn(t, decision)
			went[last.Deployment] = true
			exchange(t, s, failureOf(decision.DynamicMetadata, "500", true, nil))
		}
		if len(went) != 3 || last.Retries != 2 {
			t.Errorf("request %d went to %v, with %d retries", n, went, last.Retries)
		}
	}
}

// LiteLLM's policies know a connection that failed as an InternalServerError, and a provider's own 503 as another one.
func TestAConnectionThatFailedIsNoAnswerOfTheProvider(t *testing.T) {
	s := fixture(t, oneDeployment)
	for details, want := range map[string]routing.Class{
		"via_upstream": routing.Internal,
		"upstream_reset_before_response_started{remote_connection_failure}": routing.Connection,
		"no_healthy_upstream": routing.Connection,
	} {
		m := failureOf(nil, "503", true, nil)
		m.Attributes = codeDetails(t, details)
		if got := s.readFailure(m, message.Headers(m.GetResponseHeaders().GetHeaders().GetHeaders())).class; got != want {
			t.Errorf("%s is %s, want %s", details, got, want)
		}
	}
}
