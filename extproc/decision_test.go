package extproc

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	"github.com/google/go-cmp/cmp"

	"github.com/nestor-gateway/nestor/extproc/bodies"
	nestorv1 "github.com/nestor-gateway/nestor/proto/nestor/v1"
)

const oneDeployment = `
model_list:
  - model_name: fast
    litellm_params: {model: openai/gpt-4o, api_base: "http://127.0.0.1:9999/v1", api_key: sk-provider, timeout: 7, stream_timeout: 3}
    model_info: {id: d1}
`

func TestDecisionIsOneReply(t *testing.T) {
	s := fixture(t, oneDeployment)
	w := exchange(t, s, requestHeaders(map[string]string{
		"x-request-id": "r", "cookie": "secret", "x-forwarded-for": "1.2.3.4", "x-forwarded-proto": "http", "user-agent": "sdk", "x-stainless-lang": "go",
	}), requestBody(`{"model": "fast", "messages": []}`))
	if len(w.replies) != 2 {
		t.Fatalf("%d replies, want the header step's and the decision", len(w.replies))
	}
	common := w.last().GetRequestBody().GetResponse()
	upstream := s.Router.View().Snapshot().Upstreams()[0].Name
	want := map[string]string{
		":path": "/v1/chat/completions", ":authority": "127.0.0.1:9999", "authorization": "Bearer sk-provider",
		"content-length": "35", "accept-encoding": "identity", "x-nestor-cluster": upstream,
		"x-envoy-upstream-rq-timeout-ms": "7000",
	}
	if diff := cmp.Diff(want, setHeaders(common.HeaderMutation)); diff != "" {
		t.Errorf("headers set (-want +got):\n%s", diff)
	}
	removed := common.HeaderMutation.RemoveHeaders
	slices.Sort(removed)
	if diff := cmp.Diff([]string{"authorization", "cookie", "x-forwarded-for", "x-nestor-request", "x-request-id"}, removed); diff != "" {
		t.Errorf("headers removed (-want +got):\n%s", diff)
	}
	if got := string(common.BodyMutation.GetBody()); got != `{"model": "gpt-4o", "messages": []}` {
		t.Errorf("body %s", got)
	}
	if !common.ClearRouteCache {
		t.Error("the route was chosen before the route header: the cache must be cleared")
	}
}

func TestDecisionRidesInMetadata(t *testing.T) {
	begin := time.Unix(1700000000, 0)
	s := fixtureAt(t, oneDeployment, func() time.Time { return begin })
	reply := decideFor(t, s, map[string]string{"x-litellm-num-retries": "1"}, `{"model":"fast","messages":[],"fallbacks":["fast"]}`)
	retries := uint32(1)
	want := &nestorv1.Decision{
		RequestId: "request-1", Model: "fast", Group: "fast", Deployment: "d1", Attempt: 1,
		DecidedUnixNano: begin.UnixNano(), NumRetries: &retries, FallbackGroups: []string{"fast"}, Snapshot: uint64(begin.UnixNano()),
		ReservedTokens: 1024 + 13, InputTokens: 13, InputBytes: 51, Completions: 1, // 4 bytes a token, nothing learned yet
	}
	got := decisionIn(t, reply)
	if want.String() != got.String() {
		t.Errorf("decision %v, want %v", got, want)
	}
	fields := reply.GetDynamicMetadata().GetFields()[nestorv1.Namespace].GetStructValue().AsMap()
	delete(fields, nestorv1.KeyDecision)
	if diff := cmp.Diff(map[string]any{
		"model_id": "d1", "group": "fast", "api_base": "http://127.0.0.1:9999/v1", "retries": "0", "fallbacks": "0", "call_id": "request-1",
	}, fields); diff != "" {
		t.Errorf("what Envoy reads (-want +got):\n%s", diff)
	}
}

func TestStreamGetsUsageAndItsOwnTimeouts(t *testing.T) {
	s := fixture(t, oneDeployment)
	reply := decideFor(t, s, nil, `{"model":"fast","messages":[],"stream":true}`)
	common := reply.GetRequestBody().GetResponse()
	headers := setHeaders(common.HeaderMutation)
	if headers["x-envoy-upstream-rq-per-try-timeout-ms"] != "3000" || headers["x-nestor-idle"] != "5" {
		t.Errorf("timeouts %v, want 3 s to the headers and the idle route of 5 s", headers)
	}
	if _, ok := headers["x-envoy-upstream-rq-timeout-ms"]; ok {
		t.Error("a timeout for the whole answer would cut a healthy stream")
	}
	var body map[string]any
	if err := json.Unmarshal(common.BodyMutation.GetBody(), &body); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]any{"include_usage": true}, body["stream_options"]); diff != "" {
		t.Errorf("stream_options (-want +got):\n%s", diff)
	}
	strip := reply.GetDynamicMetadata().GetFields()[nestorv1.Namespace].GetStructValue().GetFields()[nestorv1.KeyStrip]
	if strip.GetStringValue() != "usage" {
		t.Error("the usage event that the client did not ask for must be taken out")
	}
}

