package main

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// mocked runs `nestor mock` with these flags until the test ends, and returns where it listens.
func mocked(t *testing.T, flags ...string) (url string) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	said, out := io.Pipe()
	root := rootCommand()
	root.SetOut(out)
	root.SetArgs(append([]string{"mock", "--listen", "127.0.0.1:0"}, flags...))
	ended := make(chan error, 1)
	go func() {
		err := root.ExecuteContext(ctx)
		out.CloseWithError(err)
		ended <- err
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	line, err := bufio.NewReader(said).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	_, url, _ = strings.Cut(strings.TrimSpace(line), " listens on ")
	return url
}

// streamed is what a client got of a stream.
type streamed struct {
	status     int
	retryAfter string
	body       string
	err        error         // that broke it off
	took       time.Duration // to the headers
	whole      time.Duration // to the end
}

func askStream(t *testing.T, url, plan string) (got streamed) {
	t.Helper()
	body := strings.NewReader(`{"model": "m", "stream": true, "messages": []}`)
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+"/v1/chat/completions", body)
	if err != nil {
		t.Fatal(err)
	}
	if plan != "" {
		request.Header.Set("X-Mock", plan)
	}
	begin := time.Now()
	response, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(request)
	if err != nil {
		return streamed{err: err}
	}
	defer response.Body.Close()
	got.status, got.retryAfter, got.took = response.StatusCode, response.Header.Get("Retry-After"), time.Since(begin)
	text, err := io.ReadAll(response.Body)
	got.body, got.err, got.whole = string(text), err, time.Since(begin)
	return got
}

func (s streamed) isWhole() bool {
	return s.err == nil && s.status == http.StatusOK && strings.HasSuffix(s.body, "data: [DONE]\n\n")
}

// Each fault is chosen by flags for all requests, and by the header x-mock for one.
func TestFaultsOfTheMock(t *testing.T) {
	const pause = 40 * time.Millisecond
	for name, tc := range map[string]struct {
		flags  []string
		header string
		want   func(streamed) bool
	}{
		"status": {[]string{"--fail-status", "503"}, "status=503", func(s streamed) bool {
			return s.status == 503 && strings.Contains(s.body, `"type":"server_error"`) && s.err == nil
		}},
		"retry-after": {[]string{"--fail-status=429", "--retry-after=7"}, "status=429;retry-after=7", func(s streamed) bool {
			return s.status == 429 && s.retryAfter == "7"
		}},
		"delay":       {[]string{"--delay", "40ms"}, "delay=40ms", func(s streamed) bool { return s.isWhole() && s.took >= pause }},
		"first event": {[]string{"--first-event", "40ms"}, "first=40ms", func(s streamed) bool { return s.isWhole() && s.whole >= pause }},
		"gap":         {[]string{"--gap", "10ms"}, "gap=10ms", func(s streamed) bool { return s.isWhole() && s.whole >= pause }},
		"reset":       {[]string{"--reset"}, "reset", func(s streamed) bool { return errors.Is(s.err, syscall.ECONNRESET) && s.status == 0 }},
		"cut stream": {[]string{"--cut-after", "30"}, "cut=30", func(s streamed) bool {
			return s.status == 200 && len(s.body) == 30 && errors.Is(s.err, syscall.ECONNRESET)
		}},
		"cut at once": {[]string{"--cut-after", "0"}, "cut=0", func(s streamed) bool {
			return s.status == 200 && s.body == "" && errors.Is(s.err, syscall.ECONNRESET)
		}},
		"any plan": {[]string{"--plan", "events=1;status=418"}, "events=1;status=418", func(s streamed) bool { return s.status == 418 }},
	} {
		t.Run(name, func(t *testing.T) {
			if got := askStream(t, mocked(t, tc.flags...), ""); !tc.want(got) {
				t.Errorf("with %q: %+v", tc.flags, got)
			}
			plain := mocked(t)
			if got := askStream(t, plain, tc.header); !tc.want(got) {
				t.Errorf("with x-mock %q: %+v", tc.header, got)
			}
			if got := askStream(t, plain, ""); !got.isWhole() {
				t.Errorf("the request after it: %+v", got)
			}
		})
	}
}

func TestFaultsOfTheMockAreForTheFirstRequestsOnly(t *testing.T) {
	url := mocked(t, "--fail-status", "500", "--first", "2")
	var got []int
	for range 3 {
		got = append(got, askStream(t, url, "").status)
	}
	if diff := cmp.Diff([]int{500, 500, 200}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestAFaultThatIsNoneIsRefused(t *testing.T) {
	root := rootCommand()
	root.SetArgs([]string{"mock", "--listen", "127.0.0.1:0", "--plan", "statu=500"})
	if err := root.ExecuteContext(t.Context()); err == nil || !strings.Contains(err.Error(), `unknown word "statu"`) {
		t.Errorf("error %v", err)
	}
	if got := askStream(t, mocked(t), "statu=500"); got.status != 400 || !strings.Contains(got.body, "unknown word") {
		t.Errorf("with x-mock: %+v", got)
	}
}
