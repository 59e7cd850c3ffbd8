package test

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nestor-gateway/nestor/cmd/nestor/mock"
)

// together sends the same request n times at once, and returns a function that waits for the replies.
func (g *gateway) together(n int, body string, headers ...string) (wait func() []reply) {
	g.t.Helper()
	client, replies := httpClient(g.t), make([]reply, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			got, err := do(client, http.MethodPost, g.url+"/v1/chat/completions", body, headers...)
			if err != nil {
				g.t.Errorf("request %d: %v after %d bytes", i, err, len(got.Body))
			}
			replies[i] = got
		})
	}
	return func() []reply { wg.Wait(); return replies }
}

func TestStreamsSurviveTheKillingOfNestor(t *testing.T) {
	a := provideAs(t, mock.Options{Name: "a"})
	g := run(t, yaml(oneDeployment, a))
	const streams, events = 100, 100
	wait := g.together(streams, ask("gpt", "events=100;gap=20ms", asStream))
	eventually(t, 10*time.Second, "all streams have begun", func() bool { return a.Report().Open == streams })
	g.kill()
	if open := a.Report().Open; open != streams {
		t.Fatalf("%d streams open when nestor was gone, want all: the test is too slow", open)
	}
	want := mock.Content(events, 0)
	for i, got := range wait() {
		if text, done := spoken(got.Body); got.Status != http.StatusOK || text != want || !done {
			t.Errorf("stream %d: status %d, %d events", i, got.Status, len(strings.Split(got.Body, "\n\n")))
		}
	}
	if a.total() != streams {
		t.Errorf("%d upstream calls, want %d", a.total(), streams)
	}
}

func TestAnswersThatAreWaitedForSurviveTheKillingOfNestor(t *testing.T) {
	a := provideAs(t, mock.Options{Name: "a"})
	g := run(t, yaml(oneDeployment, a))
	const requests = 50
	wait := g.together(requests, ask("gpt", "delay=1500ms"))
	eventually(t, 10*time.Second, "all requests have reached the provider", func() bool { return a.Report().Open == requests })
	g.kill()
	if open := a.Report().Open; open != requests {
		t.Fatalf("%d requests waited when nestor was gone, want all: the test is too slow", open)
	}
	for _, got := range wait() {
		got.succeeds(t)
	}
	if a.total() != requests {
		t.Errorf("%d upstream calls, want %d", a.total(), requests)
	}
}

func TestAnOutageOfNestorFailsNoRequestAndLosesNoLogEntry(t *testing.T) {
	a := provideAs(t, mock.Options{Name: "a"})
	g := run(t, yaml(oneDeployment, a))
	// Of different lengths, so that some end at any time.
	var loads [4]*load
	for i := range loads {
		loads[i] = g.load(4, ask("gpt", "delay="+strconv.Itoa(300+130*i)+"ms"))
	}
	<-time.After(1200 * time.Millisecond)
	if !g.healthy() {
		t.Fatal("Envoy does not know that nestor is up")
	}
	g.kill()
	died := time.Now()
	known := g.knownDown()
	<-time.After(time.Until(died.Add(900 * time.Millisecond)))
	g.launch()
	restarted := time.Now()
	g.ready()
	<-time.After(1200 * time.Millisecond)
	l := gather(t, loads[:])
	if down := l.between(known, restarted); down == 0 {
		t.Fatal("no answer ended during the outage: the test shows nothing")
	}
	// Entries are counted by the nestor that lives now. What ended just before the kill may be among them.
	least, most := l.between(known, time.Now()), l.between(died.Add(-250*time.Millisecond), time.Now())
	entries := func() int { return int(g.metrics().sum("nestor_answers_total", `group="gpt"`, `status="200"`)) }
	if !soon(secondsToSettle, func() bool { return entries() >= least }) {
		t.Errorf("%d log entries for at least %d answers", entries(), least)
	}
	if n := entries(); n > most {
		t.Errorf("%d log entries for at most %d answers: some were counted twice", n, most)
	}
	if l.failed == 0 && a.total() != len(l.ends) {
		t.Errorf("%d upstream calls for %d answers", a.total(), len(l.ends))
	}
}