func TestStreamTimeoutOfTheRouterHoldsWhereTheDeploymentHasNone(t *testing.T) {
	router := strings.Replace(oneDeployment, ", stream_timeout: 3", "", 1) + "router_settings: {timeout: 40, stream_timeout: 20}\n"
	for name, c := range map[string]struct{ config, stream, unary string }{
		"the deployment has its own": {oneDeployment + "router_settings: {stream_timeout: 20}\n", "3000", "7000"},
		"it has a timeout alone":     {router, "20000", "7000"},
		"it has none":                {strings.Replace(router, ", timeout: 7", "", 1), "20000", "40000"},
	} {
		s := fixture(t, c.config)
		headers := func(more string) map[string]string {
			return setHeaders(decideFor(t, s, nil, `{"model":"fast","messages":[]`+more+`}`).GetRequestBody().GetResponse().HeaderMutation)
		}
		stream, unary := headers(`,"stream":true`)["x-envoy-upstream-rq-per-try-timeout-ms"], headers("")["x-envoy-upstream-rq-timeout-ms"]
		if stream != c.stream || unary != c.unary {
			t.Errorf("%s: a stream's headers in %s ms and an answer in %s, want %s and %s", name, stream, unary, c.stream, c.unary)
		}
	}
}

func TestUsageStaysWhereTheClientAskedForIt(t *testing.T) {
	s := fixture(t, oneDeployment)
	reply := decideFor(t, s, nil, `{"model":"fast","messages":[],"stream":true,"stream_options":{"include_usage":true}}`)
	if _, ok := reply.GetDynamicMetadata().GetFields()[nestorv1.Namespace].GetStructValue().GetFields()[nestorv1.KeyStrip]; ok {
		t.Error("the client's own usage event would be taken out")
	}
}

func TestRefusals(t *testing.T) {
	chat := `{"model":"fast","messages":[]}`
	for name, c := range map[string]struct {
		headers map[string]string
		body    string
		status  int
		replies int // 1: refused before the body
	}{
		"no key":             {map[string]string{"authorization": ""}, chat, 401, 1},
		"wrong key":          {map[string]string{"authorization": "Bearer sk-other"}, chat, 401, 1},
		"wrong probe secret": {map[string]string{"authorization": "", "x-nestor-probe": "guess"}, chat, 401, 1},
		"unknown path":       {map[string]string{":path": "/v1/nothing"}, chat, 404, 1},
		"wrong method":       {map[string]string{":method": "GET"}, chat, 405, 1},
		"compressed body":    {map[string]string{"content-encoding": "gzip"}, chat, 400, 1},
		"unknown model":      {nil, `{"model":"other","messages":[]}`, 400, 2},
		"no model":           {nil, `{"messages":[]}`, 400, 2},
		"not JSON":           {nil, `{"model":"fast",}`, 400, 2},
	} {
		t.Run(name, func(t *testing.T) {
			w := exchange(t, fixture(t, oneDeployment), requestHeaders(c.headers), requestBody(c.body))
			refusal := w.last().GetImmediateResponse()
			if refusal == nil || int(refusal.Status.Code) != c.status || len(w.replies) != c.replies {
				t.Fatalf("%d replies, last %v; want %d and status %d", len(w.replies), w.last(), c.replies, c.status)
			}
			headers := setHeaders(refusal.Headers)
			if headers["content-type"] != "application/json" || headers[nestorv1.HeaderRefusal] == "" {
				t.Errorf("headers %v", headers)
			}
			var body struct {
				Error struct{ Message, Type string }
			}
			if err := json.Unmarshal(refusal.Body, &body); err != nil || body.Error.Message == "" {
				t.Errorf("body %s is not an OpenAI error", refusal.Body)
			}
		})
	}
}

func TestRequestWithoutBodyIsDecidedAtItsHeaders(t *testing.T) {
	m := requestHeaders(nil)
	m.GetRequestHeaders().EndOfStream = true
	w := exchange(t, fixture(t, oneDeployment), m)
	if got := w.last().GetImmediateResponse().GetStatus().GetCode(); got != 400 {
		t.Errorf("status %d, want 400", got)
	}
}

func TestProbeNeedsNoKey(t *testing.T) {
	s := fixture(t, oneDeployment)
	reply := decideFor(t, s, map[string]string{"authorization": "", "x-nestor-probe": "probe-secret"}, `{"model":"d1","messages":[]}`)
	if !decisionIn(t, reply).Probe {
		t.Error("the Decision of a probe must say so")
	}
}

