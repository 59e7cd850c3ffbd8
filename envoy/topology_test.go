package envoy_test

import (
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/nestor-gateway/nestor/envoy"
	nestorv1 "github.com/nestor-gateway/nestor/proto/nestor/v1"
)

func TestForgedHeadersReachNobody(t *testing.T) {
	var got http.Header
	up := upstream(t, "up", func(_ http.ResponseWriter, r *http.Request) { got = r.Header })
	g := startGateway(t, always("up"), nil, up)
	g.send(t, http.MethodPost, "/v1/chat/completions", "{}",
		"user-agent", "test", "accept-encoding", "identity",
		nestorv1.HeaderCluster, "forged", nestorv1.HeaderIdle, "1", nestorv1.HeaderRequest, "forged", nestorv1.HeaderRetry, "1",
		nestorv1.HeaderProbe, "secret", "x-nestor-prob", "forged", "x-nestor-probes", "forged", "x-nestor-", "forged",
		"x-envoy-retry-on", "5xx", "x-envoy-attempt-count", "7", "x-envoy-original-dst-host", "10.0.0.1:80",
		"x-envoy-upstream-rq-timeout-ms", "1", "x-forwarded-for", "1.2.3.4", "x-forwarded-client-cert", "forged",
		"x-request-id", "forged")

	seen := g.process.seen()[0]
	id := seen[nestorv1.HeaderRequest]
	if len(id) != 36 {
		t.Errorf("%s = %q, want a UUID of Envoy's", nestorv1.HeaderRequest, id)
	}
	maps.DeleteFunc(seen, func(k, _ string) bool { return strings.HasPrefix(k, ":") || k == "x-forwarded-for" })
	if diff := cmp.Diff(map[string]string{
		"accept-encoding": "identity", "content-length": "2", "user-agent": "test",
		"x-forwarded-proto": "http", "x-request-id": id, "x-envoy-attempt-count": "1", "x-envoy-external-address": "127.0.0.1",
		nestorv1.HeaderRequest: id, nestorv1.HeaderProbe: "secret",
	}, seen); diff != "" {
		t.Errorf("the processor's view (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(http.Header{
		"Accept-Encoding": {"identity"}, "Content-Length": {"2"}, "User-Agent": {"test"},
	}, got); diff != "" {
		t.Errorf("the provider's view (-want +got):\n%s", diff)
	}
}

func TestAnAnswerHasTheHeadersOfItsDecision(t *testing.T) {
	var calls atomic.Int32
	up := upstream(t, "up", func(w http.ResponseWriter, _ *http.Request) {
		calls.Add(1)
		for name, value := range map[string]string{
			nestorv1.HeaderRetry: "1", nestorv1.HeaderRefusal: "1", nestorv1.HeaderModelID: "forged",
			nestorv1.HeaderKeySpend: "1.5", nestorv1.HeaderResponseCost: "0.5", "x-litellm-version": "1.106.2",
			"x-envoy-ratelimited": "true", "x-envoy-overloaded": "true", "x-envoy-upstream-service-time": "3", "x-nestor-other": "1",
			"x-ratelimit-limit-requests": "5", "x-ratelimit-reset-tokens": "6ms", "set-cookie": "a=b",
			"openai-organization": "org", "openai-project": "project", "openai-version": "2020-10-01", "x-request-id": "req_1",
			"content-type": "application/json; charset=utf-8", "date": "today", "server": "provider",
		} {
			w.Header().Set(name, value)
		}
		io.WriteString(w, "{}")
	})
	decide := always("up", nestorv1.KeyModelID, "id", nestorv1.KeyGroup, "fast", nestorv1.KeyAPIBase, "http://a/v1",
		nestorv1.KeyRetries, "0", nestorv1.KeyFallbacks, "1")
	g := startGateway(t, decide, nil, up)
	resp, _ := g.send(t, http.MethodPost, "/v1/chat/completions", "{}")
	if diff := cmp.Diff(http.Header{
		"Content-Length": {"2"}, "Content-Type": {"application/json; charset=utf-8"}, "Date": {"today"}, "Server": {"envoy"},
		"Openai-Version": {"2020-10-01"}, "X-Request-Id": {"req_1"}, "X-Litellm-Version": {"1.106.2"},
		"X-Litellm-Model-Id": {"id"}, "X-Litellm-Model-Group": {"fast"}, "X-Litellm-Model-Api-Base": {"http://a/v1"},
		"X-Litellm-Attempted-Retries": {"0"}, "X-Litellm-Attempted-Fallbacks": {"1"}, "X-Litellm-Response-Cost": {"0"},
		"Llm_provider-X-Ratelimit-Limit-Requests": {"5"}, "Llm_provider-X-Ratelimit-Reset-Tokens": {"6ms"},
	}, resp.Header); diff != "" {
		t.Errorf("headers (-want +got):\n%s", diff)
	}
	if n := calls.Load(); n != 1 {
		t.Errorf("%d calls, want 1: an upstream can't ask for a retry", n)
	}
}

