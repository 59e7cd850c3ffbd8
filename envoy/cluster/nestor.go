// Package cluster makes Envoy's clusters: the upstreams, and what Nestor's own parts are to Envoy.
package cluster

import (
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/nestor-gateway/nestor/envoy/hostport"
	"github.com/nestor-gateway/nestor/envoy/message"
)

// The clusters that are not upstreams. Upstreams' names are made of a scheme, a host and a
// port, so none of these can be one.
const (
	AttemptName   = "attempt" // the internal listener, and the cluster that leads to it
	APIName       = "nestor-api"
	ADSName       = "nestor-ads"
	ProcessorName = "nestor-grpc"
	LogName       = "nestor-log"
)

// A hung processor is left, with what waits on it, after at most the sum of these: 1.5 s.
const (
	KeepaliveInterval = 500 * time.Millisecond
	keepaliveTimeout  = time.Second
)

// Attempt leads to the inner level, within this process.
func Attempt() *clusterv3.Cluster {
	return &clusterv3.Cluster{
		Name:                 AttemptName,
		ClusterDiscoveryType: static(),
		ConnectTimeout:       message.MS(1000),
		CircuitBreakers:      openBreakers(),
		LoadAssignment: assign(AttemptName, []*corev3.Address{{
			Address: &corev3.Address_EnvoyInternalAddress{EnvoyInternalAddress: &corev3.EnvoyInternalAddress{
				AddressNameSpecifier: &corev3.EnvoyInternalAddress_ServerListenerName{ServerListenerName: AttemptName},
			}},
		}}),
		// One connection a worker carries every stream, so those that nobody reads must not fill it:
		// 8,000 streams of 256 KiB are less than its window.
		TypedExtensionProtocolOptions: http2(&corev3.Http2ProtocolOptions{
			InitialStreamWindowSize:     wrapperspb.UInt32(256 << 10),
			InitialConnectionWindowSize: wrapperspb.UInt32(1<<31 - 1),
			MaxConcurrentStreams:        wrapperspb.UInt32(8000),
		}),
	}
}

// API leads to nestor's HTTP port, at a host:port.
func API(at string) *clusterv3.Cluster {
	c := nestor(APIName, at)
	c.TypedExtensionProtocolOptions = protocol(plainProtocol())
	return c
}

// ADS leads to the server of this configuration.
func ADS(processors []string) *clusterv3.Cluster {
	c := nestor(ADSName, processors...)
	c.TypedExtensionProtocolOptions = http2(&corev3.Http2ProtocolOptions{
		ConnectionKeepalive: pings(time.Second, 2*time.Second),
	})
	return c
}

// Processor leads to the processors. A hung one is found by its health check, so that
// nothing new goes there, before keepalive gives up what waits on it.
func Processor(processors []string) *clusterv3.Cluster {
	c := grpc(ProcessorName, processors)
	c.LbPolicy = clusterv3.Cluster_LEAST_REQUEST
	c.HealthChecks = []*corev3.HealthCheck{health(500*time.Millisecond, 250*time.Millisecond)}
	// With every processor down all are tried, which finds a restarted one soonest;
	// with one up, none of the others is.
	c.CommonLbConfig = panicBelow(1)
	return c
}

// Log leads to the processors' access log services. It never tries a processor that is
// down: Envoy takes an entry sent there for written, while one without a host waits.
func Log(processors []string) *clusterv3.Cluster {
	c := grpc(LogName, processors)
	c.HealthChecks = []*corev3.HealthCheck{health(250*time.Millisecond, 200*time.Millisecond)}
	c.CommonLbConfig = panicBelow(0)
	return c
}

func grpc(name string, processors []string) *clusterv3.Cluster {
	c := nestor(name, processors...)
	c.TypedExtensionProtocolOptions = http2(&corev3.Http2ProtocolOptions{
		InitialStreamWindowSize:     wrapperspb.UInt32(1 << 20),
		InitialConnectionWindowSize: wrapperspb.UInt32(16 << 20),
		ConnectionKeepalive:         pings(KeepaliveInterval, keepaliveTimeout),
	})
	return c
}

// nestor leads to addresses that hostport.Parse reads.
func nestor(name string, addresses ...string) *clusterv3.Cluster {
	endpoints := make([]hostport.Address, len(addresses))
	for i, a := range addresses {
		endpoints[i], _ = hostport.Parse(a)
	}
	c := &clusterv3.Cluster{
		Name:            name,
		ConnectTimeout:  message.MS(1000),
		LoadAssignment:  assignment(name, endpoints...),
		CircuitBreakers: openBreakers(),
	}
	discover(c, strictDNS(), endpoints...)
	return c
}

func health(interval, timeout time.Duration) *corev3.HealthCheck {
	return &corev3.HealthCheck{
		Interval:           durationpb.New(interval),
		NoTrafficInterval:  durationpb.New(interval),
		UnhealthyInterval:  message.MS(250),
		Timeout:            durationpb.New(timeout),
		UnhealthyThreshold: wrapperspb.UInt32(1),
		HealthyThreshold:   wrapperspb.UInt32(1),
		HealthChecker: &corev3.HealthCheck_GrpcHealthCheck_{
			GrpcHealthCheck: &corev3.HealthCheck_GrpcHealthCheck{},
		},
	}
}

// panicBelow sets the share of healthy hosts, in per cent, under which all are used.
func panicBelow(percent float64) *clusterv3.Cluster_CommonLbConfig {
	return &clusterv3.Cluster_CommonLbConfig{HealthyPanicThreshold: &typev3.Percent{Value: percent}}
}
