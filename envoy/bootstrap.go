package envoy

import (
	"bytes"
	"encoding/json"
	"fmt"

	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	internalv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/bootstrap/internal_listener/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/nestor-gateway/nestor/envoy/cluster"
	"github.com/nestor-gateway/nestor/envoy/hostport"
	"github.com/nestor-gateway/nestor/envoy/message"
	"github.com/nestor-gateway/nestor/routing"
)

// Bootstrap returns the bootstrap of an Envoy that gets everything else by ADS, as JSON.
// The same options make the same bytes.
func Bootstrap(o Options) ([]byte, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	b := base(o)
	b.StaticResources = &bootstrapv3.Bootstrap_StaticResources{
		Clusters: append([]*clusterv3.Cluster{cluster.ADS(o.Processors)}, fixedClusters(o)...),
	}
	b.DynamicResources = &bootstrapv3.Bootstrap_DynamicResources{
		AdsConfig: adsSource(),
		CdsConfig: overADS(),
		LdsConfig: overADS(),
	}
	return marshal(b)
}

// Static returns a whole configuration without ADS, as JSON. The same input makes the same bytes.
func Static(o Options, upstreams []routing.Upstream) ([]byte, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	r, b := translate(o, upstreams), base(o)
	b.StaticResources = &bootstrapv3.Bootstrap_StaticResources{
		Listeners: r.Listeners,
		Clusters:  append(fixedClusters(o), r.Clusters...),
	}
	return marshal(b)
}

// fixedClusters are those by which Envoy reaches nestor, in both kinds of bootstrap: only who writes the
// bootstrap knows nestor's addresses as Envoy's machine sees them.
func fixedClusters(o Options) []*clusterv3.Cluster {
	clusters := []*clusterv3.Cluster{cluster.API(o.API), cluster.Processor(o.Processors)}
	if !o.Inband {
		clusters = append(clusters, cluster.Log(o.Processors))
	}
	return clusters
}

// base is what both kinds of bootstrap begin with.
func base(o Options) *bootstrapv3.Bootstrap {
	b := &bootstrapv3.Bootstrap{
		Node: &corev3.Node{Id: o.NodeID, Cluster: "nestor"},
		BootstrapExtensions: []*corev3.TypedExtensionConfig{
			message.Extension("envoy.bootstrap.internal_listener", &internalv3.InternalListener{}),
		},
		LayeredRuntime: &bootstrapv3.LayeredRuntime{Layers: []*bootstrapv3.RuntimeLayer{{
			Name: "static",
			LayerSpecifier: &bootstrapv3.RuntimeLayer_StaticLayer{StaticLayer: &structpb.Struct{
				Fields: map[string]*structpb.Value{
					// Clients that leave early reset streams of the one connection a worker that joins
					// the two levels; counted as an attack, they would close it for everybody.
					"overload.premature_reset_total_stream_count": structpb.NewNumberValue(4294967295),
				},
			}},
		}}},
	}
	if o.Admin != "" {
		admin, _ := hostport.ParseBind(o.Admin) // checked by withDefaults
		b.Admin = &bootstrapv3.Admin{Address: admin.Message()}
	}
	return b
}

// adsSource is the stream to nestor; it comes back fast, for a restarted nestor waits for it.
func adsSource() *corev3.ApiConfigSource {
	service := message.GRPC(cluster.ADSName)
	service.GetEnvoyGrpc().RetryPolicy = &corev3.RetryPolicy{RetryBackOff: &corev3.BackoffStrategy{
		BaseInterval: message.MS(50),
		MaxInterval:  message.MS(500),
	}}
	return &corev3.ApiConfigSource{
		ApiType:                   corev3.ApiConfigSource_DELTA_GRPC,
		TransportApiVersion:       corev3.ApiVersion_V3,
		SetNodeOnFirstMessageOnly: true,
		GrpcServices:              []*corev3.GrpcService{service},
	}
}

func overADS() *corev3.ConfigSource {
	return &corev3.ConfigSource{
		ResourceApiVersion:    corev3.ApiVersion_V3,
		ConfigSourceSpecifier: &corev3.ConfigSource_Ads{Ads: &corev3.AggregatedConfigSource{}},
	}
}

// marshal prints a message; protojson alone varies its white space on purpose.
func marshal(m proto.Message) ([]byte, error) {
	raw, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("write Envoy's configuration: %w", err)
	}
	var out bytes.Buffer
	if err := json.Indent(&out, raw, "", "  "); err != nil {
		return nil, fmt.Errorf("write Envoy's configuration: %w", err)
	}
	out.WriteByte('\n')
	return out.Bytes(), nil
}
