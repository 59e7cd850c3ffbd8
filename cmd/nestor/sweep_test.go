package main

import (
	"context"
	"io"
	"maps"
	"os"
	"os/signal"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	resourcev3 "github.com/envoyproxy/go-control-plane/pkg/resource/v3"
	"github.com/fsnotify/fsnotify"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"

	"github.com/nestor-gateway/nestor/routing"
)

// envoyStub is an Envoy's stream for its configuration. It takes everything and keeps the names of clusters.
type envoyStub struct {
	grpc.ServerStream
	ctx      context.Context
	requests chan *discoveryv3.DeltaDiscoveryRequest

	mu       sync.Mutex
	clusters map[string]bool
}

// connectStub has an Envoy ask for its configuration until ctx ends.
func connectStub(ctx context.Context, t *testing.T, g *gateway) *envoyStub {
	t.Helper()
	e := &envoyStub{ctx: ctx, requests: make(chan *discoveryv3.DeltaDiscoveryRequest, 100), clusters: map[string]bool{}}
	for _, kind := range []string{resourcev3.ClusterType, resourcev3.ListenerType} {
		e.requests <- &discoveryv3.DeltaDiscoveryRequest{TypeUrl: kind}
	}
	go func() { _ = g.xds.DeltaAggregatedResources(e) }()
	return e
}

func (e *envoyStub) Context() context.Context { return e.ctx }

func (e *envoyStub) Recv() (*discoveryv3.DeltaDiscoveryRequest, error) {
	select {
	case r := <-e.requests:
		return r, nil
	case <-e.ctx.Done():
		return nil, io.EOF
	}
}

func (e *envoyStub) Send(r *discoveryv3.DeltaDiscoveryResponse) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if r.TypeUrl == resourcev3.ClusterType {
		for _, one := range r.Resources {
			e.clusters[one.Name] = true
		}
		for _, name := range r.RemovedResources {
			delete(e.clusters, name)
		}
	}
	e.requests <- &discoveryv3.DeltaDiscoveryRequest{TypeUrl: r.TypeUrl, ResponseNonce: r.Nonce}
	return nil
}

// providers are those that it has a cluster for.
func (e *envoyStub) providers() (hosts []string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(e.clusters)) {
		for _, host := range []string{"api.groq.com", "api.mistral.ai"} {
			if strings.Contains(name, host) {
				hosts = append(hosts, host)
			}
		}
	}
	return hosts
}

func TestUpstreamsThatWentLeaveEnvoyWhenTheirTimeIsOver(t *testing.T) {
	outside, err := fsnotify.NewWatcher() // waits for the system, which no bubble knows to be idle
	if err != nil {
		t.Fatal(err)
	}
	defer outside.Close()
	signal.Stop(catchHangups()) // the runtime makes what waits for signals once, which must not be in a bubble
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer synctest.Wait()
		defer cancel()
		g, path := loaded(t, ":4000", oneModel+"model_groups: {fast: {timeout: 600}}\n")
		defer g.grpc.Stop()
		if err := g.xds.Update(ctx, g.router.View().Snapshot().Upstreams()); err != nil {
			t.Fatal(err)
		}
		envoy := connectStub(ctx, t, g)
		hangups := make(chan os.Signal)
		outside.Events, outside.Errors = make(chan fsnotify.Event), make(chan error)
		r := &reloader{gateway: g, watcher: outside, content: g.content, retired: map[routing.Upstream]time.Time{}}
		go func() { _ = r.loop(ctx, hangups) }()

		write(t, path, strings.ReplaceAll(another, "groq", "mistral"))
		hangups <- syscall.SIGHUP
		for _, step := range []struct {
			after time.Duration
			want  []string
		}{
			{0, []string{"api.groq.com", "api.mistral.ai"}},
			{10*time.Minute - time.Second, []string{"api.groq.com", "api.mistral.ai"}},
			{time.Minute + 2*time.Second, []string{"api.mistral.ai"}},
		} {
			time.Sleep(step.after)
			synctest.Wait()
			if diff := cmp.Diff(step.want, envoy.providers()); diff != "" {
				t.Errorf("%v later, Envoy's providers (-want +got):\n%s", step.after, diff)
			}
		}
	})
}
