package redistest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// Secure runs a server as Single does that is reached by TLS only, and by a user of its own only: the
// default one is off.
func Secure(t testing.TB, args ...string) *Server {
	t.Helper()
	s := newServer(t)
	s.Username, s.Password = "nestor", "p:a/s@s%word"
	cert, key := certify(t, s.dir)
	s.CA = cert
	s.configure(append([]string{
		"--port", "0", "--tls-port", s.Port(),
		"--tls-cert-file", cert, "--tls-key-file", key, "--tls-auth-clients", "no",
		"--aclfile", s.users(),
	}, args...)...)
	s.Start()
	return s
}

// users writes who may do what.
func (s *Server) users() string {
	path := filepath.Join(s.dir, "users.acl")
	write(s.t, path, []byte("user default off\nuser "+s.Username+" on >"+s.Password+" ~* &* +@all\n"))
	return path
}

// tls is nil where the server speaks plain text.
func (s *Server) tls() *tls.Config {
	if s.CA == "" {
		return nil
	}
	authority, err := os.ReadFile(s.CA)
	if err != nil {
		s.t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(authority)
	return &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
}

// certify writes a certificate for 127.0.0.1 and localhost that signs itself, and its key.
func certify(t testing.TB, dir string) (certFile, keyFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "localhost"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certFile, keyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	write(t, certFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert}))
	write(t, keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}))
	return certFile, keyFile
}

func write(t testing.TB, path string, content []byte) {
	t.Helper()
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
}
