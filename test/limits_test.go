package test

import (
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/nestor-gateway/nestor/cmd/nestor/mock"
	"github.com/nestor-gateway/nestor/ratelimit"
)

// way is what a request may take from its pick to the provider, more than another: a provider sees requests
// that much closer together than they were admitted.
const way = 250 * time.Millisecond

// limited has a limit at every place where one can stand. Every group has models of its own at the provider.
const limited = `
model_list:
  - {model_name: by-rpm, litellm_params: {model: openai/rpm, api_base: $A/v1, api_key: k, rpm: 20}}
  - {model_name: by-tpm, litellm_params: {model: openai/tpm, api_base: $A/v1, api_key: k, tpm: 400}}
  - {model_name: pair, litellm_params: {model: openai/more, api_base: $A/v1, api_key: k, rpm: 9}}
  - {model_name: pair, litellm_params: {model: openai/less, api_base: $A/v1, api_key: k, rpm: 4}}
  - {model_name: below, litellm_params: {model: openai/below, api_base: $A/v1, api_key: k, rpm: 1000}}
  - {model_name: by-edge, litellm_params: {model: below, rpm: 7}}
  - {model_name: by-group, litellm_params: {model: openai/grouped, api_base: $A/v1, api_key: k, rpm: 1000}}
  - {model_name: main, litellm_params: {model: openai/main, api_base: $A/v1, api_key: k, rpm: 5}}
  - {model_name: spare, litellm_params: {model: openai/spare, api_base: $A/v1, api_key: k}}
model_groups:
  by-group: {rpm: 11}
router_settings:
  fallbacks: [{main: [spare]}]
`

func TestNoLimitIsExceededInAnyMinute(t *testing.T) {
	t.Parallel()
	a := provideAs(t, mock.Options{Name: "a", Meter: true})
	g := run(t, yaml(limited, a))
	begin := time.Now()
	// All that is admitted at once, and then all that the end of the first window gives back.
	const length = 67 * time.Second
	var wg sync.WaitGroup
	for _, model := range []string{"by-rpm", "by-tpm", "pair", "by-edge", "by-group", "main"} {
		for range 3 {
			wg.Go(func() { g.pound(model, begin.Add(length)) })
		}
	}
	wg.Wait()
	for model, rpm := range map[string]int{"rpm": 20, "more": 9, "less": 4, "below": 7, "grouped": 11, "main": 5} {
		arrivals := a.Arrivals(model)
		if peak, _ := mock.Peak(arrivals, time.Minute-way); peak > rpm {
			t.Errorf("%s: %d requests in a minute, want at most %d", model, peak, rpm)
		}
		if n := len(arrivals); n < 2*rpm {
			t.Errorf("%s: %d requests in two windows, want %d", model, n, 2*rpm)
		}
	}
	_, tokens := mock.Peak(a.Arrivals("tpm"), time.Minute-way)
	if tokens > 400 {
		t.Errorf("%d tokens in a minute, want at most 400", tokens)
	}
	if tokens < 340 {
		t.Errorf("%d tokens in the fullest minute: much of 400 was left", tokens)
	}
	if len(a.Arrivals("spare")) == 0 {
		t.Error("no request went to the fallback of a full group")
	}
	if n := g.metrics().sum("nestor_answers_total", `group="main"`, `status="200"`); n != 10 {
		t.Errorf("%v answers from a group of rpm 5 with a fallback, want 10 in two windows", n)
	}
	g.idle()
}

// pound asks for a model again and again; whoever has a limit refuses in the right form.
func (g *gateway) pound(model string, until time.Time) {
	client, body := httpClient(g.t), ask(model, "", `,"max_tokens":8`)
	tick := time.NewTicker(120 * time.Millisecond)
	defer tick.Stop()
	for time.Now().Before(until) {
		got, err := do(client, http.MethodPost, g.url+"/v1/chat/completions", body)
		switch {
		case err != nil:
			g.t.Errorf("%s: %v", model, err)
			return
		case got.Status == http.StatusTooManyRequests:
			if got.refusedForNow(g.t); g.t.Failed() {
				return
			}
			<-tick.C
		case got.Status != http.StatusOK:
			g.t.Errorf("%s: status %d: %s", model, got.Status, got.Body)
			return
		}
	}
}

