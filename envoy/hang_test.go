package envoy_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nestor-gateway/nestor/envoy"
)

// relay passes connections on to an address until it is paused: like a stopped process it then
// takes bytes and connections, and says nothing.
type relay struct {
	mu sync.RWMutex // locked while it is paused
	to string

	open  sync.Mutex
	conns []net.Conn
}

// startRelay returns a relay and its own address.
func startRelay(t *testing.T, to string) (*relay, string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &relay{to: to}
	var wait sync.WaitGroup
	wait.Go(func() {
		for {
			from, err := listener.Accept()
			if err != nil {
				return
			}
			wait.Go(func() { r.pass(from) })
		}
	})
	t.Cleanup(func() {
		listener.Close()
		r.open.Lock()
		for _, c := range r.conns {
			c.Close()
		}
		r.open.Unlock()
		wait.Wait()
	})
	return r, listener.Addr().String()
}

func (r *relay) pass(from net.Conn) {
	to, err := net.Dial("tcp", r.to)
	if err != nil {
		from.Close()
		return
	}
	r.open.Lock()
	r.conns = append(r.conns, from, to)
	r.open.Unlock()
	go r.copy(from, to)
	r.copy(to, from)
}

func (r *relay) copy(to io.WriteCloser, from io.ReadCloser) {
	defer to.Close()
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		r.mu.RLock()
		_, werr := to.Write(buffer[:n])
		r.mu.RUnlock()
		if err != nil || werr != nil {
			return
		}
	}
}

func TestAHungProcessorIsLeftWithinTwoSeconds(t *testing.T) {
	up := upstream(t, "up", func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "ok") })
	_, second := serveProcessor(t, &processor{decide: always("up")})
	hung, address := startRelay(t, second)
	g := startGateway(t, always("up"), func(o *envoy.Options) { o.Processors = append(o.Processors, address) }, up)
	eventually(t, "both processors are healthy", func() bool { return g.stat(t, "cluster.nestor-grpc.membership_healthy") == "2" })

	hung.mu.Lock()
	defer hung.mu.Unlock()
	stopped := time.Now()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	var wait sync.WaitGroup
	for time.Since(stopped) < 2500*time.Millisecond {
		wait.Go(func() {
			start := time.Now()
			resp, err := http.Post(g.url("/v1/chat/completions"), "application/json", strings.NewReader("{}"))
			if err != nil {
				t.Error(err)
				return
			}
			resp.Body.Close()
			took := time.Since(start)
			if resp.StatusCode != http.StatusOK || took > 2*time.Second || start.Sub(stopped) > 2*time.Second && took > 300*time.Millisecond {
				t.Errorf("a request %v after the stop: %d after %v", start.Sub(stopped), resp.StatusCode, took)
			}
		})
		<-tick.C
	}
	wait.Wait()
}

func TestEntriesWaitWhileEveryProcessorIsDown(t *testing.T) {
	release := make(chan struct{})
	var waiting atomic.Int32
	up := upstream(t, "up", func(w http.ResponseWriter, r *http.Request) {
		waiting.Add(1)
		<-release
		io.WriteString(w, "ok")
	})
	g := startGateway(t, always("up"), nil, up)
	const n = 50
	var wait sync.WaitGroup
	for range n {
		wait.Go(func() {
			resp, body := g.send(t, http.MethodPost, "/v1/chat/completions", "{}")
			if resp.StatusCode != http.StatusOK || body != "ok" {
				t.Errorf("%d %s", resp.StatusCode, body)
			}
		})
	}
	eventually(t, "all are at the upstream", func() bool { return waiting.Load() == n })
	g.grpc.Stop()
	eventually(t, "Envoy knows that the processor is down", func() bool { return g.stat(t, "cluster.nestor-log.membership_healthy") == "0" })
	close(release)
	wait.Wait()
	again := &processor{decide: always("up")}
	serveGRPC(t, g.options.Processors[0], again.register)
	eventually(t, "every entry", func() bool { return len(again.logged()) == n })
}

func TestClientsThatLeaveEarlyDisturbNobody(t *testing.T) {
	release := make(chan struct{})
	var waiting atomic.Int32
	up := upstream(t, "up", func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		if r.Header.Get("x-leave") != "" {
			silent(w, r)
			return
		}
		waiting.Add(1)
		<-release
		io.WriteString(w, "ok")
	})
	g := startGateway(t, always("up"), nil, up)
	var stay sync.WaitGroup
	for range 50 {
		stay.Go(func() {
			if resp, body := g.send(t, http.MethodPost, "/v1/chat/completions", "{}"); resp.StatusCode != http.StatusOK || body != "ok" {
				t.Errorf("%d %s", resp.StatusCode, body)
			}
		})
	}
	eventually(t, "all are at the upstream", func() bool { return waiting.Load() == 50 })
	forEach(600, func(int) {
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
		defer cancel()
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, g.url("/v1/chat/completions"), strings.NewReader("{}"))
		if err != nil {
			t.Error(err)
			return
		}
		r.Header.Set("x-leave", "1")
		if resp, err := http.DefaultTransport.RoundTrip(r); err == nil {
			resp.Body.Close()
			t.Error("a client that left has an answer")
		}
	})
	close(release)
	stay.Wait()
	if n := waiting.Load(); n != 50 {
		t.Errorf("the upstream was called %d times for 50 requests", n)
	}
}

func TestStreamsThatNobodyReadsHoldUpNobody(t *testing.T) {
	up := upstream(t, "up", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("x-flood") != "" {
			for r.Context().Err() == nil {
				w.Write(make([]byte, 64<<10))
			}
			return
		}
		io.WriteString(w, "ok")
	})
	g := startGateway(t, always("up"), nil, up)
	flood := http.Header{"X-Flood": {"1"}}
	for range 40 {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, g.url("/v1/chat/completions"), nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header = flood
		resp, err := http.DefaultTransport.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
	}
	eventually(t, "their windows are full", func() bool {
		before := g.stat(t, "cluster.up.upstream_cx_rx_bytes_total")
		<-time.After(100 * time.Millisecond)
		return before != "0" && before == g.stat(t, "cluster.up.upstream_cx_rx_bytes_total")
	})
	start := time.Now()
	forEach(50, func(int) {
		if resp, body := g.send(t, http.MethodPost, "/v1/chat/completions", "{}"); resp.StatusCode != http.StatusOK || body != "ok" {
			t.Errorf("%d %s", resp.StatusCode, body)
		}
	})
	if took := time.Since(start); took > 2*time.Second {
		t.Errorf("50 requests took %v", took)
	}
}

// stat reads one of Envoy's statistics.
func (g *gateway) stat(t *testing.T, name string) string {
	t.Helper()
	resp, err := http.Get("http://" + g.options.Admin + "/stats?filter=^" + name + "$")
	if err != nil {
		return ""
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	_, value, _ := strings.Cut(strings.TrimSpace(string(body)), ": ")
	return value
}
