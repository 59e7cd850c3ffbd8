package envoy_test

import (
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
	mu     sync.RWMutex // held by pause
	to     string
	closed []net.Conn
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
		r.mu.TryLock()
		r.mu.Unlock()
		for _, c := range r.closed {
			c.Close()
		}
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
	r.mu.RLock()
	r.closed = append(r.closed, from, to)
	r.mu.RUnlock()
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
	hung.mu.Unlock()
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
