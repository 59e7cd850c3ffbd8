package test

import (
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nestor-gateway/nestor/cmd/nestor/mock"
)

// One worker, so that all clients share its one connection between the two levels of Envoy.

func TestClientsThatLeaveEarlyDisturbNobody(t *testing.T) {
	a := provideAs(t, mock.Options{Name: "a"})
	g := run(t, yaml(oneDeployment, a))
	const streams = 50
	before := time.Now()
	wait := g.together(streams, ask("gpt", "events=100;gap=30ms", asStream))
	eventually(t, 10*time.Second, "all streams have begun", func() bool { return a.Report().Open == streams })
	g.leave(600, ask("gpt", "delay=20s"))
	g.whole(wait(), before)
	if aborted := a.Report().Aborted; aborted < 300 {
		t.Errorf("only %d of 600 clients left while the provider thought: the test shows nothing", aborted)
	}
}

// leave opens n connections, sends a request on each and closes it before there is an answer.
func (g *gateway) leave(n int, body string) {
	g.t.Helper()
	var wg sync.WaitGroup
	slots := make(chan struct{}, 150)
	for range n {
		wg.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
			defer cancel()
			if got, err := doWith(ctx, http.DefaultClient, http.MethodPost, g.url+"/v1/chat/completions", body); err == nil {
				g.t.Errorf("an answer that was not due: %+v", got)
			}
		})
	}
	wg.Wait()
	http.DefaultClient.CloseIdleConnections()
}

// whole checks 50 streams of 100 events, 30 ms apart, that began then.
func (g *gateway) whole(replies []reply, began time.Time) {
	g.t.Helper()
	want := mock.Content(100, 0)
	for i, got := range replies {
		if text, done := spoken(got.Body); got.Status != http.StatusOK || text != want || !done {
			g.t.Errorf("stream %d: status %d, %d events", i, got.Status, len(events(got.Body)))
		}
	}
	// 3 s by themselves, and for ever where one client can hold up another.
	if took := time.Since(began); took > 10*time.Second {
		g.t.Errorf("the streams took %v", took)
	}
}

// The body limit is also what Envoy holds of an answer that nobody reads: with 4 MiB the buffers are
// full within seconds.
func TestClientsThatNeverReadDisturbNobody(t *testing.T) {
	a := provideAs(t, mock.Options{Name: "a"})
	g := run(t, yaml(oneDeployment, a), "--body-limit=4194304")
	const lazy = 40
	for range lazy {
		g.neverRead(ask("gpt", "events=10000;size=4096;gap=1us", asStream)) // 40 MB each, more than all buffers hold
	}
	eventually(t, 10*time.Second, "all unread streams have begun", func() bool { return a.Report().Open == lazy })
	g.quiet()
	before := time.Now()
	g.whole(g.together(50, ask("gpt", "events=100;gap=30ms", asStream))(), before)
	if open := a.Report().Open; open != lazy {
		t.Errorf("%d unread streams still blocked, want %d: the test shows nothing", open, lazy)
	}
}

// quiet waits until nothing more comes from the upstream, nor goes from the inner to the outer level:
// all that is unread is stuck.
func (g *gateway) quiet() {
	g.t.Helper()
	sent, since := 0.0, time.Now()
	eventually(g.t, 60*time.Second, "unread streams are stuck", func() bool {
		stats := g.envoyStats()
		now := stats.sum("envoy_cluster_upstream_cx_rx_bytes_total", `envoy_cluster_name="attempt"`) +
			stats.sum("envoy_cluster_upstream_cx_rx_bytes_total", `envoy_cluster_name="http_`)
		if now != sent {
			sent, since = now, time.Now()
		}
		return time.Since(since) > 700*time.Millisecond
	})
}

// neverRead sends a request on a connection that nobody reads, open until the test ends.
func (g *gateway) neverRead(body string) {
	g.t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(g.url, "http://"))
	if err != nil {
		g.t.Fatal(err)
	}
	g.t.Cleanup(func() { _ = conn.Close() })
	if err := conn.(*net.TCPConn).SetReadBuffer(16 << 10); err != nil {
		g.t.Fatal(err)
	}
	request, err := http.NewRequest(http.MethodPost, g.url+"/v1/chat/completions", strings.NewReader(body))
	if err != nil {
		g.t.Fatal(err)
	}
	if err := request.Write(conn); err != nil {
		g.t.Fatal(err)
	}
}

func TestFiveHundredStreamsAtOnce(t *testing.T) {
	a := provideAs(t, mock.Options{Name: "a"})
	g := run(t, yaml(oneDeployment, a))
	const streams = 500
	wait := g.together(streams, ask("gpt", "first=3s;events=10;gap=10ms", asStream))
	eventually(t, 15*time.Second, "all streams are open at once", func() bool { return a.Report().Open == streams })
	want := mock.Content(10, 0)
	for i, got := range wait() {
		if text, done := spoken(got.Body); got.Status != http.StatusOK || text != want || !done {
			t.Errorf("stream %d: status %d: %s", i, got.Status, got.Body)
		}
	}
}

// Vectors of 10 MB: Envoy must not look at each of their bytes.
func TestALargeEmbeddingsAnswerIsHardlySlower(t *testing.T) {
	a := provideAs(t, mock.Options{Name: "a"})
	g := run(t, yaml(oneDeployment, a))
	inputs := strings.Repeat(`"x",`, 199) + `"x"`
	body := func(model string) string {
		return `{"model":"` + model + `","dimensions":4096,"input":[` + inputs + `]}`
	}
	client := httpClient(t)
	measure := func(url, model string) (best time.Duration) {
		best = time.Hour
		for range 5 {
			before := time.Now()
			response, err := client.Post(url+"/v1/embeddings", "application/json", strings.NewReader(body(model)))
			if err != nil {
				t.Fatal(err)
			}
			n, err := io.Copy(io.Discard, response.Body)
			if err != nil || n < 9<<20 {
				t.Fatalf("%d bytes, %v", n, err)
			}
			_ = response.Body.Close()
			best = min(best, time.Since(before))
		}
		return best
	}
	direct := measure(a.url, "gpt-mini")
	through := measure(g.url, "gpt")
	t.Logf("direct %v, through nestor %v", direct, through)
	if through-direct > 150*time.Millisecond {
		t.Errorf("%v directly, %v through nestor", direct, through)
	}
	tokens := float64((len(inputs) + 2 + 3) / 4)
	g.settles("nestor_tokens_total", samples{
		`nestor_tokens_total{deployment="only",kind="prompt"}`: 5 * tokens,
		`nestor_tokens_total{deployment="only",kind="total"}`:  5 * tokens,
	})
}
