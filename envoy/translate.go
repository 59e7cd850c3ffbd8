package envoy

import (
	"cmp"
	"slices"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"

	"github.com/nestor-gateway/nestor/envoy/ads"
	"github.com/nestor-gateway/nestor/envoy/cluster"
	"github.com/nestor-gateway/nestor/routing"
)

// translate makes the clusters and listeners for some upstreams, which may come in any order. The options are
// those in force.
func translate(o Options, upstreams []routing.Upstream) ads.Resources {
	r := ads.Resources{
		Clusters:  []*clusterv3.Cluster{cluster.Attempt()},
		Listeners: []*listenerv3.Listener{clientListener(o), attemptListener(o)},
	}
	if o.Inband {
		r.Clusters, r.Listeners = nil, []*listenerv3.Listener{inbandListener(o)}
	}
	byName := func(a, b routing.Upstream) int { return cmp.Compare(a.Name, b.Name) }
	for _, u := range slices.SortedFunc(slices.Values(upstreams), byName) {
		r.Clusters = append(r.Clusters, cluster.Upstream(u, o.CAFile))
	}
	return r
}
