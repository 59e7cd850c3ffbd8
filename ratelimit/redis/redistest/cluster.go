package redistest

import (
	"context"
	"errors"
	"testing"

	"github.com/redis/go-redis/v9"
)

// slots is how many a cluster shares out.
const slots = 16384

// Nodes is a cluster of three primaries without replicas. When one is down the others refuse all commands.
type Nodes struct {
	Servers [3]*Server

	t testing.TB
}

// Cluster runs three primaries that keep nothing on disk but who has which slot: started again after
// Stop or Kill a node takes its place, empty.
func Cluster(t testing.TB, args ...string) *Nodes {
	t.Helper()
	c := &Nodes{t: t}
	for i := range c.Servers {
		c.Servers[i] = c.node(args)
	}
	for i := range c.Servers {
		c.introduce(i)
	}
	c.AwaitWhole()
	return c
}

func (c *Nodes) node(args []string) *Server {
	c.t.Helper()
	s := newServer(c.t)
	bus := &Server{Address: freeAddress(c.t)}
	s.configure(append(append(s.plain(),
		"--cluster-enabled", "yes", "--cluster-port", bus.Port(), "--cluster-node-timeout", "1000"), args...)...)
	s.bus = bus.Port()
	s.Start()
	return s
}

// introduce gives a node its part of the slots and names it to those before.
func (c *Nodes) introduce(i int) {
	c.t.Helper()
	ctx, client, n := context.Background(), c.Servers[i].Client(), len(c.Servers)
	err := errors.Join(
		client.ClusterAddSlotsRange(ctx, i*slots/n, (i+1)*slots/n-1).Err(),
		client.Do(ctx, "cluster", "set-config-epoch", i+1).Err(),
	)
	for _, other := range c.Servers[:i] {
		err = errors.Join(err, client.Do(ctx, "cluster", "meet", "127.0.0.1", other.Port(), other.bus).Err())
	}
	if err != nil {
		c.t.Fatal("make a cluster:", err)
	}
}

// AwaitWhole returns when every node knows that all slots are served.
func (c *Nodes) AwaitWhole() {
	c.t.Helper()
	for _, s := range c.Servers {
		client := s.Client()
		eventually(c.t, "the cluster is whole", func() error {
			info := holds(client.ClusterInfo(context.Background()).Result())
			return errors.Join(info("cluster_state:ok"), info("cluster_slots_ok:16384"), info("cluster_known_nodes:3"))
		})
	}
}

// Addresses are those of the nodes.
func (c *Nodes) Addresses() []string {
	return []string{c.Servers[0].Address, c.Servers[1].Address, c.Servers[2].Address}
}

// Client is a new client of the cluster, closed when the test ends.
func (c *Nodes) Client() *redis.ClusterClient {
	client := redis.NewClusterClient(&redis.ClusterOptions{Addrs: c.Addresses(), DisableIdentity: true})
	c.t.Cleanup(func() { _ = client.Close() })
	return client
}
