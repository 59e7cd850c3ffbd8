package redis_test

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/nestor-gateway/nestor/ratelimit"
	"github.com/nestor-gateway/nestor/ratelimit/redis"
	"github.com/nestor-gateway/nestor/ratelimit/redis/redistest"
)

// ear is a board and what was heard on it: the last notice about each thing.
type ear struct {
	*redis.Board
	mu    sync.Mutex
	heard map[redis.Notice]time.Duration // by notice without Left
	count int
}

func listen(t testing.TB, s redis.Settings) *ear {
	t.Helper()
	e := &ear{heard: map[redis.Notice]time.Duration{}}
	e.Board = redis.NewBoard(connect(t, s), "", redis.NewID(), e.hear)
	t.Cleanup(e.Close)
	return e
}

func (e *ear) hear(n redis.Notice) {
	e.mu.Lock()
	defer e.mu.Unlock()
	left := n.Left
	n.Left = 0
	e.heard[n] = left
	e.count++
}

// holding is what was heard that holds, with what is left rounded up to minutes.
func (e *ear) holding() []redis.Notice {
	e.mu.Lock()
	defer e.mu.Unlock()
	var out []redis.Notice
	for n, left := range e.heard {
		if n.Left = (left + time.Minute - 1).Truncate(time.Minute); left > 0 {
			out = append(out, n)
		}
	}
	slices.SortFunc(out, func(a, b redis.Notice) int { return cmp.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
	return out
}

// things is how many things were heard of.
func (e *ear) things() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.heard)
}

// left is what was heard last, rounded up to minutes.
func (e *ear) left(n redis.Notice) time.Duration {
	e.mu.Lock()
	defer e.mu.Unlock()
	return (e.heard[n] + time.Minute - 1).Truncate(time.Minute)
}

func (e *ear) total() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.count
}

// awaits fails unless the notices are what holds, within the time given.
func (e *ear) awaits(t *testing.T, within time.Duration, want ...redis.Notice) {
	t.Helper()
	if !soon(within, func() bool { return gocmp.Equal(want, e.holding()) }) {
		t.Fatalf("not within %v (-want +got):\n%s", within, gocmp.Diff(want, e.holding()))
	}
}

// soon polls until done is true, and reports whether it was in time.
func soon(within time.Duration, done func() bool) bool {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(within); !done(); <-tick.C {
		if time.Now().After(deadline) {
			return false
		}
	}
	return true
}

func cooldown(id string, left time.Duration) redis.Notice {
	return redis.Notice{Kind: redis.Cooldown, Deployment: id, Left: left}
}

func quota(id string, d ratelimit.Dimension, left time.Duration) redis.Notice {
	return redis.Notice{Kind: redis.Quota, Deployment: id, Dimension: d, Left: left}
}

// places are servers of every kind.
func places(t *testing.T) map[string]redis.Settings {
	t.Helper()
	return map[string]redis.Settings{
		"single":   {URL: redistest.Single(t).URL()},
		"sentinel": watched(redistest.Sentinel(t)),
		"cluster":  {Nodes: redistest.Cluster(t).Addresses()},
	}
}

func watched(w *redistest.Watched) redis.Settings {
	return redis.Settings{Sentinels: w.Addresses(), Master: redistest.Master}
}

func TestNoticesReachAllOthersWithinASecond(t *testing.T) {
	for name, place := range places(t) {
		t.Run(name, func(t *testing.T) {
			a, b, c := listen(t, place), listen(t, place), listen(t, place)
			one, two, three := cooldown("x:y", time.Minute), quota("x:y", ratelimit.Tokens, 2*time.Minute), quota("x:y", ratelimit.Requests, 3*time.Minute)
			a.Publish(one)
			a.Publish(two)
			b.Publish(three)
			a.awaits(t, time.Second, three)
			b.awaits(t, time.Second, one, two)
			c.awaits(t, time.Second, one, three, two)
			listen(t, place).awaits(t, time.Second, one, three, two)
			b.Publish(cooldown("x:y", 0))
			c.awaits(t, time.Second, three, two)
			a.Publish(cooldown("x:y", 5*time.Minute))
			c.awaits(t, time.Second, cooldown("x:y", 5*time.Minute), three, two)
		})
	}
}

func TestNoticesAreAnnounced(t *testing.T) {
	for name, place := range places(t) {
		t.Run(name, func(t *testing.T) {
			a, b := listen(t, place), listen(t, place)
			a.Publish(cooldown("first", time.Minute))
			b.awaits(t, 2*time.Second, cooldown("first", time.Minute))
			before := time.Now()
			for i := range 10 {
				a.Publish(cooldown(fmt.Sprint(i), time.Minute))
				if !soon(time.Second, func() bool { return b.things() == i+2 }) {
					t.Fatalf("%d is not heard", i)
				}
			}
			// Polls alone would take 0.8 s each.
			if took := time.Since(before); took > 3*time.Second {
				t.Errorf("ten notices, one after the other, took %v", took)
			}
		})
	}
}

// permitted is what a user of Redis needs for the board and the registry.
const permitted = "~nestor:* resetchannels +ping +auth +hello +select +client|setname +subscribe +eval +evalsha " +
	"+time +hget +hmget +hset +hsetnx +hincrby +hdel +hgetall +zadd +zrem +zcard +zrange +zrangebyscore +pexpire +publish"

