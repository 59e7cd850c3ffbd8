package api_test

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/nestor-gateway/nestor/access"
	"github.com/nestor-gateway/nestor/api"
	"github.com/nestor-gateway/nestor/routing"
)

// serve runs a handler on a free port and returns its address.
func serve(t *testing.T, h http.Handler) string {
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	return server.URL
}

func TestOnlyLivelinessReadinessAndMetricsNeedNoKey(t *testing.T) {
	o := options(t, seed003)
	o.Metrics = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "up 1") })
	h := api.New(o)
	got := map[string]int{}
	for _, path := range []string{
		"/v1/models", "/models", "/v1/models/x", "/model/info", "/v1/model/info", "/model_group/info", "/health",
		"/health/liveliness", "/health/liveness", "/health/readiness", "/metrics",
	} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		got[path] = w.Code
	}
	mustEqual(t, map[string]int{
		"/v1/models": 401, "/models": 401, "/v1/models/x": 401, "/model/info": 401, "/v1/model/info": 401,
		"/model_group/info": 401, "/health": 401,
		"/health/liveliness": 200, "/health/liveness": 200, "/health/readiness": 200, "/metrics": 200,
	}, got)
}

func TestAWrongKeyIsRefusedInTheShapeOfOpenAI(t *testing.T) {
	for _, header := range []string{"Authorization", "X-Api-Key", "Api-Key"} {
		r := httptest.NewRequest(http.MethodGet, "/v1/models", nil)
		r.Header.Set(header, "Bearer sk-wrong")
		w := httptest.NewRecorder()
		port(t, seed003).ServeHTTP(w, r)
		mustEqual(t, failure(401, "Authentication Error, Invalid proxy server token passed: the API key is not valid",
			"auth_error", nil, "401"), replyOf(t, w))
	}
}

func TestWithoutAMasterKeyAllIsOpen(t *testing.T) {
	o := options(t, seed003)
	o.Auth = func() api.Authenticator { return access.NewMaster("") }
	w := httptest.NewRecorder()
	api.New(o).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/v1/models", nil))
	mustEqual(t, 200, w.Code)
}

func TestOtherMethodsAreRefused(t *testing.T) {
	for _, method := range []string{"POST", "PUT", "DELETE", "OPTIONS", "PATCH"} {
		w := ask(port(t, seed003), method, "/v1/models")
		mustEqual(t, "GET, HEAD", w.Header().Get("Allow"))
		mustEqual(t, failure(405, "/v1/models takes GET, not "+method, "invalid_request_error", nil, "method_not_allowed"), replyOf(t, w))
	}
}

func TestUnknownPathsAreNotFound(t *testing.T) {
	h := port(t, seed003)
	for _, path := range []string{"/", "/v1", "/health/", "/key/generate", "/v1/models%2Ffast", "/metrics/x"} {
		w := ask(h, http.MethodGet, path)
		mustEqual(t, 404, w.Code)
		mustEqual(t, true, strings.Contains(w.Body.String(), `"code":"unknown_url"`))
	}
}

func TestLivelinessAndReadiness(t *testing.T) {
	o := options(t, seed003)
	mustEqual(t, reply{200, "I'm alive!"}, get(t, api.New(o), "/health/liveliness"))
	mustEqual(t, reply{200, map[string]any{"status": "healthy"}}, get(t, api.New(o), "/health/readiness"))
	o.Ready = func() error { return errNotReady }
	mustEqual(t, reply{200, "I'm alive!"}, get(t, api.New(o), "/health/liveness"))
	mustEqual(t, reply{503, map[string]any{"status": "unhealthy", "reason": "no Envoy is up yet"}}, get(t, api.New(o), "/health/readiness"))
}

func TestAPanicIsA500AndALogLine(t *testing.T) {
	var log bytes.Buffer
	o := options(t, seed003)
	o.Log = slog.New(slog.NewTextHandler(&log, nil))
	o.View = func() *routing.View { panic("broken on purpose") }
	mustEqual(t, failure(500, "internal error; see Nestor's log", "api_error", nil, nil), get(t, api.New(o), "/v1/models"))
	mustEqual(t, true, strings.Contains(log.String(), "broken on purpose"))
}

func TestAPanicAfterTheFirstByteCutsTheAnswer(t *testing.T) {
	o := options(t, seed003)
	o.Metrics = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100")
		fmt.Fprint(w, "half")
		panic("broken on purpose")
	})
	resp, err := http.Get(serve(t, api.New(o)) + "/metrics")
	if err == nil {
		_, err = io.ReadAll(resp.Body)
		_ = resp.Body.Close()
	}
	if err == nil {
		t.Error("the answer looks whole")
	}
}
