package envoy

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	"github.com/envoyproxy/go-control-plane/pkg/cache/types"
	cachev3 "github.com/envoyproxy/go-control-plane/pkg/cache/v3"
	resourcev3 "github.com/envoyproxy/go-control-plane/pkg/resource/v3"
	"google.golang.org/protobuf/proto"

	"github.com/nestor-gateway/nestor/routing"
)

// resources are the parts of a configuration that ADS brings.
type resources struct {
	options   Options
	clusters  []*clusterv3.Cluster
	listeners []*listenerv3.Listener
}

// translate makes the clusters and listeners for some upstreams, which may come in any order: the same
// upstreams are the same version. A version with nothing new is never sent, so never acknowledged.
func translate(o Options, upstreams []routing.Upstream) (resources, error) {
	o, err := o.withDefaults()
	if err != nil {
		return resources{}, err
	}
	r := resources{
		options:   o,
		clusters:  []*clusterv3.Cluster{attemptCluster(), apiCluster(o)},
		listeners: []*listenerv3.Listener{clientListener(o), attemptListener(o)},
	}
	if o.Inband {
		r.clusters, r.listeners = []*clusterv3.Cluster{apiCluster(o)}, []*listenerv3.Listener{inbandListener(o)}
	}
	byName := func(a, b routing.Upstream) int { return cmp.Compare(a.Name, b.Name) }
	for _, u := range slices.SortedFunc(slices.Values(upstreams), byName) {
		r.clusters = append(r.clusters, upstreamCluster(u, o.CAFile))
	}
	return r, nil
}

// snapshot is what the ADS server serves. Each type's version is a hash of its content, so
// that what did not change needs no acknowledgement.
func (r resources) snapshot() (*cachev3.Snapshot, error) {
	clusters, err := versioned(r.clusters)
	if err != nil {
		return nil, err
	}
	listeners, err := versioned(r.listeners)
	if err != nil {
		return nil, err
	}
	s := &cachev3.Snapshot{}
	s.Resources[types.Cluster] = clusters
	s.Resources[types.Listener] = listeners
	return s, nil
}

func versioned[R types.Resource](resources []R) (cachev3.Resources, error) {
	hash := sha256.New()
	items := make([]types.Resource, len(resources))
	for i, r := range resources {
		raw, err := proto.MarshalOptions{Deterministic: true}.Marshal(r)
		if err != nil {
			return cachev3.Resources{}, fmt.Errorf("write the configuration of %s: %w", cachev3.GetResourceName(r), err)
		}
		hash.Write(raw)
		items[i] = r
	}
	return cachev3.NewResources(hex.EncodeToString(hash.Sum(nil)[:8]), items), nil
}

// servedTypes are the types of resources that ADS serves.
func servedTypes() []resourcev3.Type {
	return []resourcev3.Type{resourcev3.ClusterType, resourcev3.ListenerType}
}
