package envoy_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/nestor-gateway/nestor/envoy"
	"github.com/nestor-gateway/nestor/routing"
)

// authority issues certificates.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test authority"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	raw, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(raw)
	if err != nil {
		t.Fatal(err)
	}
	return &authority{cert: cert, key: key}
}

// file writes the authority's bundle.
func (a *authority) file(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "ca.pem")
	raw := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw})
	if err := os.WriteFile(path, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// upstream serves TLS with a certificate for a name and says what it was asked for.
func (a *authority) upstream(t *testing.T, name, host, certified string, http2 bool, until time.Time) routing.Upstream {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(2), NotBefore: time.Now().Add(-time.Hour), NotAfter: until}
	if ip := net.ParseIP(certified); ip != nil {
		template.IPAddresses = []net.IP{ip}
	} else {
		template.DNSNames = []string{certified}
	}
	raw, err := x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, r.Proto+" "+r.TLS.ServerName)
	}))
	s.EnableHTTP2 = http2
	s.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{raw}, PrivateKey: key}}}
	s.StartTLS()
	t.Cleanup(s.Close)
	u := upstreamAt(t, name, s.URL)
	u.Host = host
	return u
}

func TestUpstreamsAreVerified(t *testing.T) {
	known, unknown := newAuthority(t), newAuthority(t)
	soon, past := time.Now().Add(time.Hour), time.Now().Add(-time.Minute)
	g := startGateway(t, byHeader, func(o *envoy.Options) { o.CAFile = known.file(t) },
		known.upstream(t, "h2", "localhost", "localhost", true, soon),
		known.upstream(t, "h1", "localhost", "localhost", false, soon),
		known.upstream(t, "ip", "127.0.0.1", "127.0.0.1", true, soon),
		known.upstream(t, "other-name", "localhost", "example.com", true, soon),
		known.upstream(t, "other-ip", "127.0.0.1", "127.0.0.2", true, soon),
		known.upstream(t, "expired", "localhost", "localhost", true, past),
		unknown.upstream(t, "unknown-authority", "localhost", "localhost", true, soon),
	)
	for name, want := range map[string]string{
		"h2": "HTTP/2.0 localhost",
		"h1": "HTTP/1.1 localhost",
		"ip": "HTTP/2.0 ",
	} {
		g.resolved(t, name)
		if _, body := g.send(t, http.MethodPost, "/v1/chat/completions", "{}", "x-upstream", name); body != want {
			t.Errorf("%s: got %q, want %q", name, body, want)
		}
	}
	for name, counter := range map[string]string{
		"other-name": "fail_verify_san", "other-ip": "fail_verify_san",
		"expired": "fail_verify_error", "unknown-authority": "fail_verify_error",
	} {
		g.resolved(t, name)
		resp, body := g.send(t, http.MethodPost, "/v1/chat/completions", "{}", "x-upstream", name)
		if n := g.stat(t, "cluster."+name+".ssl."+counter); resp.StatusCode != http.StatusServiceUnavailable || n != "1" {
			t.Errorf("%s: %d %s, %s = %s; want a refused certificate", name, resp.StatusCode, body, counter, n)
		}
	}
}

// resolved waits until Envoy has found an upstream's address.
func (g *gateway) resolved(t *testing.T, upstream string) {
	t.Helper()
	eventually(t, upstream+" is resolved", func() bool {
		return g.stat(t, "cluster."+upstream+".membership_healthy") == "1"
	})
}