// refusedForNow checks a 429, and returns after how long it wants the client to come back.
func (r reply) refusedForNow(t *testing.T) time.Duration {
	t.Helper()
	seconds, err := strconv.Atoi(r.Header.Get("Retry-After"))
	if err != nil || seconds < 1 || seconds > 60 {
		t.Errorf("retry-after: %q", r.Header.Get("Retry-After"))
	}
	milliseconds, err := strconv.Atoi(r.Header.Get("Retry-After-Ms"))
	wait := time.Duration(milliseconds) * time.Millisecond
	if err != nil || wait > time.Minute || int(math.Ceil(wait.Seconds())) != seconds {
		t.Errorf("retry-after-ms: %q beside %d s", r.Header.Get("Retry-After-Ms"), seconds)
	}
	p := r.problem(t)
	if p.Code == nil || *p.Code != "rate_limit_exceeded" || !strings.Contains(p.Message, "No deployments available for selected model") {
		t.Errorf("%+v", p)
	}
	kind := p.Type // requests or tokens
	if limit := r.Header.Get("X-Ratelimit-Limit-" + kind); limit == "" || !strings.Contains(p.Message, "Limit "+limit) {
		t.Errorf("limit %q for %q", limit, p.Message)
	}
	if left := r.Header.Get("X-Ratelimit-Remaining-" + kind); !strings.Contains(p.Message, "Remaining "+left) {
		t.Errorf("remaining %q for %q", left, p.Message)
	}
	if reset, err := time.ParseDuration(r.Header.Get("X-Ratelimit-Reset-" + kind)); err != nil || reset < wait.Truncate(time.Second) || reset > time.Minute+time.Second {
		t.Errorf("reset %q beside a wait of %v", r.Header.Get("X-Ratelimit-Reset-"+kind), wait)
	}
	return wait
}

func TestRetryAfterIsEnoughAndNotTooMuch(t *testing.T) {
	t.Parallel()
	a := provide(t, "a")
	g := run(t, yaml(limited, a))
	for range 5 {
		g.chat("main", "", "X-Litellm-Num-Retries", "0")
	}
	body := ask("main", "", `,"disable_fallbacks":true`)
	wait := g.post("/v1/chat/completions", body).refusedForNow(t)
	if wait < 50*time.Second {
		t.Fatalf("a wait of %v for what was used just now", wait)
	}
	<-time.After(wait)
	g.post("/v1/chat/completions", body).succeeds(t)
}

func TestAnAnswerSaysWhatIsLeft(t *testing.T) {
	t.Parallel()
	a := provide(t, "a")
	g := run(t, yaml(limited, a))
	plan := "header=x-ratelimit-limit-requests:77;header=x-ratelimit-remaining-tokens:78"
	for _, fields := range []string{`,"max_tokens":8`, `,"max_tokens":8` + asStream} {
		before := g.used(t, "openai/tpm")
		got := g.post("/v1/chat/completions", ask("by-tpm", plan, fields))
		want := map[string]string{
			"X-Ratelimit-Limit-Tokens": "400", "X-Ratelimit-Remaining-Tokens": got.Header.Get("X-Ratelimit-Remaining-Tokens"),
			"X-Ratelimit-Reset-Tokens": got.Header.Get("X-Ratelimit-Reset-Tokens"), "X-Ratelimit-Limit-Requests": "",
			"Llm_provider-X-Ratelimit-Limit-Requests": "77", "Llm_provider-X-Ratelimit-Remaining-Tokens": "78",
		}
		found := map[string]string{}
		for name := range want {
			found[name] = got.Header.Get(name)
		}
		if diff := cmp.Diff(want, found); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		left, err := strconv.ParseInt(found["X-Ratelimit-Remaining-Tokens"], 10, 64)
		if err != nil || left >= 400-before.Tokens || left < 300 {
			t.Errorf("%d tokens left of 400, %d used before", left, before.Tokens)
		}
		if reset, err := time.ParseDuration(found["X-Ratelimit-Reset-Tokens"]); err != nil || reset < 50*time.Second || reset > time.Minute {
			t.Errorf("reset %v, %v", reset, err)
		}
		g.idle()
	}
	got := g.chat("by-edge", "")
	if got.Header.Get("X-Ratelimit-Limit-Requests") != "7" || got.Header.Get("X-Ratelimit-Remaining-Requests") != "6" {
		t.Errorf("not the tightest limit on the way: %v", got.Header)
	}
	// A provider's failure says what is left too.
	got = g.chat("by-rpm", "status=400")
	if got.Header.Get("X-Ratelimit-Limit-Requests") != "20" || got.Status != http.StatusBadRequest {
		t.Errorf("status %d: %v", got.Status, got.Header)
	}
	if got = g.chat("spare", ""); got.Header.Get("X-Ratelimit-Limit-Requests") != "" {
		t.Errorf("a limit where there is none: %v", got.Header)
	}
}

func TestARequestThatIsLargerThanTheLimitIsToldSo(t *testing.T) {
	t.Parallel()
	a := provide(t, "a")
	g := run(t, yaml(limited, a))
	long := strings.Repeat("word ", 1000)
	got := g.post("/v1/chat/completions", `{"model":"by-tpm","messages":[{"role":"user","content":"`+long+`"}]}`)
	p := got.problem(t)
	if got.Status != http.StatusTooManyRequests || p.Type != "tokens" || !strings.Contains(p.Message, "Request too large") ||
		got.Header.Get("Retry-After") != "" || got.Header.Get("X-Should-Retry") != "false" || a.total() != 0 {
		t.Errorf("status %d after %d calls: %+v, %v", got.Status, a.total(), p, got.Header)
	}
	// A guess that is too large is no reason: the answer may be short.
	g.chat("by-tpm", "").succeeds(t)
}

