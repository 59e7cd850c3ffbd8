package ads

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	"github.com/envoyproxy/go-control-plane/pkg/cache/types"
	cachev3 "github.com/envoyproxy/go-control-plane/pkg/cache/v3"
	resourcev3 "github.com/envoyproxy/go-control-plane/pkg/resource/v3"
	"google.golang.org/protobuf/proto"
)

// Resources are the parts of a configuration that ADS brings. The same ones in the same order are the same
// version; a version with nothing new is never sent, so never acknowledged.
type Resources struct {
	Clusters  []*clusterv3.Cluster
	Listeners []*listenerv3.Listener
}

// snapshot is what is served. Each type's version is a hash of its content, so
// that what did not change needs no acknowledgement.
func (r Resources) snapshot() (*cachev3.Snapshot, error) {
	clusters, err := versioned(r.Clusters)
	if err != nil {
		return nil, err
	}
	listeners, err := versioned(r.Listeners)
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
