package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"runtime/debug"
	"slices"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"

	"github.com/nestor-gateway/nestor/api"
	"github.com/nestor-gateway/nestor/envoy"
	"github.com/nestor-gateway/nestor/extproc"
	"github.com/nestor-gateway/nestor/extproc/provider"
	"github.com/nestor-gateway/nestor/routing"
)

const (
	// largeBodies is how many bytes of large request bodies the processor holds at once.
	largeBodies = 256 << 20
	// memoryLimit makes the collector work harder before garbage of large bodies piles up;
	// the environment's GOMEMLIMIT goes before it.
	memoryLimit = 1 << 30
	// gcPercent lets the heap, which is small, grow to a little more than twice what is live before it is collected.
	gcPercent = 125
)

// gateway is the process without an Envoy: the processor, Envoy's configuration and the HTTP port.
type gateway struct {
	settings  settings
	log       *slog.Logger
	client    string   // where clients connect, with a host
	content   contents // of the config's files, as loaded
	providers *provider.Table
	limits    *limits
	router    *routing.Router
	callers   *callers
	xds       *envoy.Server
	envoy     envoy.Options
	health    *health.Server
	processor *extproc.Server
	grpc      *grpc.Server
	http      *http.Server
	ready     atomic.Bool
	hangups   chan os.Signal
}

// newGateway loads the config and assembles everything; nothing listens yet.
func newGateway(s settings, stderr io.Writer, log *slog.Logger) (*gateway, error) {
	tuneCollector()
	hangups := catchHangups()
	providers := provider.New(os.LookupEnv)
	cfg, snapshot, notes, err := compile(s.config, providers)
	if err == nil {
		err = checkDatabase(cfg)
	}
	if err != nil {
		return nil, report(stderr, err)
	}
	logNotes(log, notes)
	client, err := clientAddress(s.listen, cfg.MasterKey == "", s.allowAnonymous)
	if err != nil {
		return nil, err
	}
	g := &gateway{settings: s, log: log, client: client, content: contentsOf(slices.Values(cfg.Files)),
		providers: providers, health: health.NewServer(), hangups: hangups}
	g.envoy = s.envoyOptions(client)
	g.xds = envoy.NewServer(g.envoy)
	if g.limits, err = openLimits(s, cfg, client, log); err != nil {
		return nil, err
	}
	g.router = routing.NewRouter(routing.NewTracker(time.Now), g.limits.store, snapshot)
	if g.callers, err = openCallers(s, cfg, g.limits, log); err != nil {
		g.limits.Close()
		return nil, err
	}
	g.callers.apply(cfg, snapshot)
	return g, g.assemble()
}

// tuneCollector leaves what the environment says alone.
func tuneCollector() {
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(memoryLimit)
	}
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
}

func (g *gateway) assemble() error {
	secret := make([]byte, 16)
	if _, err := rand.Read(secret); err != nil {
		return err
	}
	probe := hex.EncodeToString(secret)
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		api.NewCollector(g.router.View))
	o := extproc.Options{
		Router:      g.router,
		Providers:   g.providers,
		Auth:        func() extproc.Authenticator { return g.callers.index },
		Metrics:     extproc.NewMetrics(registry),
		ProbeSecret: probe,
		LargeBodies: largeBodies,
		Signs:       g.settings.signs,
		Inband:      g.envoy.Inband,
		Log:         g.log,
	}
	if g.callers.store != nil {
		o.Budgets, o.Till = g.callers.ledger, g.callers
	}
	g.callers.register(registry)
	g.grpc = grpc.NewServer(g.envoy.GRPCOptions()...)
	if g.limits.replicas != nil {
		g.limits.share(g.router)
		f := g.limits.forwarder(g.router, g.callers, registry, g.log)
		f.Register(g.grpc)
		o.Replica, o.Elsewhere = g.limits.replicas.Self().ID, f
	}
	g.processor = extproc.New(o)
	g.processor.Register(g.grpc)
	g.xds.Register(g.grpc)
	grpc_health_v1.RegisterHealthServer(g.grpc, g.health)
	g.http = &http.Server{
		Handler: api.New(api.Options{
			View:        g.router.View,
			Auth:        func() api.Authenticator { return g.callers.index },
			Manage:      g.callers.manager(),
			ProbeTarget: "http://" + cmp.Or(g.settings.probeAddress, reachable(g.client)),
			ProbeSecret: probe,
			Metrics:     promhttp.HandlerFor(registry, promhttp.HandlerOpts{}),
			Ready:       g.readiness,
			Log:         g.log,
		}),
		ReadHeaderTimeout: 10 * time.Second,
	}
	return nil
}

