package ratelimit_test

import (
	"testing"

	"github.com/nestor-gateway/nestor/ratelimit"
	"github.com/nestor-gateway/nestor/ratelimit/limitertest"
)

func TestMemory(t *testing.T) {
	limitertest.Suite{
		Open: func(t *testing.T, clock *limitertest.Clock) limitertest.Store {
			return ratelimit.NewMemory(ratelimit.Options{Now: clock.Now, Fresh: true})
		},
		Slack: ratelimit.Window / 120,
	}.Run(t)
}
