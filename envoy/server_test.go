package envoy_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/nestor-gateway/nestor/envoy"
	nestorv1 "github.com/nestor-gateway/nestor/proto/nestor/v1"
	"github.com/nestor-gateway/nestor/routing"
)

// fleet is an Envoy that gets its configuration by ADS.
type fleet struct {
	options envoy.Options
	server  *envoy.Server
}

// startServer serves ADS and a processor; launch then runs an Envoy for it.
func startServer(t *testing.T, caFile string) (f *fleet, launch func()) {
	t.Helper()
	listener := freeAddress(t)
	f = &fleet{options: testOptions(t, listener)}
	f.options.CAFile = caFile
	f.server = envoy.NewServer(f.options)
	p := &processor{decide: byHeader}
	serveGRPC(t, listener, p.register, f.server.Register)
	return f, func() {
		t.Helper()
		config, err := envoy.Bootstrap(f.options)
		if err != nil {
			t.Fatal(err)
		}
		startEnvoy(t, config, f.options.Admin)
	}
}

// update gives the upstreams to Envoy and says how long that took.
func (f *fleet) update(t *testing.T, upstreams ...routing.Upstream) (time.Duration, error) {
	t.Helper()
	start := time.Now()
	err := f.server.Update(t.Context(), upstreams)
	return time.Since(start), err
}

// ready waits for an Envoy to have everything.
func (f *fleet) ready(t *testing.T) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), childDeadline)
	defer cancel()
	return f.server.Ready(ctx)
}

func (f *fleet) ask(t *testing.T, upstream string) (status int, body string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+f.options.Listen+"/v1/chat/completions", strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("x-upstream", upstream)
	resp, body := answer(t, http.DefaultTransport, r)
	return resp.StatusCode, body
}

func byHeader(headers map[string]string) decision {
	return decision{upstream: headers["x-upstream"], metadata: map[string]string{nestorv1.KeyModelID: "id"}}
}

func named(name string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, name) }
}

func TestUpdatesReachEnvoyBeforeTheyReturn(t *testing.T) {
	f, launch := startServer(t, "")
	a, b := upstream(t, "a", named("a")), upstream(t, "b", named("b"))
	if took, err := f.update(t, a); err != nil || took > time.Second {
		t.Fatalf("with no Envoy connected: %v after %v, want nil at once", err, took)
	}
	launch()
	if err := f.ready(t); err != nil {
		t.Fatal(err)
	}
	if status, body := f.ask(t, "a"); status != http.StatusOK || body != "a" {
		t.Fatalf("upstream a: %d %s", status, body)
	}
	for range 20 {
		if took, err := f.update(t, a, b); err != nil || took > time.Second {
			t.Fatalf("adding b: %v after %v", err, took)
		}
		if status, body := f.ask(t, "b"); status != http.StatusOK || body != "b" {
			t.Fatalf("upstream b after its update: %d %s", status, body)
		}
		if _, err := f.update(t, a); err != nil {
			t.Fatalf("removing b: %v", err)
		}
		if status, body := f.ask(t, "b"); status != http.StatusServiceUnavailable {
			t.Fatalf("upstream b after its removal: %d %s", status, body)
		}
	}
	if took, err := f.update(t, a); err != nil || took > time.Second {
		t.Errorf("nothing changed: %v after %v, want nil at once", err, took)
	}
}

func TestARefusedUpdateIsAnErrorAndChangesNothing(t *testing.T) {
	f, launch := startServer(t, "/nowhere/ca.pem")
	a := upstream(t, "a", named("a"))
	if _, err := f.update(t, a); err != nil {
		t.Fatal(err)
	}
	launch()
	if err := f.ready(t); err != nil {
		t.Fatal(err)
	}
	bad := routing.Upstream{Name: "bad", Scheme: "https", Host: "127.0.0.1", Port: 80}
	if _, err := f.update(t, a, bad); err == nil || !strings.Contains(err.Error(), "/nowhere/ca.pem") {
		t.Fatalf("got %v, want Envoy's reason for its refusal", err)
	}
	b := upstream(t, "b", named("b"))
	if _, err := f.update(t, a, b); err != nil {
		t.Fatalf("a good update after a bad one: %v", err)
	}
	for _, name := range []string{"a", "b"} {
		if status, body := f.ask(t, name); status != http.StatusOK {
			t.Errorf("upstream %s: %d %s", name, status, body)
		}
	}
}

func TestATakenPortIsSaid(t *testing.T) {
	f, launch := startServer(t, "")
	taken, err := net.Listen("tcp", f.options.Listen)
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	if _, err := f.update(t); err != nil {
		t.Fatal(err)
	}
	launch()
	if err := f.ready(t); err == nil || !strings.Contains(err.Error(), "Address already in use") {
		t.Errorf("got %v, want Envoy's reason", err)
	}
}

func TestANameThatIsNotFoundHoldsUpNothing(t *testing.T) {
	f, launch := startServer(t, "")
	a := upstream(t, "a", named("a"))
	lost := routing.Upstream{Name: "lost", Scheme: "http", Host: "no-such-host.invalid", Port: 80}
	if _, err := f.update(t, a, lost); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	launch()
	if err := f.ready(t); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(start); took > 3*time.Second {
		t.Errorf("ready after %v", took)
	}
	if status, body := f.ask(t, "a"); status != http.StatusOK {
		t.Errorf("upstream a: %d %s", status, body)
	}
	if status, _ := f.ask(t, "lost"); status != http.StatusServiceUnavailable {
		t.Errorf("upstream lost: %d", status)
	}
}

func TestReadyEndsWithItsContext(t *testing.T) {
	s := envoy.NewServer(testOptions(t, "127.0.0.1:4001"))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Ready(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestARestartedServerIsFoundAgain(t *testing.T) {
	address := freeAddress(t)
	options := testOptions(t, address)
	p := &processor{decide: byHeader}
	first := envoy.NewServer(options)
	server, _ := serveGRPC(t, address, p.register, first.Register)
	a := upstream(t, "a", named("a"))
	f := &fleet{options: options, server: first}
	if _, err := f.update(t, a); err != nil {
		t.Fatal(err)
	}
	config, err := envoy.Bootstrap(options)
	if err != nil {
		t.Fatal(err)
	}
	startEnvoy(t, config, options.Admin)
	if err := f.ready(t); err != nil {
		t.Fatal(err)
	}
	server.Stop()

	f.server = envoy.NewServer(options)
	if _, err := f.update(t, a); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	serveGRPC(t, address, p.register, f.server.Register)
	if err := f.ready(t); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(start); took > 2*time.Second {
		t.Errorf("ready again after %v, want less than 2 s", took)
	}
	if status, body := f.ask(t, "a"); status != http.StatusOK {
		t.Errorf("upstream a: %d %s", status, body)
	}
}

func TestTheOrderOfUpstreamsIsNoChange(t *testing.T) {
	f, launch := startServer(t, "")
	a, b := upstream(t, "a", http.NotFound), upstream(t, "b", http.NotFound)
	if _, err := f.update(t, a, b); err != nil {
		t.Fatal(err)
	}
	launch()
	if err := f.ready(t); err != nil {
		t.Fatal(err)
	}
	if took, err := f.update(t, b, a); err != nil || took > time.Second {
		t.Errorf("took %v, %v: nothing was sent, so nothing can be waited for", took, err)
	}
}
