package main

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/base32"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/nestor-gateway/nestor/access"
	"github.com/nestor-gateway/nestor/extproc/forward"
	"github.com/nestor-gateway/nestor/ratelimit/redis"
	"github.com/nestor-gateway/nestor/routing"
)

// limitStore keeps the limits of the config, and those of keys, teams and users.
type limitStore interface {
	routing.Limits
	access.Entities
}

// limits is the store of limits, and what replicas share beside it.
type limits struct {
	store    limitStore
	place    redisPlace
	replicas *redis.Replicas // nil where nothing is shared
	// share begins to tell the other replicas what a router learns, and the router what they do.
	share func(r *routing.Router)
	// close is what to end, the last first.
	close []func()
	// seated waits until the replicas know each other; nil where nothing is shared.
	seated func(ctx context.Context) error
}

func (l *limits) Close() {
	for i := len(l.close) - 1; i >= 0; i-- {
		l.close[i]()
	}
}

// shareLimits opens the store that replicas share.
func shareLimits(s settings, place redisPlace, log *slog.Logger) (*limits, error) {
	client, err := redis.Connect(place.Settings)
	if err != nil {
		return nil, err
	}
	redis.LogTo(log)
	address, err := s.advertised()
	if err != nil {
		return nil, err
	}
	self := redis.Replica{ID: redis.NewID() + "." + machine(), Address: address}
	store := redis.NewStore(client, redis.Options{
		Fresh: s.firstStart(log), Prefix: place.prefix, Log: log, Self: self,
		Gone: func(ctx context.Context, r redis.Replica) bool { return gone(ctx, self, r) },
	})
	replicas := redis.Join(client, place.prefix, self)
	l := &limits{store: store, seated: store.Ready, place: place, replicas: replicas, close: []func(){func() { _ = client.Close() }, func() { _ = store.Close() }, replicas.Close}}
	l.share = func(r *routing.Router) {
		board := redis.NewBoard(client, place.prefix, self.ID, func(n redis.Notice) { r.Noticed(heard(n)) })
		l.close = append(l.close, func() { r.Notify(nil); board.Close() })
		r.Notify(func(n routing.Notice) { board.Publish(posted(n)) })
	}
	log.Info("limits are shared", "redis", place.where(), "replica", self.ID, "advertise", address)
	return l, nil
}

// gone says whether it is certain that a replica is. At an address that every machine has, others say nothing of it.
func gone(ctx context.Context, self, r redis.Replica) bool {
	host, _, err := net.SplitHostPort(r.Address)
	if err != nil {
		return false
	}
	ip := net.ParseIP(host)
	_, here, _ := strings.Cut(self.ID, ".")
	_, there, _ := strings.Cut(r.ID, ".")
	if (ip == nil && host == "localhost" || ip.IsLoopback()) && here != there {
		return false
	}
	return forward.Gone(ctx, r.ID, r.Address)
}

// machine is the same for all processes that have one loopback interface, and different for others: in Linux that
// is one start of the system and one network namespace.
func machine() string {
	name, _ := os.Hostname()
	boot, _ := os.ReadFile("/proc/sys/kernel/random/boot_id") // there is none elsewhere
	network, _ := os.Readlink("/proc/self/ns/net")
	sum := sha256.Sum256(fmt.Appendf(nil, "%s %s %s", name, boot, network))
	return base32.StdEncoding.EncodeToString(sum[:5])
}

func posted(n routing.Notice) redis.Notice {
	kind := redis.Quota
	if n.Cooldown {
		kind = redis.Cooldown
	}
	return redis.Notice{Kind: kind, Deployment: n.Deployment, Dimension: n.Dimension, Left: n.Wait}
}

func heard(n redis.Notice) routing.Notice {
	return routing.Notice{Deployment: n.Deployment, Cooldown: n.Kind == redis.Cooldown, Dimension: n.Dimension, Wait: n.Left}
}

// forwarder settles at other replicas what they hold.
func (l *limits) forwarder(r *routing.Router, c *callers, m prometheus.Registerer, log *slog.Logger) *forward.Forwarder {
	if store, ok := l.store.(*redis.Store); ok {
		m.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "nestor_redis_down_seconds", Help: "For how long Redis has been of no use for limits; 0 while it is.",
		}, func() float64 { return store.Down().Seconds() }))
	}
	o := forward.Options{Self: l.replicas.Self().ID, Ledger: r, Directory: l.replicas, Metrics: m, Log: log}
	if c.store != nil {
		o.Money = bills{c}
	}
	f := forward.New(o)
	l.close = append(l.close, f.Close)
	return f
}

// advertised is where other replicas reach the gRPC port. Where it listens on every address that is
// the first of this machine that is not loopback.
func (s settings) advertised() (string, error) {
	if s.advertise != "" {
		if _, _, err := net.SplitHostPort(s.advertise); err != nil {
			return "", fmt.Errorf("--advertise %s is not HOST:PORT", s.advertise)
		}
		return s.advertise, nil
	}
	host, port, err := net.SplitHostPort(s.grpcListen)
	if err != nil {
		return "", fmt.Errorf("--grpc-listen %s is not HOST:PORT", s.grpcListen)
	}
	if ip := net.ParseIP(host); host != "" && (ip == nil || !ip.IsUnspecified()) {
		return s.grpcListen, nil
	}
	return net.JoinHostPort(cmp.Or(ownAddress(), "127.0.0.1"), port), nil
}

// ownAddress is empty when this machine has no address but loopback.
func ownAddress() string {
	all, _ := net.InterfaceAddrs() // none is as good as an error
	for _, a := range all {
		if n, ok := a.(*net.IPNet); ok && n.IP.IsGlobalUnicast() {
			return n.IP.String()
		}
	}
	return ""
}