// knownDown waits until Envoy's health check has found that nestor is gone, and says when that was.
func (g *gateway) knownDown() time.Time {
	g.t.Helper()
	eventually(g.t, 700*time.Millisecond, "Envoy knows that nestor is down", func() bool { return !g.healthy() })
	return time.Now()
}

// healthy reports whether Envoy takes nestor for one that receives the access log.
func (g *gateway) healthy() bool {
	g.t.Helper()
	return g.envoyStats().sum("envoy_cluster_membership_healthy", `envoy_cluster_name="nestor-log"`) == 1
}

// load is clients that each send one request after the other.
type load struct {
	halt   chan struct{}
	wg     sync.WaitGroup
	mu     sync.Mutex
	ends   []time.Time // of good answers
	failed int
	first  string // failure
}

func (g *gateway) load(clients int, body string) *load {
	g.t.Helper()
	l := &load{halt: make(chan struct{})}
	client := httpClient(g.t)
	for range clients {
		l.wg.Go(func() {
			for {
				select {
				case <-l.halt:
					return
				default:
					l.note(do(client, http.MethodPost, g.url+"/v1/chat/completions", body))
				}
			}
		})
	}
	return l
}

func (l *load) note(got reply, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err == nil && got.Status == http.StatusOK {
		l.ends = append(l.ends, time.Now())
		return
	}
	if l.failed++; l.failed == 1 {
		l.first = errorText(err) + ", " + http.StatusText(got.Status) + ": " + got.Body
	}
}

// stop ends the load; a request that failed fails the test.
func (l *load) stop(t *testing.T) {
	t.Helper()
	close(l.halt)
	l.wg.Wait()
	if l.failed > 0 || len(l.ends) == 0 {
		t.Errorf("%d requests failed and %d did not, the first with %s", l.failed, len(l.ends), l.first)
	}
}

// gather ends several loads and makes one of them.
func gather(t *testing.T, loads []*load) *load {
	t.Helper()
	all := &load{}
	for _, l := range loads {
		l.stop(t)
		all.ends = append(all.ends, l.ends...)
		all.failed += l.failed
	}
	return all
}

func (l *load) between(from, to time.Time) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := 0
	for _, end := range l.ends {
		if end.After(from) && end.Before(to) {
			n++
		}
	}
	return n
}

func (l *load) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.ends)
}