func TestAzurePathNamesTheModel(t *testing.T) {
	for _, other := range []string{"other", "fast"} { // a name that means nothing, and one that means something else
		reply := decideFor(t, fixture(t, twoGroups), map[string]string{":path": "/openai/deployments/slow/chat/completions?api-version=1"}, `{"model":"`+other+`","messages":[]}`)
		if d := decisionIn(t, reply); d.Model != "slow" || d.Deployment != "c" {
			t.Errorf("model %q, deployment %s, want the path's", d.Model, d.Deployment)
		}
		if got := string(reply.GetRequestBody().GetResponse().GetBodyMutation().GetBody()); got != `{"model":"c","messages":[]}` {
			t.Errorf("the provider gets %s", got)
		}
	}
}

func TestClientMayShortenTheTimeoutOnly(t *testing.T) {
	s := fixture(t, oneDeployment)
	for wish, want := range map[string]string{"2.5": "2500", "100": "7000", "-1": "7000", "x": "7000"} {
		reply := decideFor(t, s, map[string]string{"x-litellm-timeout": wish}, `{"model":"fast","messages":[]}`)
		got := setHeaders(reply.GetRequestBody().GetResponse().GetHeaderMutation())["x-envoy-upstream-rq-timeout-ms"]
		if got != want {
			t.Errorf("x-litellm-timeout %s gives %s ms, want %s", wish, got, want)
		}
	}
}

func TestExchangeBeginsWithHeaders(t *testing.T) {
	s := fixture(t, oneDeployment)
	if err := s.Process(&wire{ctx: t.Context(), send: []*extprocv3.ProcessingRequest{requestBody("{}")}}); err == nil {
		t.Error("a body without headers was taken")
	}
}

// nothingInFast has no deployment that can be called in the group fast.
const nothingInFast = `
model_list:
  - {model_name: fast, litellm_params: {model: openai/a, api_base: "http://127.0.0.1:1/v1", api_key: k, rpm: 0}, model_info: {id: a}}
  - {model_name: empty, litellm_params: {model: openai/b, api_base: "http://127.0.0.1:2/v1", api_key: os.environ/UNSET}, model_info: {id: b}}
  - {model_name: slow, litellm_params: {model: openai/c, api_base: "http://127.0.0.1:3/v1", api_key: k}, model_info: {id: c}}
litellm_settings: {fallbacks: [{fast: [empty, slow]}]}
`

func TestAGroupWithNothingToGiveFallsBackAtOnce(t *testing.T) {
	got := decisionIn(t, decideFor(t, fixture(t, nothingInFast), nil, `{"model":"fast","messages":[]}`))
	if got.Deployment != "c" || got.Group != "slow" || got.Retries != 0 || got.Fallbacks != 2 {
		t.Errorf("decision %v, want the second fallback", got)
	}
	if diff := cmp.Diff([]string{"fast", "empty"}, got.Groups); diff != "" {
		t.Errorf("groups before (-want +got):\n%s", diff)
	}
}

func TestAGroupWithNothingToGiveIsRefusedWhereThereIsNoFallback(t *testing.T) {
	for name, of := range map[string]struct{ body, header, value string }{
		"none configured":           {`{"model":"empty","messages":[]}`, "retry-after", "5"},
		"forbidden, the limit is 0": {`{"model":"fast","messages":[],"disable_fallbacks":true}`, "x-should-retry", "false"},
	} {
		refusal := decideFor(t, fixture(t, nothingInFast), nil, of.body).GetImmediateResponse()
		if refusal.GetStatus().GetCode() != 429 || setHeaders(refusal.GetHeaders())[of.header] != of.value {
			t.Errorf("%s: %v, want 429 with %s: %s", name, refusal, of.header, of.value)
		}
	}
	probe := decideFor(t, fixture(t, nothingInFast), map[string]string{"authorization": "", "x-nestor-probe": "probe-secret"}, `{"model":"fast","messages":[]}`)
	if probe.GetImmediateResponse() == nil {
		t.Errorf("a probe fell back: %v", probe)
	}
}

func TestABodyOfUnknownLengthCountsForWhatItIs(t *testing.T) {
	s := fixture(t, oneDeployment)
	s.LargeBodies = 8 << 20
	s.bodies = bodies.New(s.LargeBodies)
	large := `{"model":"fast","messages":["` + strings.Repeat("a", 4<<20) + `"]}`
	for _, c := range []struct{ taken, status int64 }{{0, 0}, {4 << 20, 503}, {0, 0}} {
		if _, ok := s.bodies.AdmitRest(0, int(c.taken)); !ok {
			t.Fatal("something is held for requests that have ended")
		}
		reply := decideFor(t, s, nil, large)
		if got := int64(reply.GetImmediateResponse().GetStatus().GetCode()); got != c.status {
			t.Errorf("with %d bytes taken: status %d, want %d", c.taken, got, c.status)
		}
		s.bodies.Release(c.taken)
	}
	if _, ok := s.bodies.AdmitRest(0, int(s.LargeBodies)); !ok {
		t.Error("something is held for requests that have ended")
	}
}
