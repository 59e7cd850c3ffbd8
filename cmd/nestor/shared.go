package main

import (
	"cmp"
	"fmt"
	"log/slog"
	"net"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/nestor-gateway/nestor/extproc/forward"
	"github.com/nestor-gateway/nestor/ratelimit/redis"
	"github.com/nestor-gateway/nestor/routing"
)

// limits is the store of limits, and what replicas share beside it.
type limits struct {
	store    routing.Limits
	place    redisPlace
	replicas *redis.Replicas // nil where nothing is shared
	// share begins to tell the other replicas what a router learns, and the router what they do.
	share func(r *routing.Router)
	// close is what to end, the last first.
	close []func()
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
	store := redis.NewStore(client, redis.Options{Fresh: s.freshLimits, Prefix: place.prefix, Log: log})
	self := redis.NewID()
	replicas := redis.Join(client, place.prefix, redis.Replica{ID: self, Address: address})
	l := &limits{store: store, place: place, replicas: replicas, close: []func(){func() { _ = client.Close() }, func() { _ = store.Close() }, replicas.Close}}
	l.share = func(r *routing.Router) {
		board := redis.NewBoard(client, place.prefix, self, func(n redis.Notice) { r.Noticed(heard(n)) })
		l.close = append(l.close, func() { r.Notify(nil); board.Close() })
		r.Notify(func(n routing.Notice) { board.Publish(posted(n)) })
	}
	log.Info("limits are shared", "redis", place.where(), "replica", self, "advertise", address)
	return l, nil
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
func (l *limits) forwarder(r *routing.Router, m prometheus.Registerer, log *slog.Logger) *forward.Forwarder {
	f := forward.New(forward.Options{Self: l.replicas.Self().ID, Ledger: r, Directory: l.replicas, Metrics: m, Log: log})
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
