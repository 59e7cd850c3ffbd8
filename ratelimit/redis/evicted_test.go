package redis

import (
	"context"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/nestor-gateway/nestor/ratelimit"
	"github.com/nestor-gateway/nestor/ratelimit/redis/redistest"
)

func TestRealRedisThatEvicts(t *testing.T) {
	t.Parallel()
	server := redistest.Single(t)
	client, ctx := server.Client(), context.Background()
	l := newLoad(t, func() redis.UniversalClient { return server.Client() }, 2, Options{})
	e := l.stores[0].Declare([]ratelimit.Limit{{Name: "deployment:a", Most: ratelimit.Amounts{10, none, none}}})
	l.stores[1].Declare([]ratelimit.Limit{{Name: "deployment:a", Most: ratelimit.Amounts{10, none, none}}})
	for n := range uint64(10) {
		l.one(l.stores[0], one(n, e...))
	}
	// The entity's is the one key that expires.
	for _, set := range [][2]string{{"maxmemory-policy", "volatile-random"}, {"maxmemory", "1mb"}} {
		if err := client.ConfigSet(ctx, set[0], set[1]).Err(); err != nil {
			t.Fatal(err)
		}
	}
	await(t, func() bool {
		_ = client.Set(ctx, "another", "x", 0).Err() // is refused, and has the server evict what it can
		return client.Exists(ctx, "nestor:rl:{0}deployment:a").Val() == 0
	})
	if err := client.ConfigSet(ctx, "maxmemory", "0").Err(); err != nil {
		t.Fatal(err)
	}
	for n := range uint64(10) {
		l.one(l.stores[1], one(1<<32|n, e...))
	}
	await(t, func() bool { return l.stores[0].isOpen() && l.stores[1].isOpen() })
	for n := range uint64(10) {
		l.one(l.stores[1], one(2<<32|n, e...))
	}
	if len(l.uses) != 10 {
		t.Errorf("%d admitted, want 10", len(l.uses))
	}
}