func TestTheNextRunAdoptsTheEnvoyOfAKilledOne(t *testing.T) {
	a := provide(t, "a")
	g := run(t, yaml(oneDeployment, a))
	envoy := g.envoy()
	g.kill()
	if !alive(envoy) {
		t.Fatal("Envoy went with nestor")
	}
	g.start()
	if g.envoy() != envoy {
		t.Errorf("Envoy %d instead of %d", g.envoy(), envoy)
	}
	if line := last(g.lines("ready")); !strings.Contains(line, "adopted=true") {
		t.Errorf("nestor does not say so: %s", line)
	}
	g.chat("gpt", "").succeeds(t)

	if err := syscall.Kill(envoy, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	g.answersSoon("an adopted Envoy that died is started again", "gpt")
	if g.envoy() == envoy {
		t.Errorf("Envoy %d still", envoy)
	}

	second := g.envoy()
	g.kill()
	admin := freeAddresses(t, 1)[0]
	g.args, g.admin = append(g.args, "--admin-listen", admin), "http://"+admin
	g.start()
	if g.envoy() == second || alive(second) {
		t.Errorf("an Envoy with another bootstrap was adopted, or lives on")
	}
	g.chat("gpt", "").succeeds(t)
	third := g.envoy()
	g.nestor.signal(t, syscall.SIGTERM)
	if status := g.nestor.exitStatus(t, 10*time.Second); status != 0 || alive(third) {
		t.Errorf("exit status %d, Envoy alive: %v", status, alive(third))
	}
}

func last(lines []string) string {
	if len(lines) == 0 {
		return ""
	}
	return lines[len(lines)-1]
}

// answersSoon waits until a request is answered.
func (g *gateway) answersSoon(what, model string, headers ...string) {
	g.t.Helper()
	client := httpClient(g.t)
	eventually(g.t, 10*time.Second, what, func() bool {
		got, err := do(client, http.MethodPost, g.url+"/v1/chat/completions", ask(model, ""), headers...)
		return err == nil && got.Status == http.StatusOK
	})
}

func TestAnEnvoyThatDiesIsStartedAgain(t *testing.T) {
	t.Parallel()
	a := provide(t, "a")
	g := run(t, yaml(oneDeployment, a))
	first := g.envoy()
	if err := syscall.Kill(first, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	g.answersSoon("an Envoy that died is started again", "gpt")
	if now := g.envoy(); now == first || now == 0 {
		t.Errorf("Envoy %d after %d", now, first)
	}
}

func TestOnSIGTERMRequestsInFlightEndAndThenAllIsGone(t *testing.T) {
	t.Parallel()
	a := provideAs(t, mock.Options{Name: "a"})
	g := run(t, yaml(oneDeployment, a))
	envoy := g.envoy()
	answers, streams := g.together(5, ask("gpt", "delay=1s")), g.together(5, ask("gpt", "events=50;gap=20ms", asStream))
	eventually(t, 5*time.Second, "all requests have reached the provider", func() bool { return a.Report().Open == 10 })
	g.nestor.signal(t, syscall.SIGTERM)
	for _, got := range answers() {
		got.succeeds(t)
	}
	for _, got := range streams() {
		if text, done := spoken(got.Body); text != mock.Content(50, 0) || !done {
			t.Errorf("a stream was cut: %d bytes", len(got.Body))
		}
	}
	if status := g.nestor.exitStatus(t, 5*time.Second); status != 0 {
		t.Errorf("exit status %d", status)
	}
	if alive(envoy) {
		t.Error("Envoy lives on")
	}
}

func TestNestorIsReadyWithinThreeSeconds(t *testing.T) {
	a := provide(t, "a")
	g := prepare(t, yaml(oneDeployment, a))
	before := time.Now()
	g.start()
	if took := time.Since(before); took > 3*time.Second {
		t.Errorf("ready after %v", took)
	}
	g.chat("gpt", "").succeeds(t)
	line := last(g.lines("ready"))
	for _, address := range []string{g.url, g.http, g.admin} {
		if !strings.Contains(line, strings.TrimPrefix(address, "http://")) {
			t.Errorf("%s is not in %s", address, line)
		}
	}
}

func TestTwoRunsOnOneAddressAreRefused(t *testing.T) {
	t.Parallel()
	a := provide(t, "a")
	g := run(t, yaml(oneDeployment, a))
	at := freeAddresses(t, 3)
	args := slices.Clone(g.args)
	for i, arg := range args {
		for k, flag := range []string{"--grpc-listen", "--http-listen", "--admin-listen"} {
			if arg == flag {
				args[i+1] = at[k]
			}
		}
	}
	other := launch(t, t.TempDir(), "other.log", binary(t), args...)
	if status := other.exitStatus(t, 10*time.Second); status != 1 || !strings.Contains(other.text(t), strings.TrimPrefix(g.url, "http://")) {
		t.Errorf("exit status %d: %s", status, other.text(t))
	}
	g.chat("gpt", "").succeeds(t)
}

func TestAClientThatLeavesIsCountedAsSuch(t *testing.T) {
	t.Parallel()
	a := provideAs(t, mock.Options{Name: "a"})
	g := run(t, yaml(oneDeployment, a))
	g.leave(3, ask("gpt", "delay=20s"))
	g.leave(2, ask("gpt", "gap=20s", asStream))
	eventually(t, 5*time.Second, "the provider sees them leave", func() bool { return a.Report().Aborted == 5 })
	g.settles("nestor_attempts_total", samples{
		`nestor_attempts_total{deployment="only",outcome="abort",status="0"}`:   3,
		`nestor_attempts_total{deployment="only",outcome="abort",status="200"}`: 2,
	})
}
