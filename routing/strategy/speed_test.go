package strategy_test

import (
	"math"
	"testing"
	"time"

	"github.com/nestor-gateway/nestor/routing/strategy"
)

const hour = time.Hour

func near(t *testing.T, what string, got, want float64) {
	t.Helper()
	if math.Abs(got-want) > 1e-9*max(1, want) {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}

func answer(seconds float64, tokens int64) strategy.Sample {
	return strategy.Sample{Whole: time.Duration(seconds * float64(time.Second)), Completion: tokens}
}

func TestLatencyIsTheMeanForAToken(t *testing.T) {
	var s strategy.Speed
	near(t, "idle and unknown", s.Latency(0, hour, 0, false), 0)
	near(t, "busy and unknown", s.Latency(0, hour, 1, false), 1000)
	s.Observe(0, answer(10, 100), 10)
	s.Observe(0, answer(3, 10), 10)
	near(t, "of two answers", s.Latency(0, hour, 1, false), 0.2)
	near(t, "of a stream", s.Latency(0, hour, 0, true), 0)
	s.Observe(0, strategy.Sample{Whole: 9 * time.Second, FirstToken: 2 * time.Second, Completion: 10}, 10)
	near(t, "of a stream", s.Latency(0, hour, 0, true), 2)
	s.Observe(0, answer(2.7, 0), 10)
	near(t, "without tokens", s.Latency(0, hour, 0, false), (0.1+0.3+0.9+2.7)/4)
}

func TestLatencyIsOfTheLatest(t *testing.T) {
	var s strategy.Speed
	for i := range 25 {
		s.Observe(0, answer(float64(i), 0), 10)
	}
	near(t, "of the last ten", s.Latency(0, hour, 0, false), 19.5)
	for range 4 {
		s.Observe(0, answer(1, 0), 4)
	}
	near(t, "of fewer", s.Latency(0, hour, 0, false), 1)
	for range 10 {
		s.Observe(0, answer(2, 0), 8)
	}
	near(t, "of more", s.Latency(0, hour, 0, false), 2)
}

func TestFailedCountsAsVerySlowForAMinute(t *testing.T) {
	var s strategy.Speed
	s.Observe(0, answer(1, 0), 10)
	s.Observe(0, strategy.Sample{Failed: true}, 10)
	near(t, "at once", s.Latency(0, hour, 0, false), 500.5)
	near(t, "of streams too", s.Latency(0, hour, 0, true), 1000)
	near(t, "a minute later", s.Latency(time.Minute, hour, 0, false), 1)
	near(t, "of nothing", s.Latency(2*hour, hour, 0, false), 0)
	whole, first := s.Means(0, hour)
	near(t, "for display", whole, 1)
	near(t, "for display", first, 0)
}

func TestLoadRisesAtOnceAndFallsSlowly(t *testing.T) {
	var s strategy.Speed
	near(t, "unknown, idle", s.Load(0, 0, false), 0)
	near(t, "unknown, busy", s.Load(0, 2, false), 3000)
	s.Observe(0, answer(1, 0), 10)
	s.Observe(0, answer(9, 0), 10)
	near(t, "at a peak", s.Load(0, 1, false), 18)
	s.Observe(10*time.Second, answer(1, 0), 10)
	fell := 9/math.E + 1*(1-1/math.E)
	near(t, "after", s.Load(10*time.Second, 0, false), fell)
	near(t, "idle for ten seconds", s.Load(20*time.Second, 0, false), fell/math.E)
	near(t, "busy for ten seconds", s.Load(20*time.Second, 1, false), 2*fell)
}

func TestFailuresInARowGrowLarge(t *testing.T) {
	var s strategy.Speed
	s.Observe(0, answer(1, 0), 10)
	s.Observe(0, strategy.Sample{Failed: true}, 10)
	near(t, "one", s.Load(0, 0, false), 2)
	for range 20 {
		s.Observe(0, strategy.Sample{Failed: true}, 10)
	}
	near(t, "many", s.Load(0, 0, false), 1000)
	var never strategy.Speed
	never.Observe(0, strategy.Sample{Failed: true}, 10)
	near(t, "the first of all", never.Load(0, 0, false), 1)
}
