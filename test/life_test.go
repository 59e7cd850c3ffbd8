package test

import (
	"net/http"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nestor-gateway/nestor/cmd/nestor/mock"
)

// single has room for one request at once.
const single = `
model_list:
  - model_name: one
    litellm_params: {model: openai/one, api_base: $A/v1, api_key: k, max_parallel_requests: 1}
    model_info: {id: one-id}
`

const (
	signs    = time.Second
	lifetime = 4 * signs // without a sign
)

// isFull reports whether a request is refused for want of room.
func (g *gateway) isFull() bool {
	g.t.Helper()
	switch got := g.chat("one", ""); got.Status {
	case http.StatusOK:
		return false
	case http.StatusTooManyRequests:
		return true
	default:
		g.t.Fatalf("status %d: %s", got.Status, got.Body)
		return false
	}
}

// staysFullFor wants the only place to be free within a lifetime from a moment, and not much sooner.
func (g *gateway) staysFullFor(since time.Time) {
	g.t.Helper()
	for g.isFull() {
		if time.Since(since) > lifetime+2*time.Second {
			g.t.Fatalf("still no room %v after the last sign of life", time.Since(since))
		}
		<-time.After(100 * time.Millisecond)
	}
	if took := time.Since(since); took < lifetime-signs-100*time.Millisecond {
		g.t.Errorf("there was room after %v already, want %v", took, lifetime)
	}
}

func TestALostLogEntryTakesNoPlaceForLong(t *testing.T) {
	t.Parallel()
	a := provide(t, "a")
	g := run(t, yaml(single, a), "--signs-of-life", signs.String())
	g.chat("one", "").succeeds(t)
	g.idle() // its entry came: Envoy's stream of them is up
	wait := g.together(1, ask("one", "delay=500ms"))
	eventually(t, 5*time.Second, "the request has reached the provider", func() bool { return a.Report().Open == 1 })
	written := g.logged()
	g.nestor.signal(t, syscall.SIGSTOP) // so that it does not read the entry that Envoy sends it
	wait()[0].succeeds(t)
	eventually(t, secondsToSettle, "Envoy has made the entry", func() bool { return g.logged() > written })
	<-time.After(200 * time.Millisecond) // it has sent it
	g.kill()
	g.start()
	began := time.Now()
	if u := g.used(t, "one-id"); u.Parallel != 1 {
		t.Fatalf("%d in flight: the test lost no entry", u.Parallel)
	}
	g.staysFullFor(began)
	g.idle()
}

// logged counts the entries that Envoy has made.
func (g *gateway) logged() int {
	g.t.Helper()
	got, err := do(httpClient(g.t), http.MethodGet, g.admin+"/stats?filter=grpc_access_log.logs_written", "")
	if err != nil {
		g.t.Fatal(err)
	}
	_, text, _ := strings.Cut(got.Body, ": ")
	n, err := strconv.Atoi(strings.TrimSpace(text))
	if err != nil {
		g.t.Fatalf("%q: %v", got.Body, err)
	}
	return n
}

func TestAnEnvoyThatDiesTakesNoPlaceAlong(t *testing.T) {
	t.Parallel()
	a := provide(t, "a")
	g := run(t, yaml(single, a), "--signs-of-life", signs.String())
	answered := make(chan struct{})
	go func() {
		defer close(answered)
		if got, err := do(httpClient(t), http.MethodPost, g.url+"/v1/chat/completions", ask("one", "delay=30s")); err == nil {
			t.Errorf("an answer without an Envoy: %+v", got)
		}
	}()
	eventually(t, 5*time.Second, "the request has reached the provider", func() bool { return a.Report().Open == 1 })
	died, pid := time.Now(), g.envoy()
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-answered
	eventually(t, 10*time.Second, "another Envoy serves", func() bool {
		_, err := do(httpClient(t), http.MethodGet, g.url+"/v1/models", "")
		return err == nil
	})
	g.staysFullFor(died)
	g.idle()
}

// Answers that take longer than anything is held without a sign of life have their place to the end, with and
// without a nestor in between.
func TestALongAnswerHasItsPlaceToTheEnd(t *testing.T) {
	t.Parallel()
	for name, body := range map[string]string{
		"stream": ask("one", "events=120;gap=100ms", asStream),
		"answer": ask("one", "delay=12s;events=120"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := provideAs(t, mock.Options{Name: "a"})
			g := run(t, yaml(single, a), "--signs-of-life", signs.String())
			wait := g.together(1, body)
			eventually(t, 5*time.Second, "it has reached the provider", func() bool { return a.Report().Open == 1 })
			began, killed := time.Now(), false
			for time.Since(began) < 11*time.Second {
				if !g.isFull() {
					t.Fatalf("after %v there is room for another one", time.Since(began))
				}
				if !killed && time.Since(began) > 5*time.Second {
					g.kill()
					g.start()
					killed = true
				}
				<-time.After(250 * time.Millisecond)
			}
			if got := wait()[0]; got.Status != http.StatusOK {
				t.Errorf("status %d", got.Status)
			}
			g.settled("one-id")
			if u := g.used(t, "one-id"); u.Requests != 1 || u.Tokens != prompt+120 {
				t.Errorf("settled at %+v", u)
			}
			if m := g.metrics(); m.sum("nestor_attempts_total", `deployment="one-id"`) != 1 || m.sum("nestor_attempt_seconds_count", `deployment="one-id"`) != 1 {
				t.Error("signs of life are counted as attempts")
			}
		})
	}
}