// Of parallel requests there are never more than the limit at the provider, and all of them are given back.
func TestNoMoreRequestsAtOnceThanTheLimit(t *testing.T) {
	t.Parallel()
	a := provide(t, "a")
	crowd := watch(t, a)
	g := run(t, yaml(`
model_list:
  - model_name: few
    litellm_params: {model: openai/few, api_base: $A/v1, api_key: k, max_parallel_requests: 3}
    model_info: {id: few-id}
`, &upstream{a.Server, crowd.url}))
	found := g.swarm("few", []string{"delay=40ms", "events=4;gap=15ms", "status=500"})
	if peak := crowd.most(); peak != 3 {
		t.Errorf("%d requests at once, want 3 at most and at times", peak)
	}
	if found[http.StatusOK] == 0 || found[http.StatusTooManyRequests] == 0 || found[http.StatusInternalServerError] == 0 {
		t.Errorf("answers by status: %v", found)
	}
	g.swarm("few", []string{"cut=30;delay=20ms", "reset;delay=10ms"})
	g.leave(3, ask("few", "delay=20s"))
	g.idle()
	g.chat("few", "").succeeds(t)
}

// swarm sends 144 requests that are not to be retried, twelve at a time, streams and others, each with one of the
// plans, and counts their answers by status; 0 are those that broke off.
func (g *gateway) swarm(model string, plans []string) map[int]int {
	g.t.Helper()
	return g.swarmWith(model, plans, noRetries)
}

// swarmWith is swarm with other members in the requests' bodies.
func (g *gateway) swarmWith(model string, plans []string, fields string) map[int]int {
	g.t.Helper()
	var wg sync.WaitGroup
	var mu sync.Mutex
	found := map[int]int{}
	for i := range 12 {
		wg.Go(func() {
			client := httpClient(g.t)
			for k := range 12 {
				extra := []string{fields, fields + asStream}[k%2]
				got, err := do(client, http.MethodPost, g.url+"/v1/chat/completions", ask(model, plans[(i+k)%len(plans)], extra))
				if err != nil {
					got.Status = 0
				}
				mu.Lock()
				found[got.Status]++
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return found
}

// standing is /status.
type standing struct {
	Deployments []struct {
		ID       string
		Model    string
		InFlight int64 `json:"in_flight"`
		WhyNot   []struct {
			Why, Dimension string
			Seconds        float64
		} `json:"why_not"`
		Limits []struct {
			Dimension string
			Used      int64
		}
	}
}

func (g *gateway) standing(query string) (s standing) {
	g.t.Helper()
	got, err := do(httpClient(g.t), http.MethodGet, g.http+"/status"+query, "")
	if err != nil || got.Status != http.StatusOK || json.Unmarshal([]byte(got.Body), &s) != nil {
		g.t.Fatalf("/status: %d, %v: %s", got.Status, err, got.Body)
	}
	return s
}

// amounts are what a deployment has used in the last minute, and what is there now.
type amounts struct{ Requests, Tokens, Parallel int64 }

// used tells of a deployment by its id, or by its model when that is the only one.
func (g *gateway) used(t *testing.T, name string) (u amounts) {
	t.Helper()
	for _, d := range g.standing("").Deployments {
		if d.ID != name && d.Model != name {
			continue
		}
		for _, l := range d.Limits {
			*map[string]*int64{
				ratelimit.Requests.String(): &u.Requests, ratelimit.Tokens.String(): &u.Tokens, ratelimit.Parallel.String(): &u.Parallel,
			}[l.Dimension] = l.Used
		}
		if d.InFlight != u.Parallel {
			t.Errorf("%s: %d in flight, %d parallel", name, d.InFlight, u.Parallel)
		}
		return u
	}
	t.Fatalf("no deployment %q in /status", name)
	return u
}

// idle waits until nothing is in flight any more: then all that ended is settled.
func (g *gateway) idle() {
	g.t.Helper()
	var busy []string
	if !soon(secondsToSettle, func() bool { busy = g.busy(); return busy == nil }) {
		g.t.Fatalf("still in flight after %v: %v", secondsToSettle, busy)
	}
}

// busy are the deployments with requests in flight.
func (g *gateway) busy() (found []string) {
	g.t.Helper()
	for _, d := range g.standing("").Deployments {
		if d.InFlight != 0 {
			found = append(found, fmt.Sprintf("%d at %s", d.InFlight, d.Model))
		}
	}
	return found
}
