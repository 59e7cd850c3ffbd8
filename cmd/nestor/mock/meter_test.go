package mock_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/nestor-gateway/nestor/cmd/nestor/mock"
)

// ask sends a request to a server without a network, and returns the answer.
func ask(s *mock.Server, key, fields string) *http.Response {
	w := httptest.NewRecorder()
	r := httptest.NewRequest(http.MethodPost, "/v1/chat/completions", strings.NewReader(`{"messages":[],`+fields+`}`))
	r.Header.Set("Authorization", "Bearer "+key)
	s.ServeHTTP(w, r)
	return w.Result()
}

func TestItsOwnLimitHoldsInEveryMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := mock.New(mock.Options{Plan: mock.Plan{RPM: 2}})
		var got []int
		at := func(seconds int, key, model string) {
			time.Sleep(time.Duration(seconds) * time.Second)
			got = append(got, ask(s, key, `"model":"`+model+`"`).StatusCode)
		}
		at(0, "k", "m")
		at(20, "k", "m")
		at(1, "k", "m")
		at(0, "other", "m")
		at(0, "k", "other")
		at(39, "k", "m") // the first is 60 s old
		at(0, "k", "m")
		at(20, "k", "m")
		if diff := cmp.Diff([]int{200, 200, 429, 200, 200, 200, 429, 200}, got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}

func TestARefusalSaysWhichLimitAndForHowLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		// The prompt, [], is one token.
		s := mock.New(mock.Options{Plan: mock.Plan{TPM: 10, Events: 4}, Meter: true})
		ask(s, "k", `"model":"m"`)
		time.Sleep(10 * time.Second)
		ask(s, "k", `"model":"m"`)
		time.Sleep(1500 * time.Millisecond)
		got := ask(s, "k", `"model":"m"`)
		body, _ := io.ReadAll(got.Body)
		if diff := cmp.Diff([]string{"429", "49", "10", "0", "48.5s"}, []string{
			got.Status[:3], got.Header.Get("Retry-After"), got.Header.Get("X-Ratelimit-Limit-Tokens"),
			got.Header.Get("X-Ratelimit-Remaining-Tokens"), got.Header.Get("X-Ratelimit-Reset-Tokens"),
		}); diff != "" {
			t.Errorf("(-want +got):\n%s\n%s", diff, body)
		}
		var tokens []int
		for _, a := range s.Arrivals("m") {
			tokens = append(tokens, a.Tokens)
		}
		if diff := cmp.Diff([]int{5, 5, 0}, tokens); diff != "" {
			t.Errorf("arrivals (-want +got):\n%s", diff)
		}
		if last := s.Arrivals("m")[2]; !last.Refused || last.Key != "k" {
			t.Errorf("%+v", last)
		}
	})
}

func TestPeaks(t *testing.T) {
	start := time.Now()
	at := func(seconds float64, tokens int) mock.Arrival {
		return mock.Arrival{At: start.Add(time.Duration(seconds * float64(time.Second))), Tokens: tokens}
	}
	arrivals := []mock.Arrival{at(0, 1), at(1, 9), at(59.9, 2), at(60, 4), at(61, 1), at(200, 3)}
	requests, tokens := mock.Peak(arrivals, time.Minute)
	if requests != 3 || tokens != 15 {
		t.Errorf("%d requests and %d tokens, want 3 and 15", requests, tokens)
	}
	if requests, tokens := mock.Peak(nil, time.Minute); requests != 0 || tokens != 0 {
		t.Errorf("%d requests and %d tokens without any", requests, tokens)
	}
}

func TestUsageHasDetails(t *testing.T) {
	s := mock.New(mock.Options{Plan: mock.Plan{Cached: 3, Reasoning: 2}})
	want := `"usage":{"prompt_tokens":1,"completion_tokens":8,"total_tokens":9,"prompt_tokens_details":{"cached_tokens":3},` +
		`"completion_tokens_details":{"reasoning_tokens":2}}`
	for _, fields := range []string{`"model":"m"`, `"model":"m","stream":true,"stream_options":{"include_usage":true}`} {
		if body, _ := io.ReadAll(ask(s, "", fields).Body); !strings.Contains(string(body), want) {
			t.Errorf("%s has not %s", body, want)
		}
	}
}

func TestABodyInPieces(t *testing.T) {
	_, url := start(t, mock.Options{})
	var sizes []int
	response, err := http.Post(url+"/v1/chat/completions", "application/json",
		strings.NewReader(`{"model":"m","user":"mock:pieces=100","stream":true}`))
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	buffer := make([]byte, 1<<20)
	for err == nil {
		var n int
		if n, err = response.Body.Read(buffer); n > 0 {
			sizes = append(sizes, n)
		}
	}
	if len(sizes) < 10 || slices.Max(sizes) > 400 {
		t.Errorf("pieces of %v bytes", sizes)
	}
}
