package redis_test

import (
	"maps"
	"strconv"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/nestor-gateway/nestor/ratelimit/redis"
	"github.com/nestor-gateway/nestor/ratelimit/redis/redistest"
)

func join(t *testing.T, place redis.Settings, id string) *redis.Replicas {
	t.Helper()
	r := redis.Join(connect(t, place), "", redis.Replica{ID: id, Address: id + ":1"})
	t.Cleanup(r.Close)
	return r
}

// sees fails unless a replica knows these and no other, within the time given.
func sees(t *testing.T, r *redis.Replicas, within time.Duration, ids ...string) {
	t.Helper()
	want, got := map[string]string{}, map[string]string{}
	for _, id := range ids {
		want[id] = id + ":1"
	}
	if !soon(within, func() bool {
		clear(got)
		for _, id := range []string{"a", "b", "c"} {
			if address, ok := r.Address(id); ok {
				got[id] = address
			}
		}
		return maps.Equal(want, got) && r.Live() == len(ids)
	}) {
		t.Fatalf("not within %v, %d live (-want +got):\n%s", within, r.Live(), gocmp.Diff(want, got))
	}
}

func TestReplicasKnowEachOther(t *testing.T) {
	t.Parallel()
	for name, place := range places(t) {
		t.Run(name, func(t *testing.T) {
			a := join(t, place, "a")
			sees(t, a, 2*time.Second, "a")
			b, c := join(t, place, "b"), join(t, place, "c")
			for _, r := range []*redis.Replicas{a, b, c} {
				sees(t, r, 2*time.Second, "a", "b", "c")
			}
			b.Close()
			sees(t, a, 2*time.Second, "a", "c")
		})
	}
}

func TestAReplicaThatDiesIsForgotten(t *testing.T) {
	t.Parallel()
	server := redistest.Single(t)
	place := redis.Settings{URL: server.URL()}
	a := join(t, place, "a")
	client := connect(t, place)
	dead := redis.Join(client, "", redis.Replica{ID: "b", Address: "b:1"})
	sees(t, a, 2*time.Second, "a", "b")
	_ = client.Close() // no beat of b gets through from here on, as if its process were killed
	sees(t, a, 8*time.Second, "a")
	dead.Close()
}

func TestReplicasStayKnownWhileRedisIsGone(t *testing.T) {
	t.Parallel()
	server := redistest.Single(t)
	place := redis.Settings{URL: server.URL()}
	a, b := join(t, place, "a"), join(t, place, "b")
	sees(t, a, 2*time.Second, "a", "b")
	sees(t, b, 2*time.Second, "a", "b")
	server.Kill()
	if soon(1500*time.Millisecond, func() bool { return a.Live() != 2 }) {
		t.Error("forgot the other one")
	}
	server.Start() // it is empty
	if soon(2500*time.Millisecond, func() bool { return a.Live() != 2 || b.Live() != 2 }) {
		t.Error("forgot the other one when Redis did")
	}
	sees(t, b, 3*time.Second, "a", "b")
	c := join(t, place, "c")
	sees(t, c, 3*time.Second, "a", "b", "c")
}

func TestReplicasStayKnownWhenRedisForgets(t *testing.T) {
	t.Parallel()
	server := redistest.Single(t)
	place := redis.Settings{URL: server.URL()}
	a, b := join(t, place, "a"), join(t, place, "b")
	sees(t, a, 2*time.Second, "a", "b")
	sees(t, b, 2*time.Second, "a", "b")
	server.FlushAll()
	if soon(2500*time.Millisecond, func() bool { a.Address("nobody"); return a.Live() != 2 || b.Live() != 2 }) {
		t.Error("forgot the other one")
	}
}

func TestIDsDiffer(t *testing.T) {
	if a, b := redis.NewID(), redis.NewID(); a == b || len(a) < 22 {
		t.Error(a, b)
	}
}

func TestWhatNobodyUsesCostsFewCommands(t *testing.T) {
	t.Parallel()
	server := redistest.Single(t)
	place := redis.Settings{URL: server.URL()}
	listen(t, place)
	sees(t, join(t, place, "a"), 2*time.Second, "a")
	client := server.Client()
	client.ConfigResetStat(t.Context())
	before := time.Now()
	soon(5*time.Second, func() bool { return false })
	seconds := time.Since(before).Seconds()
	commands, stats := 0, client.Info(t.Context(), "commandstats").Val()
	for line := range strings.Lines(stats) {
		if _, after, ok := strings.Cut(line, ":calls="); ok {
			number, _, _ := strings.Cut(after, ",")
			n, err := strconv.Atoi(number)
			if err != nil {
				t.Fatal(line)
			}
			commands += n
		}
	}
	if float64(commands) > 12*seconds {
		t.Errorf("%d commands in %.1f s, those of scripts included, want at most 12 a second:\n%s", commands, seconds, stats)
	}
}