func TestNoticesThatCanNotBeAnnouncedAreFoundWithinASecond(t *testing.T) {
	server := redistest.Single(t)
	args := []any{"acl", "setuser", "poor", "on", ">p"}
	for rule := range strings.FieldsSeq(permitted) {
		args = append(args, rule)
	}
	if err := server.Client().Do(context.Background(), args...).Err(); err != nil {
		t.Fatal(err)
	}
	place := redis.Settings{Host: "127.0.0.1", Port: port(t, server), Username: "poor", Password: "p"}
	a, b := listen(t, place), listen(t, place)
	a.Publish(cooldown("x", time.Minute))
	b.awaits(t, time.Second, cooldown("x", time.Minute))
	r := join(t, place, "a")
	join(t, place, "b")
	sees(t, r, 2*time.Second, "a", "b")
}

func port(t *testing.T, s *redistest.Server) int {
	t.Helper()
	n, err := strconv.Atoi(s.Port())
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestANoticeIsHeardOnce(t *testing.T) {
	t.Parallel()
	place := redis.Settings{URL: redistest.Single(t).URL()}
	a, b := listen(t, place), listen(t, place)
	a.Publish(cooldown("x", time.Minute))
	b.awaits(t, time.Second, cooldown("x", time.Minute))
	// A board reads everything again within 4 s.
	if soon(5*time.Second, func() bool { return b.total() > 1 }) {
		t.Error("heard again what was heard")
	}
}

func TestALaterReplicaHearsWhatIsLeft(t *testing.T) {
	t.Parallel()
	place := redis.Settings{URL: redistest.Single(t).URL()}
	a, b := listen(t, place), listen(t, place)
	a.Publish(cooldown("x", 1500*time.Millisecond))
	b.awaits(t, time.Second, cooldown("x", time.Minute))
	if !soon(10*time.Second, func() bool {
		c := listen(t, place)
		defer c.Close()
		return soon(time.Second, func() bool { return c.total() > 0 }) && len(c.holding()) == 0
	}) {
		t.Error("a notice that is over still holds")
	}
}

func TestNoticesOutliveAFailover(t *testing.T) {
	t.Parallel()
	servers := redistest.Sentinel(t)
	place := watched(servers)
	a, b := listen(t, place), listen(t, place)
	a.Publish(cooldown("before", time.Minute))
	b.awaits(t, time.Second, cooldown("before", time.Minute))
	servers.Primary().Kill()
	a.Publish(cooldown("meanwhile", time.Hour))
	b.awaits(t, 15*time.Second, cooldown("before", time.Minute), cooldown("meanwhile", time.Hour))
	listen(t, place).awaits(t, time.Second, cooldown("before", time.Minute), cooldown("meanwhile", time.Hour))
}

func TestNoticesOutliveAServerThatForgets(t *testing.T) {
	t.Parallel()
	server := redistest.Single(t)
	place := redis.Settings{URL: server.URL()}
	a, b := listen(t, place), listen(t, place)
	for i, forget := range []func(){server.FlushAll, func() { server.Kill(); server.Start() }} {
		id := fmt.Sprint(i)
		a.Publish(cooldown(id, time.Minute))
		if !soon(2*time.Second, func() bool { return strings.Contains(fmt.Sprint(b.holding()), "{0 "+id+" ") }) {
			t.Fatal("not heard before")
		}
		forget()
	}
	if !soon(5*time.Second, func() bool {
		c := listen(t, place)
		defer c.Close()
		return soon(100*time.Millisecond, func() bool {
			return gocmp.Equal([]redis.Notice{cooldown("0", time.Minute), cooldown("1", time.Minute)}, c.holding())
		})
	}) {
		t.Error("the notices are lost")
	}
}

func TestPublishNeverWaits(t *testing.T) {
	server := redistest.Single(t)
	place := redis.Settings{URL: server.URL()}
	a := listen(t, place)
	server.Pause()
	before := time.Now()
	for i := range 10_100 {
		a.Publish(cooldown(fmt.Sprint(i), time.Hour+time.Duration(i)*time.Second))
	}
	a.Publish(cooldown("10099", 10*time.Hour))
	if took := time.Since(before); took > 2*time.Second {
		t.Errorf("10,101 notices took %v", took)
	}
	server.Resume()
	b := listen(t, place)
	newest := cooldown("10099", 0)
	if !soon(10*time.Second, func() bool { return b.things() >= 10_000 && b.left(newest) == 10*time.Hour }) {
		t.Errorf("%d notices, want the 10,000 that hold longest and the newest with %v", b.things(), b.left(newest))
	}
	if n := server.Client().HLen(context.Background(), "nestor:{board}:notices").Val(); n != 10_000 {
		t.Errorf("%d notices stored", n)
	}
}

func TestABoardLeavesNothingInRedisForEver(t *testing.T) {
	t.Parallel()
	server := redistest.Single(t)
	place := redis.Settings{URL: server.URL()}
	a, b := listen(t, place), listen(t, place)
	a.Publish(cooldown("x", time.Minute))
	b.awaits(t, time.Second, cooldown("x", time.Minute))
	redis.Join(connect(t, place), "", redis.Replica{ID: "r", Address: "h:1"}).Close()
	client := server.Client()
	for _, key := range client.Keys(context.Background(), "*").Val() {
		if left := client.PTTL(context.Background(), key).Val(); left <= 0 || left > 3*time.Minute {
			t.Errorf("%s expires in %v", key, left)
		}
	}
}
