package envoy

import (
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	httpv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/upstreams/http/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
)

// pack wraps a message the same way every time: its bytes are its version. Marshalling fails
// only on text that is not UTF-8; what is left of such a message is refused by Envoy.
func pack(m proto.Message) *anypb.Any {
	packed := &anypb.Any{}
	_ = anypb.MarshalFrom(packed, m, proto.MarshalOptions{Deterministic: true})
	return packed
}

func extension(name string, m proto.Message) *corev3.TypedExtensionConfig {
	return &corev3.TypedExtensionConfig{Name: name, TypedConfig: pack(m)}
}

func ms(n int64) *durationpb.Duration {
	return durationpb.New(time.Duration(n) * time.Millisecond)
}

func socket(e endpoint) *corev3.Address {
	return &corev3.Address{Address: &corev3.Address_SocketAddress{SocketAddress: &corev3.SocketAddress{
		Address:       e.host,
		PortSpecifier: &corev3.SocketAddress_PortValue{PortValue: uint32(e.port)},
	}}}
}

func assignment(cluster string, endpoints ...endpoint) *endpointv3.ClusterLoadAssignment {
	addresses := make([]*corev3.Address, len(endpoints))
	for i, e := range endpoints {
		addresses[i] = socket(e)
	}
	return assign(cluster, addresses)
}

func assign(cluster string, addresses []*corev3.Address) *endpointv3.ClusterLoadAssignment {
	hosts := make([]*endpointv3.LbEndpoint, len(addresses))
	for i, a := range addresses {
		hosts[i] = &endpointv3.LbEndpoint{HostIdentifier: &endpointv3.LbEndpoint_Endpoint{
			Endpoint: &endpointv3.Endpoint{Address: a},
		}}
	}
	return &endpointv3.ClusterLoadAssignment{
		ClusterName: cluster,
		Endpoints:   []*endpointv3.LocalityLbEndpoints{{LbEndpoints: hosts}},
	}
}

func protocol(o *httpv3.HttpProtocolOptions) map[string]*anypb.Any {
	return map[string]*anypb.Any{"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": pack(o)}
}

func http2(o *corev3.Http2ProtocolOptions) map[string]*anypb.Any {
	return protocol(&httpv3.HttpProtocolOptions{
		UpstreamProtocolOptions: &httpv3.HttpProtocolOptions_ExplicitHttpConfig_{
			ExplicitHttpConfig: &httpv3.HttpProtocolOptions_ExplicitHttpConfig{
				ProtocolConfig: &httpv3.HttpProtocolOptions_ExplicitHttpConfig_Http2ProtocolOptions{Http2ProtocolOptions: o},
			},
		},
	})
}

func grpcTo(cluster string) *corev3.GrpcService {
	return &corev3.GrpcService{TargetSpecifier: &corev3.GrpcService_EnvoyGrpc_{
		EnvoyGrpc: &corev3.GrpcService_EnvoyGrpc{ClusterName: cluster},
	}}
}

// static finds a cluster's hosts in its own configuration.
func static() *clusterv3.Cluster_Type {
	return &clusterv3.Cluster_Type{Type: clusterv3.Cluster_STATIC}
}
