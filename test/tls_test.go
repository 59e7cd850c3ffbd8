package test

import (
	"crypto/tls"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/nestor-gateway/nestor/cmd/nestor/mock"
)

// secure is a provider behind TLS, with a certificate for example.com and 127.0.0.1 that only ca knows.
type secure struct {
	*mock.Server
	url, ca string
	sni     atomic.Pointer[string]
}

func provideSecurely(t *testing.T, http2 bool) *secure {
	t.Helper()
	s := &secure{Server: mock.New(mock.Options{Name: "tls", Record: 10}), ca: filepath.Join(t.TempDir(), "ca.pem")}
	server := httptest.NewUnstartedServer(s.Server)
	server.EnableHTTP2 = http2
	server.TLS = &tls.Config{GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		s.sni.Store(&hello.ServerName)
		return nil, nil
	}}
	server.StartTLS()
	t.Cleanup(server.Close)
	s.url = server.URL
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	if err := os.WriteFile(s.ca, certificate, 0o600); err != nil {
		t.Fatal(err)
	}
	return s
}

const overTLS = `
model_list:
  - model_name: gpt
    litellm_params: {model: openai/m, api_base: $A/v1, api_key: sk-provider}
router_settings: {num_retries: 0}
`

// Not parallel: the environment belongs to the whole process.
func TestProvidersBehindTLS(t *testing.T) {
	for name, protocol := range map[string]string{"HTTP/1.1": "HTTP/1.1", "HTTP/2 where it is offered": "HTTP/2.0"} {
		t.Run(name, func(t *testing.T) {
			s := provideSecurely(t, protocol == "HTTP/2.0")
			t.Setenv("SSL_CERT_FILE", s.ca)
			g := run(t, strings.ReplaceAll(overTLS, "$A", s.url))
			for range 3 {
				g.chat("gpt", "").succeeds(t)
			}
			if got := s.Report().Requests[0].Proto; got != protocol {
				t.Errorf("the provider was asked by %s, want %s", got, protocol)
			}
		})
	}
	t.Run("the name of the host as SNI", func(t *testing.T) {
		s := provideSecurely(t, false)
		t.Setenv("SSL_CERT_FILE", s.ca)
		// The certificate does not name localhost, so this is also about a wrong name.
		g := run(t, strings.ReplaceAll(overTLS, "$A", strings.Replace(s.url, "127.0.0.1", "localhost", 1)))
		got := g.chat("gpt", "")
		if got.problem(t); got.Status != http.StatusServiceUnavailable || s.Report().Total != 0 {
			t.Errorf("a certificate for another name: status %d after %d requests", got.Status, s.Report().Total)
		}
		if sni := s.sni.Load(); sni == nil || *sni != "localhost" {
			t.Errorf("SNI %v, want localhost", sni)
		}
	})
	t.Run("a certificate nobody vouches for", func(t *testing.T) {
		s := provideSecurely(t, false)
		g := run(t, strings.ReplaceAll(overTLS, "$A", s.url))
		got := g.chat("gpt", "")
		if got.problem(t); got.Status != http.StatusServiceUnavailable || s.Report().Total != 0 {
			t.Errorf("status %d after %d requests", got.Status, s.Report().Total)
		}
	})
}

func TestHealthcheckAsksARunningNestor(t *testing.T) {
	t.Parallel()
	a := provide(t, "a")
	g := run(t, yaml(oneDeployment, a))
	check := func() int {
		c := launch(t, g.dir, "healthcheck.log", binary(t), "healthcheck", "--grpc-listen", g.flag("--grpc-listen"))
		<-c.done
		return c.cmd.ProcessState.ExitCode()
	}
	if status := check(); status != 0 {
		t.Errorf("exit status %d of a running nestor", status)
	}
	g.kill()
	if status := check(); status != 1 {
		t.Errorf("exit status %d without nestor", status)
	}
}

// flag returns the value that nestor was given for a flag.
func (g *gateway) flag(name string) string {
	for i, arg := range g.args {
		if arg == name {
			return g.args[i+1]
		}
	}
	return ""
}
