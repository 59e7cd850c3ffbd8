package mock_test

import (
	"compress/gzip"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/nestor-gateway/nestor/cmd/nestor/mock"
)

func TestErrors(t *testing.T) {
	_, url := start(t, mock.Options{})
	openai := func(kind, code, message string) string {
		return `{"error":{"message":"` + message + `","type":"` + kind + `","param":null,"code":` + code + `}}`
	}
	tests := []struct {
		plan string
		want answer
	}{
		{"status=500", answer{500, "application/json", openai("server_error", "null", "mock: 500 Internal Server Error"), nil}},
		{"status=429", answer{429, "application/json", openai("rate_limit_error", "null", "mock: 429 Too Many Requests"), nil}},
		{"status=503;body=empty", answer{503, "", "", nil}},
		{"status=502;body=html", answer{502, "text/html", "<html><body><h1>mock: 502 Bad Gateway</h1></body></html>\n", nil}},
		{"status=502;body=text", answer{502, "text/plain", "mock: 502 Bad Gateway", nil}},
		{"body=context", answer{400, "application/json", openai("invalid_request_error", `"context_length_exceeded"`,
			"This model's maximum context length is 8192 tokens. Please reduce the length of the messages."), nil}},
		{"body=policy", answer{400, "application/json", openai("invalid_request_error", `"content_policy_violation"`,
			"Your request was rejected by the content policy of this provider."), nil}},
		{"nonsense=1", answer{400, "application/json", openai("invalid_request_error", "null",
			`mock: bad plan: unknown word \"nonsense\"`), nil}},
	}
	for _, test := range tests {
		t.Run(test.plan, func(t *testing.T) {
			got, _ := post(t, url+"/v1/chat/completions", `{"model":"m","user":"mock:`+test.plan+`"}`)
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestWhatIsNotARequestIsRefused(t *testing.T) {
	_, url := start(t, mock.Options{Key: "secret"})
	type outcome struct{ Path, Body, Key string }
	tests := map[outcome]int{
		{"/v1/chat/completions", `{"model":"m"}`, "secret"}: 200,
		{"/v1/chat/completions", `{"model":"m"}`, "wrong"}:  401,
		{"/v1/chat/completions", `{"model":"m"`, "secret"}:  400,
		{"/v1/nothing", `{}`, "secret"}:                     404,
	}
	for test, want := range tests {
		for header, prefix := range map[string]string{"Authorization": "Bearer ", "Api-Key": ""} {
			request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+test.Path, strings.NewReader(test.Body))
			if err != nil {
				t.Fatal(err)
			}
			request.Header.Set(header, prefix+test.Key)
			response, err := http.DefaultClient.Do(request)
			if err != nil {
				t.Fatal(err)
			}
			response.Body.Close()
			if response.StatusCode != want {
				t.Errorf("%+v with %s: status %d, want %d", test, header, response.StatusCode, want)
			}
		}
	}
}

func TestConnectionsBreakWhereThePlanSays(t *testing.T) {
	_, url := start(t, mock.Options{})
	whole, _ := post(t, url+"/v1/chat/completions", `{"model":"m"}`)
	onlyID := regexp.MustCompile(`chatcmpl-\d+"`)
	tests := []struct {
		plan string
		want answer
	}{
		{"reset", answer{Err: syscall.ECONNRESET}},
		{"reset;fin", answer{Err: io.EOF}},
		{"cut=40", answer{200, "application/json", whole.Body[:40], syscall.ECONNRESET}},
		{"cut=40;fin", answer{200, "application/json", whole.Body[:40], io.ErrUnexpectedEOF}},
		{"cut=0;fin", answer{200, "application/json", "", io.ErrUnexpectedEOF}},
	}
	for _, test := range tests {
		t.Run(test.plan, func(t *testing.T) {
			got, _ := post(t, url+"/v1/chat/completions", `{"model":"m","user":"mock:`+test.plan+`"}`)
			if !errors.Is(got.Err, test.want.Err) {
				t.Errorf("error %v, want %v", got.Err, test.want.Err)
			}
			got.Body = onlyID.ReplaceAllString(got.Body, `chatcmpl-1"`)
			if diff := cmp.Diff(test.want, got, cmpopts.IgnoreFields(answer{}, "Err")); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestAStalledStreamSaysNoMoreUntilTheClientLeaves(t *testing.T) {
	s, url := start(t, mock.Options{})
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+"/v1/chat/completions",
		strings.NewReader(`{"model":"m","stream":true,"user":"mock:stall=1"}`))
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := response.Body.Read(make([]byte, 10)); err != nil {
		t.Fatal(err)
	}
	if open := s.Report().Open; open != 1 {
		t.Errorf("%d requests open, want 1", open)
	}
	response.Body.Close()
	eventually(t, func() bool { r := s.Report(); return r.Open == 0 && r.Aborted == 1 })
}

func eventually(t *testing.T, done func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(5 * time.Second)
	for !done() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal("did not happen within 5 s")
		}
	}
}

func TestAnAnswerIsDelayed(t *testing.T) {
	_, url := start(t, mock.Options{})
	for _, plan := range []string{"delay=30ms", "first=30ms", "gap=10ms;events=4"} {
		before := time.Now()
		post(t, url+"/v1/chat/completions", `{"model":"m","stream":true,"user":"mock:`+plan+`"}`)
		if took := time.Since(before); took < 30*time.Millisecond {
			t.Errorf("%s: took %v, want at least 30ms", plan, took)
		}
	}
}

func TestResponseHeadersAreThoseOfThePlan(t *testing.T) {
	_, url := start(t, mock.Options{})
	_, got := post(t, url+"/v1/chat/completions",
		`{"model":"m","user":"mock:retry-after=3;charset=utf-8;header=Set-Cookie:a=b;header=X-Nestor-Retry: 1"}`)
	got.Del("Date")
	got.Del("Content-Length")
	want := http.Header{}
	for name, value := range map[string]string{
		"Retry-After": "3", "Content-Type": "application/json; charset=utf-8", "Set-Cookie": "a=b", "X-Nestor-Retry": "1",
	} {
		want.Set(name, value)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestGzip(t *testing.T) {
	_, url := start(t, mock.Options{})
	for _, stream := range []string{"true", "false"} {
		body := `{"model":"m","stream":` + stream + `,"user":"mock:gzip"}`
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+"/v1/chat/completions", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Accept-Encoding", "gzip")
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		plain, err := gzip.NewReader(response.Body)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(plain)
		if err != nil || !strings.Contains(string(got), "Nestor ") {
			t.Errorf("stream %s: got %q, %v", stream, got, err)
		}
	}
}

func TestPlansApplyToWhomTheyAreFor(t *testing.T) {
	_, url := start(t, mock.Options{Name: "east", Plan: mock.Plan{Status: 418, Times: 1}})
	steps := []struct {
		model, user string
		want        int
	}{
		{"m", "", 418}, // the server's own plan, once
		{"m", "", 200},
		{"m", "somebody", 200},
		{"m", "mock:status=500;for=east", 500},
		{"m", "mock:status=500;for=west", 200},
		{"m", "mock:status=500;for=m", 500},
		{"m", "mock:status=500;times=2", 500},
		{"m", "mock:status=500;times=2", 500},
		{"m", "mock:status=500;times=2", 200},
		{"m", "mock:status=500;times=2;id=another", 500},
		{"m+mock:status=502", "", 502},
		{"m+mock:status=502", "mock:status=503", 503},
	}
	for i, step := range steps {
		got, _ := post(t, url+"/v1/chat/completions", `{"model":"`+step.model+`","user":"`+step.user+`"}`)
		if got.Status != step.want {
			t.Errorf("step %d %+v: status %d", i, step, got.Status)
		}
	}
}

func TestTheHeaderGoesBeforeTheUserAndTheUserBeforeTheModel(t *testing.T) {
	_, url := start(t, mock.Options{})
	for header, want := range map[string]int{"status=504": 504, "status=504;for=west": 503, "": 503} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+"/v1/chat/completions",
			strings.NewReader(`{"model":"m+mock:status=502","user":"mock:status=503"}`))
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("X-Mock", header)
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode != want {
			t.Errorf("x-mock %q: status %d, want %d", header, response.StatusCode, want)
		}
	}
}

func TestTheControlEndpointShowsWhatArrivedAndForgetsIt(t *testing.T) {
	s, url := start(t, mock.Options{Record: 2})
	for _, model := range []string{"a", "b", "b", "c", "c", "c"} {
		post(t, url+"/v1/chat/completions", `{"model":"`+model+`"}`)
	}
	response, err := http.Get(url + mock.ControlPath)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var got mock.Report
	if err := json.NewDecoder(response.Body).Decode(&got); err != nil {
		t.Fatal(err)
	}
	if len(got.Requests) != 2 || got.Requests[1].Body != `{"model":"c"}` {
		t.Errorf("kept %+v, want the last two", got.Requests)
	}
	want := mock.Report{Name: "mock", Total: 6, Models: map[string]int{"a": 1, "b": 2, "c": 3}}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(mock.Report{}, "Requests")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	s.Reset()
	if diff := cmp.Diff(mock.Report{Name: "mock"}, s.Report(), cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("after a reset (-want +got):\n%s", diff)
	}
}

func BenchmarkChat(b *testing.B) {
	s := mock.New(mock.Options{})
	body := `{"model":"m","messages":[{"role":"user","content":"` + strings.Repeat("x", 1000) + `"}]}`
	b.ReportAllocs()
	for b.Loop() {
		r := httptest.NewRequest(http.MethodPost, "/v1/chat/completions", strings.NewReader(body))
		s.ServeHTTP(httptest.NewRecorder(), r)
	}
}
