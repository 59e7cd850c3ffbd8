package redis_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nestor-gateway/nestor/ratelimit"
	"github.com/nestor-gateway/nestor/ratelimit/redis"
	"github.com/nestor-gateway/nestor/ratelimit/redis/redistest"
)

func TestFleetsWithDifferentPrefixesHaveNothingInCommon(t *testing.T) {
	t.Parallel()
	server := redistest.Single(t)
	place := redis.Settings{URL: server.URL()}
	heard := map[string]chan redis.Notice{}
	for _, fleet := range []string{"a", "b"} {
		heard[fleet] = make(chan redis.Notice, 10)
		r := redis.Join(connect(t, place), fleet, redis.Replica{ID: fleet, Address: fleet + ":1"})
		t.Cleanup(r.Close)
		b := redis.NewBoard(connect(t, place), fleet, redis.NewID(), func(n redis.Notice) { heard[fleet] <- n })
		t.Cleanup(b.Close)
		spendAll(t, place, fleet)
		sees(t, r, 2*time.Second, fleet)
	}
	post := redis.NewBoard(connect(t, place), "a", redis.NewID(), func(redis.Notice) {})
	t.Cleanup(post.Close)
	post.Publish(redis.Notice{Deployment: "d", Left: time.Minute})
	select {
	case <-heard["a"]:
	case <-time.After(5 * time.Second):
		t.Fatal("the fleet itself has not heard")
	}
	if len(heard["b"]) > 0 {
		t.Error("the other fleet has heard")
	}
	keys := server.Client().Keys(context.Background(), "*").Val()
	if len(keys) < 6 || slices.ContainsFunc(keys, func(k string) bool { return !strings.HasPrefix(k, "a:") && !strings.HasPrefix(k, "b:") }) {
		t.Errorf("the keys are %q, want those of both fleets behind their prefixes", keys)
	}
}

// spendAll admits five requests of five.
func spendAll(t *testing.T, place redis.Settings, fleet string) {
	t.Helper()
	s := redis.NewStore(connect(t, place), redis.Options{Fresh: true, Prefix: fleet})
	t.Cleanup(func() { _ = s.Close() })
	e := s.Declare([]ratelimit.Limit{{Name: "deployment:x", Most: ratelimit.Amounts{5, ratelimit.None, ratelimit.None}}})
	for i := range byte(6) {
		q := &ratelimit.Reservation{ID: ratelimit.ID{i, fleet[0]}, Amounts: ratelimit.Amounts{1}, Entities: e, Life: time.Hour}
		if _, denial := s.Reserve(context.Background(), q); (denial == nil) != (i < 5) {
			t.Fatalf("fleet %s, request %d: %+v", fleet, i, denial)
		}
	}
}

func TestCheckPrefix(t *testing.T) {
	for prefix, fine := range map[string]bool{
		"nestor": true, "prod:nestor": true, "a/b.c|~": true, "": false, "a b": false, "{a}": false, "a}": false, "é": false,
		strings.Repeat("x", 101): false,
	} {
		if err := redis.CheckPrefix(prefix); (err == nil) != fine {
			t.Errorf("%q: %v", prefix, err)
		}
	}
}
