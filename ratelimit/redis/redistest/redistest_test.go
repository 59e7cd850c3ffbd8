package redistest_test

import (
	"context"
	"strconv"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/nestor-gateway/nestor/ratelimit/redis/redistest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestSingleForgetsWhenItDies(t *testing.T) {
	s := redistest.Single(t)
	for name, die := range map[string]func(){
		"Kill":     func() { s.Kill(); s.Start() },
		"Stop":     func() { s.Stop(); s.Start() },
		"FlushAll": s.FlushAll,
	} {
		set(t, s)
		die()
		if n := s.Client().DBSize(context.Background()).Val(); n != 0 {
			t.Errorf("%d keys after %s, want 0", n, name)
		}
	}
}

func TestSingleTakesArguments(t *testing.T) {
	s := redistest.Single(t, "--appendonly", "yes", "--appendfsync", "always")
	set(t, s)
	s.Kill()
	s.Start()
	if n := s.Client().DBSize(context.Background()).Val(); n != 1 {
		t.Errorf("%d keys, want the 1 of before", n)
	}
}

func TestAPausedServerHangs(t *testing.T) {
	s := redistest.Single(t)
	client := s.Client()
	set(t, s)
	s.Pause()
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if err := client.Ping(ctx).Err(); err == nil {
		t.Error("answered while paused")
	}
	s.Resume()
	if err := client.Ping(context.Background()).Err(); err != nil {
		t.Error("after the pause:", err)
	}
}

func TestSecureLetsNobodyElseIn(t *testing.T) {
	s := redistest.Secure(t)
	set(t, s)
	stranger := *s
	stranger.Username, stranger.Password = "", ""
	if err := stranger.Client().Ping(context.Background()).Err(); err == nil {
		t.Error("answered without a password")
	}
	stranger = *s
	stranger.CA = ""
	if err := stranger.Client().Ping(context.Background()).Err(); err == nil {
		t.Error("answered without TLS")
	}
}

func set(t *testing.T, s *redistest.Server) {
	t.Helper()
	if err := s.Client().Set(context.Background(), "key", "value", 0).Err(); err != nil {
		t.Fatal(err)
	}
}

func TestSentinelsReplaceADeadPrimary(t *testing.T) {
	w := redistest.Sentinel(t)
	old, client := w.Primary(), w.Client()
	if old != w.Servers[0] {
		t.Fatal("the replica leads at the beginning")
	}
	w.FailOver()
	if w.Primary() != w.Servers[1] {
		t.Error("the replica does not lead")
	}
	if err := client.Set(context.Background(), "key", "value", 0).Err(); err != nil {
		t.Error("a client that was there before:", err)
	}
	old.Start()
	w.FailOver()
	if w.Primary() != old {
		t.Error("the first primary does not lead again")
	}
}

func TestClusterServesAllSlots(t *testing.T) {
	c := redistest.Cluster(t)
	client, ctx := c.Client(), context.Background()
	for i := range 100 {
		if err := client.Set(ctx, strconv.Itoa(i), i, 0).Err(); err != nil {
			t.Fatal(err)
		}
	}
	for _, s := range c.Servers {
		if n := s.Client().DBSize(ctx).Val(); n < 10 || n > 60 {
			t.Errorf("%d of 100 keys at %s", n, s.Address)
		}
	}
	c.Servers[1].Kill()
	c.Servers[1].Start()
	c.AwaitWhole()
	if err := client.Set(ctx, "key", "value", 0).Err(); err != nil {
		t.Error("after a node's restart:", err)
	}
}