func TestTheProcessorAloneDecidesAboutARetry(t *testing.T) {
	up := upstream(t, "up", func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusTooManyRequests)
		io.WriteString(w, "slow down")
	})
	attempts := 0
	g := startGateway(t, always("up", nestorv1.KeyModelID, "id"), nil, up)
	g.process.fail = func(failure) map[string]string {
		attempts++
		if attempts < 3 {
			return map[string]string{nestorv1.HeaderRetry: "1"}
		}
		return nil
	}
	resp, body := g.send(t, http.MethodPost, "/v1/chat/completions", "{}")
	if diff := cmp.Diff([]string{"429", "slow down", "", "id"}, []string{
		resp.Status[:3], body, resp.Header.Get(nestorv1.HeaderRetry), resp.Header.Get(nestorv1.HeaderModelID),
	}); diff != "" {
		t.Errorf("the last answer (-want +got):\n%s", diff)
	}
	var counts []string
	for _, headers := range g.process.seen() {
		counts = append(counts, headers["x-envoy-attempt-count"])
	}
	if diff := cmp.Diff([]string{"1", "2", "3"}, counts); diff != "" {
		t.Errorf("attempts (-want +got):\n%s", diff)
	}
	one := failure{
		status: "429", body: "slow down", details: "via_upstream", metadata: map[string]any{nestorv1.KeyModelID: "id"},
	}
	if diff := cmp.Diff([]failure{one, one, one}, g.process.failuresSeen(), cmp.AllowUnexported(failure{})); diff != "" {
		t.Errorf("failures (-want +got):\n%s", diff)
	}
}