// readiness is that of this process. A request through Envoy that asks for it finds out about Envoy too.
func (g *gateway) readiness() error {
	if !g.ready.Load() {
		return errors.New("starting or draining")
	}
	return nil
}

// listen opens both ports and serves on them until shutdown; gRPC when limits admit what there is.
func (g *gateway) listen(ctx context.Context) error {
	grpcListener, err := net.Listen("tcp", g.settings.grpcListen)
	if err != nil {
		return fmt.Errorf("--grpc-listen: %w", err)
	}
	httpListener, err := net.Listen("tcp", g.settings.httpListen)
	if err != nil {
		return errors.Join(fmt.Errorf("--http-listen: %w", err), grpcListener.Close())
	}
	if err := g.xds.Update(context.Background(), g.router.View().Snapshot().Upstreams()); err != nil {
		return errors.Join(err, grpcListener.Close(), httpListener.Close())
	}
	go g.serve("HTTP", func() error { return g.http.Serve(httpListener) })
	g.waitSeated(ctx)
	go g.serve("gRPC", func() error { return g.grpc.Serve(grpcListener) })
	g.ready.Store(true)
	return nil
}

// seatTime is how long a start waits at most until the other replicas know of it, which takes a second.
const seatTime = 3 * time.Second

// waitSeated waits until the other replicas know this one: before that it would refuse what they admit.
func (g *gateway) waitSeated(ctx context.Context) {
	if g.limits.seated == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, seatTime)
	defer cancel()
	if err := g.limits.seated(ctx); err != nil {
		g.log.Warn("started without what replicas share: limited requests may be refused at first", "error", err)
	}
}

func (g *gateway) serve(what string, serve func() error) {
	if err := serve(); err != nil && !errors.Is(err, http.ErrServerClosed) {
		g.log.Error("port failed", "port", what, "error", err)
	}
}

// drain says that no further requests are wanted; those in flight go on.
func (g *gateway) drain() {
	if g.ready.Swap(false) {
		g.log.Info("draining", "grace", g.settings.grace.String())
	}
}

// shutdown takes nothing new, lets exchanges in flight end for the grace time at most, and then closes both ports.
func (g *gateway) shutdown() {
	g.ready.Store(false)
	g.health.Shutdown()
	ctx, cancel := context.WithTimeout(context.Background(), g.settings.grace)
	defer cancel()
	httpStopped, grpcStopped := make(chan struct{}), make(chan struct{})
	go func() { _ = g.http.Shutdown(ctx); close(httpStopped) }() // what is left when the time is up is closed below
	go func() { g.grpc.GracefulStop(); close(grpcStopped) }()
	g.processor.WaitIdle(ctx)
	<-httpStopped
	select {
	case <-grpcStopped:
	case <-time.After(time.Second): // Envoy's streams for configuration and log never end by themselves
	}
	g.grpc.Stop()
	_ = g.http.Close()
	g.limits.Close()
	g.callers.close()
}

func (s settings) envoyOptions(client string) envoy.Options {
	inband, _ := isInband(s.metering) // checked when the settings were read
	return envoy.Options{
		Inband:         inband,
		Listen:         client,
		Processors:     []string{reachable(s.grpcListen)},
		API:            reachable(s.httpListen),
		Admin:          s.adminListen,
		NodeID:         s.nodeID,
		BodyLimit:      s.bodyLimit,
		RequestTimeout: s.requestTimeout,
		Signs:          s.signs,
		CAFile:         os.Getenv("SSL_CERT_FILE"),
	}
}

// reachable is the address by which this machine reaches a listener.
func reachable(listen string) string {
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return listen
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, port)
}

func newLogger(s settings, w io.Writer) (*slog.Logger, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(s.logLevel)); err != nil {
		return nil, fmt.Errorf("--log-level %s is none of debug, info, warn, error", s.logLevel)
	}
	options := &slog.HandlerOptions{Level: level}
	switch s.logFormat {
	case "text":
		return slog.New(slog.NewTextHandler(w, options)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(w, options)), nil
	}
	return nil, fmt.Errorf("--log-format %s is neither text nor json", s.logFormat)
}
