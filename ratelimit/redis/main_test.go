package redis_test

import (
	"log/slog"
	"testing"

	"go.uber.org/goleak"

	"github.com/nestor-gateway/nestor/ratelimit/redis"
)

func TestMain(m *testing.M) {
	redis.LogTo(slog.New(slog.DiscardHandler))
	goleak.VerifyTestMain(m)
}