func TestALargeBodyIsSentAgainWhole(t *testing.T) {
	body := strings.Repeat("0123456789abcdef", 30<<20/16)
	var calls atomic.Int32
	up := upstream(t, "up", func(w http.ResponseWriter, r *http.Request) {
		got, err := io.ReadAll(r.Body)
		if string(got) != body || err != nil {
			t.Errorf("the upstream received %d bytes, %v", len(got), err)
		}
		if calls.Add(1) == 1 {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	g := startGateway(t, always("up"), nil, up)
	g.process.fail = func(failure) map[string]string { return map[string]string{nestorv1.HeaderRetry: "1"} }
	resp, _ := g.send(t, http.MethodPost, "/v1/chat/completions", body)
	if resp.StatusCode != http.StatusOK || calls.Load() != 2 {
		t.Errorf("status %d after %d calls", resp.StatusCode, calls.Load())
	}
}

// silent takes a request and never answers.
func silent(_ http.ResponseWriter, r *http.Request) {
	io.Copy(io.Discard, r.Body) // the end of the connection is seen only after it
	<-r.Context().Done()
}

// envoysError is a body of Envoy's own in the OpenAI error shape.
type envoysError struct {
	Error struct {
		Message, Type string
		Param, Code   *string
	}
}

func TestEnvoysOwnAnswersAreOpenAIErrors(t *testing.T) {
	slow := upstream(t, "slow", silent)
	g := startGateway(t, func(headers map[string]string) decision {
		timeout := map[string]string{"x-envoy-upstream-rq-timeout-ms": "50"}
		return decision{upstream: headers["x-upstream"], headers: timeout}
	}, func(o *envoy.Options) { o.BodyLimit = 64 << 10 }, slow, upstreamAt(t, "dead", "http://127.0.0.1:9"))

	for name, c := range map[string]struct {
		path, body string
		headers    []string
		want       string
		processor  bool // sees the failure
	}{
		"nothing listens": {"/v1/chat/completions", "{}", []string{"x-upstream", "dead"},
			`503 api_error The model could not be reached: upstream connect error or disconnect/reset before headers. reset reason: remote connection failure.`, true},
		"unknown upstream": {"/v1/chat/completions", "{}", []string{"x-upstream", "unknown"},
			`503 api_error The model could not be reached: Envoy does not know its upstream.`, true},
		"timeout": {"/v1/chat/completions", "{}", []string{"x-upstream", "slow"},
			`504 timeout_error The model did not answer in time.`, true},
		"body too large": {"/v1/chat/completions", strings.Repeat("x", 100<<10), []string{"x-upstream", "slow"},
			`413 invalid_request_error The request body is larger than 65536 bytes.`, true},
		"body far too large": {"/v1/chat/completions", strings.Repeat("x", 8<<20), []string{"x-upstream", "slow"},
			`413 invalid_request_error The request body is larger than 65536 bytes.`, true},
		"upgrade": {"/v1/chat/completions", "", []string{"connection", "upgrade", "upgrade", "websocket"},
			`403 invalid_request_error This path takes no upgrade to another protocol: send a plain HTTP request.`, false},
	} {
		t.Run(name, func(t *testing.T) {
			before := len(g.process.failuresSeen())
			resp, body := g.send(t, http.MethodPost, c.path, c.body, c.headers...)
			checkError(t, resp, body, c.want)
			if shown := len(g.process.failuresSeen()) - before; (shown == 1) != c.processor {
				t.Errorf("the processor saw %d failures", shown)
			}
		})
	}
}

func checkError(t *testing.T, resp *http.Response, body, want string) {
	t.Helper()
	var e envoysError
	if err := json.Unmarshal([]byte(body), &e); err != nil {
		t.Fatalf("body %q: %v", body, err)
	}
	if e.Error.Code == nil || *e.Error.Code != resp.Status[:3] {
		t.Errorf("code in %s, want the status", body)
	}
	got := resp.Status[:3] + " " + e.Error.Type + " " + e.Error.Message
	if diff := cmp.Diff([]string{want, "application/json"}, []string{got, resp.Header.Get("content-type")}); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestABodyThatNeverComesIsATimeout(t *testing.T) {
	g := startGateway(t, always("up"), func(o *envoy.Options) { o.RequestTimeout = 200 * time.Millisecond })
	read, write := io.Pipe()
	defer write.Close()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, g.url("/v1/chat/completions"), read)
	if err != nil {
		t.Fatal(err)
	}
	resp, body := answer(t, http.DefaultTransport, r)
	checkError(t, resp, body, "408 timeout_error The request did not arrive within 0.2 seconds.")
}

func TestARefusalIsNoFailure(t *testing.T) {
	g := startGateway(t, func(map[string]string) decision { return decision{refuse: 429} }, nil)
	resp, body := g.send(t, http.MethodPost, "/v1/chat/completions", "{}")
	if diff := cmp.Diff([]string{"429", `{"error":"refused"}`, "application/json", ""}, []string{
		resp.Status[:3], body, resp.Header.Get("content-type"), resp.Header.Get(nestorv1.HeaderRefusal),
	}); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if f := g.process.failuresSeen(); f != nil {
		t.Errorf("the processor was shown its own answer: %+v", f)
	}
}

func TestWhatTheProcessorLetsThroughUndecidedIsRetried(t *testing.T) {
	up := upstream(t, "up", func(http.ResponseWriter, *http.Request) {})
	for _, path := range []string{"/v1/chat/completions", "/v1/embeddings"} {
		attempt := 0
		g := startGateway(t, func(map[string]string) decision {
			attempt++
			return decision{upstream: "up", leave: attempt < 3}
		}, nil, up)
		resp, _ := g.send(t, http.MethodPost, path, "{}")
		if resp.StatusCode != http.StatusOK || attempt != 3 {
			t.Errorf("%s: status %d after %d attempts, want 200 after 3", path, resp.StatusCode, attempt)
		}
		if f := g.process.failuresSeen(); f != nil {
			t.Errorf("%s: the processor was shown what is to be retried already: %+v", path, f)
		}
	}
}

func TestPathsOfTheHTTPPortGoThere(t *testing.T) {
	type call struct{ Path, Authorization string }
	calls := make(chan call, 1)
	api := upstream(t, "api", func(_ http.ResponseWriter, r *http.Request) {
		calls <- call{r.RequestURI, r.Header.Get("authorization")}
	})
	g := startGateway(t, func(map[string]string) decision { return decision{refuse: 404} }, func(o *envoy.Options) {
		o.API = hostPort(api)
	})
	for _, path := range []string{
		"/v1/models", "/models", "/v1/models/gpt-4o", "/v1/models/openai/gpt-4o?a=b", "/v1/models/openai%2Fgpt-4o", "/models/a%2fb",
		"/v1/models/a//b/../c",
		"/model/info", "/v1/model/info?id=1", "/model_group/info", "/health", "/health/liveliness", "/health/liveness", "/health/readiness",
		"/key/generate", "/team/new", "/user/info", "/budget/new", "/spend/logs", "/global/spend", "/v2/key/info",
	} {
		resp, _ := g.send(t, http.MethodGet, path, "", "authorization", "Bearer sk-1")
		if resp.StatusCode != http.StatusOK {
			t.Fatalf("%s: status %d", path, resp.StatusCode)
		}
		if diff := cmp.Diff(call{path, "Bearer sk-1"}, <-calls); diff != "" {
			t.Errorf("%s (-want +got):\n%s", path, diff)
		}
	}
	for _, path := range []string{"/", "/v1/chat/completions", "/v1/modelsx", "/modelsx", "/healthz", "/metrics", "/keys", "/model/infos"} {
		if resp, _ := g.send(t, http.MethodPost, path, ""); resp.StatusCode != http.StatusNotFound {
			t.Errorf("%s: status %d, want the processor's 404", path, resp.StatusCode)
		}
	}
}

func TestASilentStreamIsCutByTheRouteOfItsIdleTime(t *testing.T) {
	up := upstream(t, "up", func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		io.WriteString(w, "begin")
		http.NewResponseController(w).Flush()
		<-r.Context().Done()
	})
	g := startGateway(t, func(map[string]string) decision {
		return decision{upstream: "up", headers: map[string]string{nestorv1.HeaderIdle: "1"}}
	}, nil, up)
	resp, err := http.Get(g.url("/v1/chat/completions"))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	start := time.Now()
	body, err := io.ReadAll(resp.Body)
	if err == nil || string(body) != "begin" || time.Since(start) > 5*time.Second {
		t.Errorf("got %q, %v after %v; want an error after 1 s", body, err, time.Since(start))
	}
	eventually(t, "the log entry names the route", func() bool {
		return slices.ContainsFunc(g.process.logged(), func(e *logEntry) bool {
			return e.GetCommonProperties().GetRouteName() == "idle-1s"
		})
	})
}
