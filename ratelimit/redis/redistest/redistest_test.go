package redistest_test

import (
	"context"
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
