package routing_test

import (
	"context"
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/nestor-gateway/nestor/ratelimit"
	"github.com/nestor-gateway/nestor/routing"
)

func strategyNames() []string {
	return []string{"simple-shuffle", "least-busy", "usage-based-routing", "latency-based-routing", "cost-based-routing", "balanced"}
}

// strategic is a router on the real clock whose deployments have answered once each.
func strategic(b *testing.B, strategy string, buffer float64, n int) *routing.Router {
	cfg := flatGroup(n)
	cfg.Router.Strategy = strategy
	cfg.Router.StrategyArgs.LowestLatencyBuffer = &buffer
	for i := range cfg.Entries {
		rpm, cost := int64(1e9), float64(i%7)
		cfg.Entries[i].Params.RPM, cfg.Entries[i].Params.Prices.Input = &rpm, &cost
	}
	start := time.Now()
	store := ratelimit.NewMemory(ratelimit.Options{Fresh: true, Now: func() time.Duration { return time.Since(start) }})
	r := routing.NewRouter(routing.NewTracker(time.Now), store, compile(b, cfg))
	for i, d := range r.View().Snapshot().Deployments() {
		r.Observe(routing.Sample{Deployment: d.ID, Whole: time.Second + time.Duration(i*7919%n)*time.Millisecond, Completion: 1})
	}
	return r
}

// BenchmarkStrategyOf10000 is a pick with its reservation, and without: to reach 10 us for the choice.
func BenchmarkStrategyOf10000(b *testing.B) {
	for _, strategy := range strategyNames() {
		for _, exclude := range []int{0, 1} {
			b.Run(fmt.Sprintf("%s/excluded=%d", strategy, exclude), func(b *testing.B) {
				benchmarkStrategy(b, strategic(b, strategy, 0.5, 10_000), exclude)
			})
		}
	}
}

// The requests that come back all end 100 picks later.
func benchmarkStrategy(b *testing.B, r *routing.Router, exclude int) {
	all := r.View().Snapshot().Deployments()
	to := target(b, r.View().Snapshot(), "g")
	type open struct {
		id string
		of ratelimit.ID
	}
	var held []open
	var excluded []string
	for i := range exclude {
		excluded = append(excluded, all[i*77].ID)
	}
	runtime.GC()
	b.ReportAllocs()
	n := uint64(0)
	for b.Loop() {
		n++
		q := hold(n, 100)
		q.Exclude = excluded
		p, err := r.View().Pick(context.Background(), to, q)
		if err != nil {
			b.Fatal(err)
		}
		held = append(held, open{p.Deployment.ID, q.Hold.ID})
		if len(held) == 200 {
			b.StopTimer()
			for _, h := range held[:100] {
				r.Settle(h.id, h.of, ratelimit.Amounts{1, 90})
			}
			held = append(held[:0], held[100:]...)
			b.StartTimer()
		}
	}
}

// BenchmarkEndOfAttempt is what a strategy adds when an attempt ends, in 10,000 deployments.
func BenchmarkEndOfAttempt(b *testing.B) {
	for _, strategy := range strategyNames() {
		b.Run(strategy, func(b *testing.B) {
			r := strategic(b, strategy, 0, 10_000)
			all := r.View().Snapshot().Deployments()
			i := 0
			for b.Loop() {
				i++
				r.Observe(routing.Sample{Deployment: all[i%len(all)].ID, Whole: time.Duration(i % 1e9)})
			}
		})
	}
}

// BenchmarkStrategyBelow1000Groups picks from one of 1,000 groups that all refer to the same one: a pick changes
// what all of them would pick.
func BenchmarkStrategyBelow1000Groups(b *testing.B) {
	var c entries
	for i := range 5 {
		c.deployment("shared", fmt.Sprint("openai/m", i), 1e9)
	}
	for i := range 1000 {
		c.reference(fmt.Sprint("g", i), "shared")
	}
	c.reference("g", "shared")
	c.Router.Strategy = "least-busy"
	start := time.Now()
	store := ratelimit.NewMemory(ratelimit.Options{Fresh: true, Now: func() time.Duration { return time.Since(start) }})
	benchmarkStrategy(b, routing.NewRouter(routing.NewTracker(time.Now), store, compile(b, &c.Config)), 0)
}

// BenchmarkFirstViewOf100000UnderAStrategy is what a reload costs.
func BenchmarkFirstViewOf100000UnderAStrategy(b *testing.B) {
	cfg := forest(100_000)
	cfg.Router.Strategy = "least-busy"
	s := compile(b, cfg)
	start := time.Now()
	store := ratelimit.NewMemory(ratelimit.Options{Fresh: true, Now: func() time.Duration { return time.Since(start) }})
	t := routing.NewTracker(time.Now)
	for b.Loop() {
		routing.NewRouter(t, store, s)
	}
}
