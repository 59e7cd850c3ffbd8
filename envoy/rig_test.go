package envoy_test

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/nestor-gateway/nestor/envoy"
	"github.com/nestor-gateway/nestor/routing"
)

// envoyBinary returns the Envoy to test with.
func envoyBinary(t *testing.T) string {
	t.Helper()
	if testing.Short() {
		t.Skip("needs an Envoy")
	}
	binary := os.Getenv("NESTOR_TEST_ENVOY")
	if binary == "" {
		t.Fatal("NESTOR_TEST_ENVOY is not set: it names the Envoy to test with (`make envoy` prints one), or use -short")
	}
	return binary
}

// gateway is an Envoy with a processor of the test's own.
type gateway struct {
	options envoy.Options
	process *processor
	grpc    *grpc.Server
	dir     string
}

// options returns options with free ports and one processor at this address.
func testOptions(t *testing.T, processors ...string) envoy.Options {
	t.Helper()
	return envoy.Options{
		Listen: freeAddress(t), Admin: freeAddress(t), API: freeAddress(t), Processors: processors,
		NodeID: t.Name(),
	}
}

// startGateway runs an Envoy with a static configuration and one processor.
func startGateway(t *testing.T, decide decider, change func(*envoy.Options), upstreams ...routing.Upstream) *gateway {
	t.Helper()
	g := &gateway{process: &processor{decide: decide}}
	var address string
	g.grpc, address = serveProcessor(t, g.process)
	g.options = testOptions(t, address)
	if change != nil {
		change(&g.options)
	}
	config, err := envoy.Static(g.options, upstreams)
	if err != nil {
		t.Fatal(err)
	}
	g.dir = startEnvoy(t, config, g.options.Admin)
	return g
}

// url is an address at the client listener.
func (g *gateway) url(path string) string { return "http://" + g.options.Listen + path }

// send makes a request and reads the whole answer.
func (g *gateway) send(t *testing.T, method, path, body string, headers ...string) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, g.url(path), bytes.NewReader([]byte(body)))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	return answer(t, http.DefaultTransport, r)
}

func answer(t *testing.T, transport http.RoundTripper, r *http.Request) (*http.Response, string) {
	t.Helper()
	resp, err := transport.RoundTrip(r)
	if err != nil {
		t.Fatalf("%s %s: %v", r.Method, r.URL, err)
	}
	defer resp.Body.Close()
	read, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("%s %s: read the answer: %v", r.Method, r.URL, err)
	}
	return resp, string(read)
}

// serveProcessor serves a processor, with its health and access log, on a free port.
func serveProcessor(t *testing.T, p *processor) (*grpc.Server, string) {
	t.Helper()
	return serveGRPC(t, "127.0.0.1:0", p.register)
}

func serveGRPC(t *testing.T, address string, services ...func(*grpc.Server)) (*grpc.Server, string) {
	t.Helper()
	listener, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	s := grpc.NewServer(envoy.Options{}.GRPCOptions()...)
	healthv1.RegisterHealthServer(s, health.NewServer())
	for _, register := range services {
		register(s)
	}
	go s.Serve(listener)
	t.Cleanup(s.Stop)
	return s, listener.Addr().String()
}

// startEnvoy runs an Envoy until the test ends and returns its directory.
func startEnvoy(t *testing.T, config []byte, admin string) string {
	t.Helper()
	dir := t.TempDir()
	path := filepath.Join(dir, "envoy.json")
	if err := os.WriteFile(path, config, 0o600); err != nil {
		t.Fatal(err)
	}
	log, err := os.Create(filepath.Join(dir, "envoy.log"))
	if err != nil {
		t.Fatal(err)
	}
	level := "warning"
	if os.Getenv("NESTOR_TEST_ENVOY_LOG") != "" {
		level = os.Getenv("NESTOR_TEST_ENVOY_LOG")
	}
	cmd := exec.Command(envoyBinary(t), "-c", path, "--concurrency", "1", "--use-dynamic-base-id", "-l", level)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGTERM)
		cmd.Wait()
		log.Close()
		if t.Failed() {
			showLog(t, log.Name())
		}
	})
	eventually(t, "Envoy is ready", func() bool { return get(t, "http://"+admin+"/ready") == http.StatusOK })
	return dir
}

func showLog(t *testing.T, path string) {
	raw, _ := os.ReadFile(path)
	t.Logf("Envoy's log, its end:\n%s", raw[max(0, len(raw)-8000):])
}

// get returns the status of an answer, or 0.
func get(t *testing.T, address string) int {
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		return 0
	}
	resp.Body.Close()
	return resp.StatusCode
}

// upstream serves a handler and returns the upstream that leads to it.
func upstream(t *testing.T, name string, h http.HandlerFunc) routing.Upstream {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(func() {
		s.CloseClientConnections()
		s.Close()
	})
	return upstreamAt(t, name, s.URL)
}

func upstreamAt(t *testing.T, name, address string) routing.Upstream {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.ParseUint(u.Port(), 10, 16)
	if err != nil {
		t.Fatal(err)
	}
	return routing.Upstream{Name: name, Scheme: u.Scheme, Host: u.Hostname(), Port: uint16(port)}
}

// hostPort is an upstream's address.
func hostPort(u routing.Upstream) string {
	return net.JoinHostPort(u.Host, strconv.Itoa(int(u.Port)))
}
