package redis

import (
	"testing"

	"github.com/nestor-gateway/nestor/ratelimit"
	"github.com/nestor-gateway/nestor/ratelimit/limitertest"
)

func TestStore(t *testing.T) {
	limitertest.Suite{
		Open: func(t *testing.T, clock *limitertest.Clock) limitertest.Store {
			m := newModel(func() int64 { return clock.Now().Microseconds() })
			s := newStore(m, 1, Options{Now: clock.Now, Fresh: true})
			// Without its loop, since the clock jumps while that waits for Redis.
			t.Cleanup(func() { _ = s.Close() })
			return s
		},
		Slack: ratelimit.Window / 80,
	}.Run(t)
}
