package redistest

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"
)

// Master is what the sentinels call their primary.
const Master = "nestor"

// Watched is a primary and its replica under three sentinels.
type Watched struct {
	// Servers are the primary and the replica of the beginning, in this order.
	Servers [2]*Server
	// Sentinels name the primary of the moment. A primary that does not answer for half a second is down.
	Sentinels [3]*Server

	t testing.TB
}

// Sentinel runs a primary and its replica, which keep nothing on disk, under three sentinels.
func Sentinel(t testing.TB) *Watched {
	t.Helper()
	w := &Watched{t: t}
	w.Servers[0] = Single(t)
	host, port, _ := strings.Cut(w.Servers[0].Address, ":")
	w.Servers[1] = Single(t, "--replicaof", host, port)
	w.awaitReplica(w.Servers[1])
	for i := range w.Sentinels {
		w.Sentinels[i] = w.sentinel(host, port)
	}
	for _, s := range w.Sentinels {
		w.awaitCompany(s)
	}
	return w
}

func (w *Watched) sentinel(host, port string) *Server {
	w.t.Helper()
	s := newServer(w.t)
	// A sentinel rewrites its file as it learns.
	file := filepath.Join(s.dir, "sentinel.conf")
	write(w.t, file, fmt.Appendf(nil, `port %s
bind 127.0.0.1
dir %s
sentinel monitor %s %s %s 2
sentinel down-after-milliseconds %[3]s 500
sentinel failover-timeout %[3]s 3000
`, s.Port(), s.dir, Master, host, port))
	s.args = []string{file, "--sentinel"}
	s.Start()
	return s
}

// awaitReplica returns when a server follows its primary.
func (w *Watched) awaitReplica(s *Server) {
	w.t.Helper()
	client := s.Client()
	eventually(w.t, "the replica follows its primary", func() error {
		return holds(client.Info(context.Background(), "replication").Result())("master_link_status:up")
	})
}

// awaitCompany returns when a sentinel knows the others and the replica.
func (w *Watched) awaitCompany(s *Server) {
	w.t.Helper()
	client := s.Client()
	eventually(w.t, "the sentinel knows the others and the replica", func() error {
		return holds(client.Info(context.Background(), "sentinel").Result())("slaves=1,sentinels=3")
	})
}

// holds returns an error when a text can't be had, or lacks a part.
func holds(text string, err error) func(part string) error {
	return func(part string) error {
		if err == nil && !strings.Contains(text, part) {
			return fmt.Errorf("no %s in %s", part, text)
		}
		return err
	}
}

// Addresses are those of the sentinels.
func (w *Watched) Addresses() []string {
	return []string{w.Sentinels[0].Address, w.Sentinels[1].Address, w.Sentinels[2].Address}
}

// Client is a new client of the primary of the moment, closed when the test ends.
func (w *Watched) Client() *redis.Client {
	client := redis.NewFailoverClient(&redis.FailoverOptions{
		MasterName: Master, SentinelAddrs: w.Addresses(), DisableIdentity: true,
	})
	w.t.Cleanup(func() { _ = client.Close() })
	return client
}

// Primary is the server that most sentinels call so, and that knows it.
func (w *Watched) Primary() *Server {
	w.t.Helper()
	var primary *Server
	eventually(w.t, "the sentinels agree on a primary", func() (err error) {
		primary, err = w.agreed()
		return err
	})
	return primary
}

func (w *Watched) agreed() (*Server, error) {
	votes := map[string]int{}
	for _, s := range w.Sentinels {
		client := redis.NewSentinelClient(s.options())
		if at, err := client.GetMasterAddrByName(context.Background(), Master).Result(); err == nil {
			votes[strings.Join(at, ":")]++
		}
		_ = client.Close()
	}
	for _, s := range w.Servers {
		if votes[s.Address] > len(w.Sentinels)/2 && s.leads() {
			return s, nil
		}
	}
	return nil, errors.New("no server leads that most sentinels name")
}

// leads says whether a server answers and takes itself for a primary.
func (s *Server) leads() bool {
	if s.listens() != nil {
		return false
	}
	client := redis.NewClient(s.options())
	defer client.Close()
	return holds(client.Info(context.Background(), "replication").Result())("role:master") == nil
}

// FailOver kills the primary and returns when the other server has taken its place. The killed one, started
// again, becomes the replica. It can be called once more only after that.
func (w *Watched) FailOver() {
	w.t.Helper()
	old := w.Primary()
	old.Kill()
	eventually(w.t, "the replica takes the primary's place", func() error {
		if now, err := w.agreed(); err != nil || now == old {
			return errors.Join(err, errors.New("not yet"))
		}
		return nil
	})
}
