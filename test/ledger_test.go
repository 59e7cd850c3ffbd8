package test

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/nestor-gateway/nestor/cmd/nestor/mock"
)

// counted is one deployment whose limits stand in nobody's way, and one that nobody can reach.
const counted = `
model_list:
  - model_name: gpt
    litellm_params: {model: openai/gpt-mini, api_base: $A/v1, api_key: k, rpm: 100000, tpm: 100000000}
    model_info: {id: only}
  - model_name: dead
    litellm_params: {model: openai/gpt-mini, api_base: $B/v1, api_key: k, rpm: 100, tpm: 100000, num_retries: 0}
    model_info: {id: dead-id}
router_settings:
  num_retries: 1
  disable_cooldowns: true
`

const noRetries = `,"num_retries":0`

// prompt is that of ask, in the mock's tokens.
const prompt = 9

func TestWhatWasReservedBecomesWhatWasUsed(t *testing.T) {
	t.Parallel()
	a := provide(t, "a")
	g := run(t, yaml(counted, a, &upstream{url: "http://" + freeAddresses(t, 1)[0]}))
	const asked = `,"stream_options":{"include_usage":true}`
	for name, test := range map[string]struct {
		plan, fields string
		requests     int64
		tokens       int64
	}{
		"an answer":                             {"events=30", "", 1, prompt + 30},
		"one longer than it was allowed":        {"events=50", `,"max_tokens":4`, 1, prompt + 50},
		"one longer than any before":            {"events=9000", "", 1, prompt + 9000},
		"several completions":                   {"events=30", `,"n":3`, 1, prompt + 30},
		"a stream":                              {"events=31", asStream, 1, prompt + 31},
		"a stream in small pieces":              {"events=12;pieces=17", asStream, 1, prompt + 12},
		"a stream with CRLF and spaces":         {"events=13;crlf;spaced", asStream, 1, prompt + 13},
		"a stream whose client asks for usage":  {"events=14", asStream + asked, 1, prompt + 14},
		"a stream whose client asks for none":   {"events=15", asStream + `,"stream_options":{"include_usage":false}`, 1, prompt + 15},
		"usage in every event":                  {"events=16;usage=every", asStream, 1, prompt + 16},
		"an answer compressed in spite of all":  {"events=17;gzip", "", 1, prompt + 17},
		"a stream compressed in spite of all":   {"events=18;gzip", asStream, 1, prompt + 18},
		"a JSON type with parameters":           {"events=19;charset=utf-8", "", 1, prompt + 19},
		"cached and reasoning tokens":           {"events=20;cached=5;reasoning=7", "", 1, prompt + 20},
		"the provider's 500":                    {"status=500", noRetries, 1, 0},
		"the provider's 400":                    {"body=context", "", 1, 0},
		"the provider's 429":                    {"status=429", noRetries + asStream, 1, 0},
		"a provider that fails once":            {"status=500;times=1;id=ledger", "", 2, prompt + 8},
		"a provider that fails once, in stream": {"status=503;times=1;id=ledgers", asStream, 2, prompt + 8},
	} {
		t.Run(name, func(t *testing.T) {
			before := g.used(t, "only")
			got := g.post("/v1/chat/completions", ask("gpt", test.plan, test.fields))
			if strings.Contains(test.fields, asStream) && got.Status == http.StatusOK {
				if seen := strings.Contains(got.Body, `"choices":[]`); seen != strings.Contains(test.fields, asked) {
					t.Errorf("usage event seen: %v", seen)
				}
			}
			g.idle()
			after := g.used(t, "only")
			want := amounts{before.Requests + test.requests, before.Tokens + test.tokens, 0}
			if diff := cmp.Diff(want, after); diff != "" {
				t.Errorf("status %d (-want +got):\n%s", got.Status, diff)
			}
		})
	}
	for kind, want := range map[string]float64{"cached": 5, "reasoning": 7} {
		if n := g.metrics().sum("nestor_tokens_total", `deployment="only"`, `kind="`+kind+`"`); n != want {
			t.Errorf("%v %s tokens counted, want %v", n, kind, want)
		}
	}
	t.Run("embeddings", func(t *testing.T) {
		before := g.used(t, "only")
		g.post("/v1/embeddings", `{"model":"gpt","input":"0123456789","dimensions":3000}`)
		g.idle()
		if after := g.used(t, "only"); after.Tokens != before.Tokens+3 || after.Requests != before.Requests+1 {
			t.Errorf("%+v after %+v, want 3 tokens more", after, before)
		}
	})
	t.Run("a provider that nobody can reach", func(t *testing.T) {
		if got := g.chat("dead", ""); got.Status != http.StatusServiceUnavailable {
			t.Errorf("status %d: %s", got.Status, got.Body)
		}
		g.idle()
		if diff := cmp.Diff(amounts{}, g.used(t, "dead-id")); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}

// What the provider did not count is counted by what came, or as it was estimated: never as nothing.
func TestWhatNobodyCountedIsEstimated(t *testing.T) {
	t.Parallel()
	a := provide(t, "a")
	g := run(t, yaml(counted, a, a))
	const most = noRetries + `,"max_tokens":40`
	for name, test := range map[string]struct {
		plan, fields string
		leave        time.Duration
		least, most  int64
	}{
		"an answer without usage":          {"usage=none;events=40", most, 0, prompt / 2, 200},
		"a stream without usage":           {"usage=none;events=40", most + asStream, 0, 40, 400},
		"a timeout":                        {"delay=20s", most + `,"timeout":0.3`, 0, 40, 90},
		"a stream that is cut":             {"cut=3000;events=100", most + asStream, 0, 10, 100},
		"an answer that is cut":            {"cut=100;events=100", most, 0, 1, 90},
		"a connection that is reset":       {"reset", most, 0, 40, 90},
		"a client that waited in vain":     {"delay=20s", most, 200 * time.Millisecond, 40, 90},
		"a client that read a little":      {"events=40;gap=50ms", most + asStream, 600 * time.Millisecond, 2, 80},
		"a client that left amid of usage": {"usage=every;events=40;gap=50ms", most + asStream, 600 * time.Millisecond, prompt + 2, prompt + 30},
	} {
		t.Run(name, func(t *testing.T) {
			before := g.used(t, "only")
			g.sendAndLeave(test.leave, ask("gpt", test.plan, test.fields))
			g.idle()
			after := g.used(t, "only")
			if n := after.Tokens - before.Tokens; after.Requests != before.Requests+1 || n < test.least || n > test.most {
				t.Errorf("%d requests and %d tokens more, want 1 and from %d to %d", after.Requests-before.Requests, n, test.least, test.most)
			}
		})
	}
}

// sendAndLeave sends a request and leaves after some time; 0 is never. What comes of it does not matter.
func (g *gateway) sendAndLeave(after time.Duration, body string, headers ...string) {
	g.t.Helper()
	ctx, cancel := context.Background(), func() {}
	if after > 0 {
		ctx, cancel = context.WithTimeout(ctx, after)
	}
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, g.url+"/v1/chat/completions", strings.NewReader(body))
	if err != nil {
		g.t.Fatal(err)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	client := httpClient(g.t)
	response, err := client.Do(r)
	if err != nil {
		return
	}
	defer response.Body.Close()
	_, _ = io.Copy(io.Discard, response.Body)
}

// A debt is paid: what an answer used beyond its estimate is missing in the window.
func TestAnAnswerLongerThanItsEstimateIsADebt(t *testing.T) {
	t.Parallel()
	a := provide(t, "a")
	g := run(t, yaml(limited, a))
	g.post("/v1/chat/completions", ask("by-tpm", "events=1000", `,"max_tokens":4`)) // a provider that does not keep to it
	g.idle()
	if u := g.used(t, "openai/tpm"); u.Tokens != prompt+1000 {
		t.Errorf("%d tokens used, want %d", u.Tokens, prompt+1000)
	}
	got := g.post("/v1/chat/completions", ask("by-tpm", "", `,"max_tokens":4`))
	if wait := got.refusedForNow(t); got.Status != http.StatusTooManyRequests || wait < 50*time.Second || a.total() != 1 {
		t.Errorf("status %d after %d calls, wait %v: the debt is not kept", got.Status, a.total(), wait)
	}
}

func TestAProvidersOwnLimitClosesItsDimensionAlone(t *testing.T) {
	t.Parallel()
	a, b := provide(t, "a"), provide(t, "b")
	g := run(t, yaml(`
model_list:
  - model_name: pair
    litellm_params: {model: openai/m, api_base: $A/v1, api_key: k, order: 1}
    model_info: {id: first}
  - model_name: pair
    litellm_params: {model: openai/m, api_base: $B/v1, api_key: k, order: 2}
    model_info: {id: second}
`, a, b))
	for _, test := range []struct{ plan, dimension string }{
		{"header=x-ratelimit-remaining-tokens:0;header=x-ratelimit-reset-tokens:2s;header=x-ratelimit-remaining-requests:5", "tokens"},
		{"header=x-ratelimit-remaining-requests:0;header=x-ratelimit-reset-requests:1.5s", "requests"},
		{"retry-after=2", "requests"},
	} {
		t.Run(test.plan, func(t *testing.T) {
			g.chat("pair", "status=429;for=a;"+test.plan).succeeds(t)
			closed := g.standing("?model=pair").Deployments[0].WhyNot
			if len(closed) != 1 || closed[0].Why != "exhausted" || closed[0].Dimension != test.dimension || closed[0].Seconds > 2 {
				t.Errorf("the first deployment: %+v, want exhausted %s", closed, test.dimension)
			}
			g.chat("pair", "").succeeds(t)
			if n := calls(a, b); n != [2]int{1, 2} {
				t.Errorf("%v calls, want the limited one left alone at once", n)
			}
			eventually(t, 6*time.Second, "the first deployment is asked again", func() bool {
				g.chat("pair", "").succeeds(t)
				return a.total() > 0
			})
			calls(a, b)
		})
	}
}

func TestAMockWithALimitIsUsedToTheFull(t *testing.T) {
	t.Parallel()
	a := provideAs(t, mock.Options{Name: "a", Meter: true, Plan: mock.Plan{RPM: 10}})
	b := provide(t, "b")
	g := run(t, yaml(firstAndSecond, a, b))
	for range 30 {
		g.chat("pair", "").succeeds(t)
	}
	if n := len(a.Arrivals("m")); n != 11 {
		t.Errorf("%d requests at a provider that admits 10, want one more that is told so", n)
	}
}
