// Package envoy turns routing's upstreams into Envoy's configuration and serves it over
// delta ADS, and runs an Envoy of its own. The translators are pure: a domain value in, a
// proto out. The topology and the reason for each setting are in docs/decisions.md.
package envoy

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"

	"github.com/nestor-gateway/nestor/envoy/cluster"
	"github.com/nestor-gateway/nestor/envoy/hostport"
	nestorv1 "github.com/nestor-gateway/nestor/proto/nestor/v1"
)

// Options are what a configuration of Envoy depends on besides the upstreams.
type Options struct {
	// Listen is where clients connect: an IP address, localhost or nothing (every IPv4 address), and a port.
	Listen string
	// Processors are the host:port pairs of nestor's gRPC ports: processor, access log, ADS and health.
	// A name may stand for several addresses.
	Processors []string
	// API is the host:port of nestor's HTTP port, as Envoy reaches it.
	API string
	// Admin is the host:port of Envoy's own admin interface; empty for none.
	Admin string
	// NodeID is what Envoy calls itself to the ADS server; empty means "nestor".
	NodeID string
	// BodyLimit is the largest request body in bytes; zero means 32 MiB.
	BodyLimit uint32
	// RequestTimeout is how long a client may take to send its request; zero means 300 s.
	RequestTimeout time.Duration
	// Signs is how often Envoy tells of every attempt that it is still in flight; zero means nestorv1.SignInterval.
	Signs time.Duration
	// CAFile is the bundle in PEM that upstreams' certificates are verified against, a path as
	// Envoy sees it; empty means the one that this machine's distribution has.
	CAFile string
	// Inband has one filter do everything, as in an Envoy of somebody else's: the processor, which must be set up
	// for it, stays with every answer to its end, and no attempt is followed by another.
	Inband bool
}

// streamWorkers is about how many exchanges run at once; more than that get goroutines of their own.
const streamWorkers = 64

const (
	defaultBodyLimit      = 32 << 20
	defaultRequestTimeout = 300 * time.Second
	// maxBodyLimit keeps the limit plus the outer level's margin inside an HTTP/2 window (31 bits).
	maxBodyLimit = 1<<30 - 1
)

// withDefaults returns the options in force. An error names the option that can't be used.
func (o Options) withDefaults() (Options, error) {
	if o.NodeID == "" {
		o.NodeID = "nestor"
	}
	if o.BodyLimit == 0 {
		o.BodyLimit = defaultBodyLimit
	}
	if o.RequestTimeout == 0 {
		o.RequestTimeout = defaultRequestTimeout
	}
	if o.Signs == 0 {
		o.Signs = nestorv1.SignInterval
	}
	if o.CAFile == "" {
		o.CAFile = SystemCAFile(os.Stat)
	}
	return o, o.check()
}

func (o Options) check() error {
	if o.BodyLimit > maxBodyLimit {
		return fmt.Errorf("body limit %d: the most is %d bytes", o.BodyLimit, maxBodyLimit)
	}
	if o.Signs < time.Millisecond {
		return fmt.Errorf("signs of life every %s: the least is 1ms", o.Signs)
	}
	if len(o.Processors) == 0 {
		return errors.New("no address of the processor's gRPC port is given")
	}
	if _, err := hostport.ParseBind(o.Listen); err != nil {
		return fmt.Errorf("listen address: %w", err)
	}
	if _, err := hostport.ParseBind(o.Admin); o.Admin != "" && err != nil {
		return fmt.Errorf("admin address: %w", err)
	}
	for _, p := range append([]string{o.API}, o.Processors...) {
		if _, err := hostport.Parse(p); err != nil {
			return err
		}
	}
	return nil
}

// SystemCAFile returns the path of the distribution's CA bundle: the first well-known one
// that stat finds, or Debian's when there is none.
func SystemCAFile(stat func(string) (fs.FileInfo, error)) string {
	paths := []string{
		"/etc/ssl/certs/ca-certificates.crt",                // Debian, Ubuntu, Arch, Gentoo, Alpine
		"/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem", // Fedora, RHEL
		"/etc/pki/tls/certs/ca-bundle.crt",                  // older Fedora and RHEL
		"/etc/ssl/ca-bundle.pem",                            // openSUSE
		"/etc/ssl/cert.pem",                                 // macOS, FreeBSD, Alpine
	}
	for _, p := range paths {
		if info, err := stat(p); err == nil && !info.IsDir() {
			return p
		}
	}
	return paths[0]
}

// GRPCOptions returns what a gRPC server needs to serve the Envoy configured here: room for
// bodies of the limit, windows to match, and leave for the pings of Envoy's keepalive,
// which grpc-go would otherwise answer by closing the connection.
func (o Options) GRPCOptions() []grpc.ServerOption {
	limit := int(o.BodyLimit)
	if limit == 0 {
		limit = defaultBodyLimit
	}
	return []grpc.ServerOption{
		grpc.MaxRecvMsgSize(limit + 1<<20),
		grpc.InitialWindowSize(1 << 20),
		grpc.InitialConnWindowSize(16 << 20),
		// An exchange takes a goroutine whose stack has grown already: 4 % less CPU a request.
		grpc.NumStreamWorkers(streamWorkers),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{
			MinTime:             cluster.KeepaliveInterval / 5,
			PermitWithoutStream: true,
		}),
		// An Envoy whose machine is gone is not waited for.
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: 30 * time.Second, Timeout: 10 * time.Second}),
	}
}
