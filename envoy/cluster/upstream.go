package cluster

import (
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	dnsfamilyv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/clusters/common/dns/v3"
	dnsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/clusters/dns/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	httpv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/upstreams/http/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/nestor-gateway/nestor/envoy/hostport"
	"github.com/nestor-gateway/nestor/envoy/message"
	"github.com/nestor-gateway/nestor/routing"
)

// Upstream leads to one scheme, host and port.
func Upstream(u routing.Upstream, caFile string) *clusterv3.Cluster {
	at := hostport.Address{Host: u.Host, Port: u.Port}
	c := &clusterv3.Cluster{
		Name:            u.Name,
		ConnectTimeout:  message.MS(5000),
		LoadAssignment:  assignment(u.Name, at),
		CircuitBreakers: openBreakers(),
		UpstreamConnectionOptions: &clusterv3.UpstreamConnectionOptions{
			// An answer may take minutes; address translation forgets a silent connection after four.
			TcpKeepalive: &corev3.TcpKeepalive{
				KeepaliveTime:     wrapperspb.UInt32(60),
				KeepaliveInterval: wrapperspb.UInt32(10),
				KeepaliveProbes:   wrapperspb.UInt32(3),
			},
		},
	}
	discover(c, logicalDNS(), at)
	if u.Scheme == "https" {
		c.TransportSocket = tlsTo(at, caFile)
		c.TypedExtensionProtocolOptions = protocol(httpsProtocol())
		return c
	}
	c.TypedExtensionProtocolOptions = protocol(plainProtocol())
	return c
}

// logicalDNS treats a name as one host with changing addresses. Providers rotate the addresses
// of one name; strict DNS would take each for a host of its own and drop connections
// at every change. All addresses of the name are tried, IPv6 and IPv4 in turn.
func logicalDNS() *dnsv3.DnsCluster {
	return &dnsv3.DnsCluster{
		RespectDnsTtl:                true,
		AllAddressesInSingleEndpoint: true,
		DnsLookupFamily:              dnsfamilyv3.DnsLookupFamily_ALL,
		DnsFailureRefreshRate: &dnsv3.DnsCluster_RefreshRate{
			BaseInterval: message.MS(500),
			MaxInterval:  message.MS(5000),
		},
	}
}

// strictDNS treats every address of a name as a host: the replicas of nestor.
func strictDNS() *dnsv3.DnsCluster {
	return &dnsv3.DnsCluster{
		DnsLookupFamily:       dnsfamilyv3.DnsLookupFamily_V4_PREFERRED,
		DnsRefreshRate:        message.MS(1000),
		DnsFailureRefreshRate: &dnsv3.DnsCluster_RefreshRate{BaseInterval: message.MS(250), MaxInterval: message.MS(1000)},
	}
}

// discover says how a cluster finds its hosts: by DNS if any of its endpoints is a name.
func discover(c *clusterv3.Cluster, dns *dnsv3.DnsCluster, endpoints ...hostport.Address) {
	for _, e := range endpoints {
		if !e.IsIP() {
			// Envoy starts, and takes further clusters, while a name is being resolved.
			c.WaitForWarmOnInit = wrapperspb.Bool(false)
			c.ClusterDiscoveryType = &clusterv3.Cluster_ClusterType{ClusterType: &clusterv3.Cluster_CustomClusterType{
				Name: "envoy.cluster.dns", TypedConfig: message.Pack(dns),
			}}
			return
		}
	}
	c.ClusterDiscoveryType = static()
}

// tlsTo verifies that the certificate is for the host, and asks for it by its name.
func tlsTo(at hostport.Address, caFile string) *corev3.TransportSocket {
	name := &tlsv3.SubjectAltNameMatcher{
		SanType: tlsv3.SubjectAltNameMatcher_DNS,
		Matcher: &matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_Exact{Exact: at.Host}},
	}
	tls := &tlsv3.UpstreamTlsContext{Sni: at.Host}
	if at.IsIP() {
		name.SanType = tlsv3.SubjectAltNameMatcher_IP_ADDRESS
		tls.Sni = "" // RFC 6066, section 3: no IP addresses
	}
	tls.CommonTlsContext = &tlsv3.CommonTlsContext{
		ValidationContextType: &tlsv3.CommonTlsContext_ValidationContext{
			ValidationContext: &tlsv3.CertificateValidationContext{
				TrustedCa:                 &corev3.DataSource{Specifier: &corev3.DataSource_Filename{Filename: caFile}},
				MatchTypedSubjectAltNames: []*tlsv3.SubjectAltNameMatcher{name},
			},
		},
	}
	return &corev3.TransportSocket{
		Name:       "envoy.transport_sockets.tls",
		ConfigType: &corev3.TransportSocket_TypedConfig{TypedConfig: message.Pack(tls)},
	}
}

// httpsProtocol takes HTTP/2 where the upstream's TLS offers it.
func httpsProtocol() *httpv3.HttpProtocolOptions {
	return &httpv3.HttpProtocolOptions{
		// Less than any public provider's own idle time, so that no request meets a closing connection.
		CommonHttpProtocolOptions: &corev3.HttpProtocolOptions{IdleTimeout: message.MS(60_000)},
		UpstreamProtocolOptions: &httpv3.HttpProtocolOptions_AutoConfig{AutoConfig: &httpv3.HttpProtocolOptions_AutoHttpConfig{
			Http2ProtocolOptions: &corev3.Http2ProtocolOptions{
				// Answers that nobody reads must not use up the window of all the others.
				InitialStreamWindowSize:     wrapperspb.UInt32(1 << 20),
				InitialConnectionWindowSize: wrapperspb.UInt32(1<<31 - 1),
				ConnectionKeepalive:         pings(30*time.Second, 10*time.Second),
			},
		}},
	}
}

// plainProtocol speaks HTTP/1.1 to servers without TLS.
func plainProtocol() *httpv3.HttpProtocolOptions {
	return &httpv3.HttpProtocolOptions{
		// Model servers on uvicorn or Node close an idle connection after 5 s.
		CommonHttpProtocolOptions: &corev3.HttpProtocolOptions{IdleTimeout: message.MS(4000)},
		UpstreamProtocolOptions: &httpv3.HttpProtocolOptions_ExplicitHttpConfig_{
			ExplicitHttpConfig: &httpv3.HttpProtocolOptions_ExplicitHttpConfig{
				ProtocolConfig: &httpv3.HttpProtocolOptions_ExplicitHttpConfig_HttpProtocolOptions{
					HttpProtocolOptions: &corev3.Http1ProtocolOptions{},
				},
			},
		},
	}
}

// openBreakers takes away Envoy's limits of 1024 requests and 3 retries: Nestor has its own.
func openBreakers() *clusterv3.CircuitBreakers {
	many := wrapperspb.UInt32(1_000_000)
	return &clusterv3.CircuitBreakers{Thresholds: []*clusterv3.CircuitBreakers_Thresholds{{
		MaxConnections:     many,
		MaxPendingRequests: many,
		MaxRequests:        many,
		MaxRetries:         many,
	}}}
}

func pings(interval, timeout time.Duration) *corev3.KeepaliveSettings {
	return &corev3.KeepaliveSettings{Interval: durationpb.New(interval), Timeout: durationpb.New(timeout)}
}
