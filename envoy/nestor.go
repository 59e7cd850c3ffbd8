package envoy

import (
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// The clusters that are not upstreams. Upstreams' names are made of a scheme, a host and a
// port, so none of these can be one.
const (
	attemptName          = "attempt" // the internal listener, and the cluster that leads to it
	apiClusterName       = "nestor-api"
	adsClusterName       = "nestor-ads"
	processorClusterName = "nestor-grpc"
	logClusterName       = "nestor-log"
)

// A hung processor is left, with what waits on it, after at most the sum of these: 1.5 s.
const (
	keepaliveInterval = 500 * time.Millisecond
	keepaliveTimeout  = time.Second
)

// attemptCluster leads to the inner level, within this process.
func attemptCluster() *clusterv3.Cluster {
	return &clusterv3.Cluster{
		Name:                 attemptName,
		ClusterDiscoveryType: static(),
		ConnectTimeout:       ms(1000),
		CircuitBreakers:      openBreakers(),
		LoadAssignment: assign(attemptName, []*corev3.Address{{
			Address: &corev3.Address_EnvoyInternalAddress{EnvoyInternalAddress: &corev3.EnvoyInternalAddress{
				AddressNameSpecifier: &corev3.EnvoyInternalAddress_ServerListenerName{ServerListenerName: attemptName},
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

// apiCluster leads to nestor's HTTP port.
func apiCluster(o Options) *clusterv3.Cluster {
	c := nestorCluster(apiClusterName, o.API)
	c.TypedExtensionProtocolOptions = protocol(plainProtocol())
	return c
}

// adsCluster leads to the server of this configuration.
func adsCluster(o Options) *clusterv3.Cluster {
	c := nestorCluster(adsClusterName, o.Processors...)
	c.TypedExtensionProtocolOptions = http2(&corev3.Http2ProtocolOptions{
		ConnectionKeepalive: pings(time.Second, 2*time.Second),
	})
	return c
}

// processorCluster leads to the processors. A hung one is found by its health check, so that
// nothing new goes there, before keepalive gives up what waits on it.
func processorCluster(o Options) *clusterv3.Cluster {
	c := grpcCluster(processorClusterName, o)
	c.LbPolicy = clusterv3.Cluster_LEAST_REQUEST
	c.HealthChecks = []*corev3.HealthCheck{health(500*time.Millisecond, 250*time.Millisecond)}
	// With every processor down all are tried, which finds a restarted one soonest;
	// with one up, none of the others is.
	c.CommonLbConfig = panicBelow(1)
	return c
}

// logCluster leads to the processors' access log services. It never tries a processor that is
// down: Envoy takes an entry sent there for written, while one without a host waits.
func logCluster(o Options) *clusterv3.Cluster {
	c := grpcCluster(logClusterName, o)
	c.HealthChecks = []*corev3.HealthCheck{health(250*time.Millisecond, 200*time.Millisecond)}
	c.CommonLbConfig = panicBelow(0)
	return c
}

func grpcCluster(name string, o Options) *clusterv3.Cluster {
	c := nestorCluster(name, o.Processors...)
	c.TypedExtensionProtocolOptions = http2(&corev3.Http2ProtocolOptions{
		InitialStreamWindowSize:     wrapperspb.UInt32(1 << 20),
		InitialConnectionWindowSize: wrapperspb.UInt32(16 << 20),
		ConnectionKeepalive:         pings(keepaliveInterval, keepaliveTimeout),
	})
	return c
}

// nestorCluster leads to addresses that check has seen.
func nestorCluster(name string, addresses ...string) *clusterv3.Cluster {
	endpoints := make([]endpoint, len(addresses))
	for i, a := range addresses {
		endpoints[i], _ = parseEndpoint(a)
	}
	c := &clusterv3.Cluster{
		Name:            name,
		ConnectTimeout:  ms(1000),
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
		UnhealthyInterval:  ms(250),
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
