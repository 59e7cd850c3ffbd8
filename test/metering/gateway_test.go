package metering

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/nestor-gateway/nestor/access"
	"github.com/nestor-gateway/nestor/envoy"
	"github.com/nestor-gateway/nestor/extproc"
	"github.com/nestor-gateway/nestor/extproc/provider"
	"github.com/nestor-gateway/nestor/ratelimit"
	"github.com/nestor-gateway/nestor/routing"
	"github.com/nestor-gateway/nestor/routing/config"
)

// ledger remembers how the reservations of each deployment ended, in order.
type ledger struct {
	*ratelimit.Memory
	mu    sync.Mutex
	names map[ratelimit.Entity]string
	held  map[ratelimit.ID]string // the deployment
	ended map[string]chan string  // what was used, by deployment
}

func newLedger(deployments []string) *ledger {
	l := &ledger{
		Memory: ratelimit.NewMemory(ratelimit.Options{Fresh: true}),
		names:  map[ratelimit.Entity]string{}, held: map[ratelimit.ID]string{}, ended: map[string]chan string{},
	}
	for _, d := range deployments {
		l.ended[d] = make(chan string, 100)
	}
	return l
}

func (l *ledger) Declare(limits []ratelimit.Limit) []ratelimit.Entity {
	all := l.Memory.Declare(limits)
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, limit := range limits {
		l.names[all[i]] = limit.Name
	}
	return all
}

func (l *ledger) Reserve(ctx context.Context, r *ratelimit.Reservation) (ratelimit.Standing, *ratelimit.Denial) {
	l.mu.Lock()
	for _, e := range r.Entities {
		if id, ok := strings.CutPrefix(l.names[e], "deployment:"); ok {
			l.held[r.ID] = id
		}
	}
	l.mu.Unlock()
	return l.Memory.Reserve(ctx, r)
}

func (l *ledger) Settle(id ratelimit.ID, used ratelimit.Amounts) bool {
	return l.note(id, fmt.Sprintf("%d requests, %d tokens", used[ratelimit.Requests], used[ratelimit.Tokens]), l.Memory.Settle(id, used))
}

func (l *ledger) Refund(id ratelimit.ID) bool { return l.note(id, "refund", l.Memory.Refund(id)) }

func (l *ledger) note(id ratelimit.ID, how string, held bool) bool {
	if held {
		l.mu.Lock()
		ended := l.ended[l.held[id]]
		delete(l.held, id)
		l.mu.Unlock()
		ended <- how
	}
	return held
}

// gateway is a nestor and an Envoy with a metering.
type gateway struct {
	address   string
	ledger    *ledger
	upstreams [workers]*upstream
}

// gatewayOptions say what a gateway is; the zero value has native metering and mocks.
type gatewayOptions struct {
	inband bool
	answer http.HandlerFunc // of the providers
	change func(*testing.T, []byte) []byte
}

func startGateway(t *testing.T, inband bool) *gateway {
	t.Helper()
	return startGatewayOf(t, gatewayOptions{inband: inband})
}

func startGatewayOf(t *testing.T, options gatewayOptions) *gateway {
	t.Helper()
	yaml, upstreams := startUpstreams(t, options.answer)
	none := func(string) (string, bool) { return "", false }
	cfg, err := config.Decode("config.yaml", []byte(yaml), none)
	if err != nil {
		t.Fatal(err)
	}
	table := provider.New(none)
	snapshot, _, err := routing.Compile(cfg, table)
	if err != nil {
		t.Fatal(err)
	}
	var deployments []string
	for _, e := range cfg.Entries {
		deployments = append(deployments, e.Info.ID)
	}
	g := &gateway{address: freeAddress(t), ledger: newLedger(deployments), upstreams: upstreams}
	auth := access.NewMaster("")
	s := extproc.New(extproc.Options{
		Router:    routing.NewRouter(routing.NewTracker(time.Now), g.ledger, snapshot),
		Providers: table, Auth: func() extproc.Authenticator { return auth },
		Metrics: extproc.NewMetrics(prometheus.NewRegistry()), ProbeSecret: "secret", LargeBodies: 64 << 20,
		Log: slog.New(slog.DiscardHandler), Inband: options.inband,
	})
	o := envoy.Options{
		Listen: g.address, Admin: freeAddress(t), API: freeAddress(t), Processors: []string{serve(t, s)},
		NodeID: t.Name(), Inband: options.inband,
	}
	static, err := envoy.Static(o, snapshot.Upstreams())
	if err != nil {
		t.Fatal(err)
	}
	if options.change != nil {
		static = options.change(t, static)
	}
	startEnvoy(t, static, o.Admin)
	return g
}

func serve(t *testing.T, s *extproc.Server) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g := grpc.NewServer(envoy.Options{}.GRPCOptions()...)
	healthv1.RegisterHealthServer(g, health.NewServer())
	s.Register(g)
	go g.Serve(listener)
	t.Cleanup(g.Stop)
	return listener.Addr().String()
}

func startEnvoy(t *testing.T, static []byte, admin string) {
	t.Helper()
	dir := t.TempDir()
	path := filepath.Join(dir, "envoy.json")
	if err := os.WriteFile(path, static, 0o600); err != nil {
		t.Fatal(err)
	}
	log, err := os.Create(filepath.Join(dir, "envoy.log"))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Getenv("NESTOR_TEST_ENVOY"), "-c", path, "--concurrency", "1", "--use-dynamic-base-id", "-l", "warning")
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGTERM)
		cmd.Wait()
		log.Close()
		if t.Failed() {
			raw, _ := os.ReadFile(log.Name())
			t.Logf("Envoy's log, its end:\n%s", raw[max(0, len(raw)-4000):])
		}
	})
	ready := func() bool {
		resp, err := http.Get("http://" + admin + "/ready")
		if err != nil {
			return false
		}
		resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.After(20 * time.Second); !ready(); {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal("Envoy is not ready after 20 s")
		}
	}
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// needEnvoy fails or skips a test that has none.
func needEnvoy(t *testing.T) {
	t.Helper()
	if testing.Short() || without() {
		t.Skip("needs an Envoy")
	}
	if os.Getenv("NESTOR_TEST_ENVOY") == "" {
		t.Fatal("NESTOR_TEST_ENVOY is not set: it names the Envoy to test with (`make envoy` prints one), or use -short")
	}
}

// without reports whether the environment says that this is not to be tested with an Envoy.
func without() bool {
	return slices.Contains(strings.Split(os.Getenv("NESTOR_TEST_WITHOUT"), ","), "envoy")
}
