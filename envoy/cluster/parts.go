package cluster

import (
	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	httpv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/upstreams/http/v3"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/nestor-gateway/nestor/envoy/hostport"
	"github.com/nestor-gateway/nestor/envoy/message"
)

func assignment(cluster string, endpoints ...hostport.Address) *endpointv3.ClusterLoadAssignment {
	addresses := make([]*corev3.Address, len(endpoints))
	for i, e := range endpoints {
		addresses[i] = e.Message()
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
	return map[string]*anypb.Any{"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": message.Pack(o)}
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

// static finds a cluster's hosts in its own configuration.
func static() *clusterv3.Cluster_Type {
	return &clusterv3.Cluster_Type{Type: clusterv3.Cluster_STATIC}
}
