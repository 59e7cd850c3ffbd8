package routing_test

import (
	"context"
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/nestor-gateway/nestor/ratelimit"
	"github.com/nestor-gateway/nestor/routing"
	"github.com/nestor-gateway/nestor/routing/config"
)

// entries collects the entries of a config that a test builds.
type entries struct{ config.Config }

func (c *entries) deployment(group, model string, rpm int64) {
	c.Entries = append(c.Entries, config.Entry{Name: group, Params: config.Params{Model: model, RPM: &rpm}})
}

func (c *entries) reference(group, to string) {
	c.Entries = append(c.Entries, config.Entry{Name: group, Params: config.Params{Model: to}})
}

// flatGroup is one group of n deployments.
func flatGroup(n int) *config.Config {
	var c entries
	for i := range n {
		c.deployment("g", fmt.Sprint("openai/m", i), int64(1+i%100))
	}
	return &c.Config
}

// chain is groups of which each holds a deployment and the next; depth counts the groups.
func chain(depth int) *config.Config {
	var c entries
	for i := range depth {
		c.deployment(fmt.Sprint("g", i), fmt.Sprint("openai/m", i), 10)
		if i+1 < depth {
			c.reference(fmt.Sprint("g", i), fmt.Sprint("g", i+1))
		}
	}
	return &c.Config
}

// stack is groups of which each holds only the next, and the last one two deployments.
func stack(depth int) *config.Config {
	var c entries
	for i := range depth - 1 {
		c.reference(fmt.Sprint("g", i), fmt.Sprint("g", i+1))
	}
	c.deployment(fmt.Sprint("g", depth-1), "openai/a", 10)
	c.deployment(fmt.Sprint("g", depth-1), "openai/b", 20)
	return &c.Config
}

// forest is n deployments in groups of 20, which are in groups of 20, and so on up to one.
func forest(n int) *config.Config {
	const fan = 20
	var c entries
	for i := range n {
		c.deployment(fmt.Sprintf("l0-%d", i/fan), fmt.Sprintf("openai/m%d", i), 10)
	}
	for level, count := 0, (n+fan-1)/fan; count > 1; level, count = level+1, (count+fan-1)/fan {
		for i := range count {
			c.reference(fmt.Sprintf("l%d-%d", level+1, i/fan), fmt.Sprintf("l%d-%d", level, i))
		}
	}
	return &c.Config
}

// churn cools one deployment after the other and lets it recover, 1,000 a second, until the benchmark ends.
func churn(b *testing.B, r *routing.Router, s *routing.Snapshot) {
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		all := s.Deployments()
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			case <-tick.C:
				r.Failed(all[i%len(all)], routing.Failure{Class: routing.RateLimit, Status: 429, RetryAfter: 10 * time.Millisecond})
			}
		}
	}()
	b.Cleanup(func() {
		close(stop)
		<-done
	})
}

func benchmarkPick(b *testing.B, cfg *config.Config, model string, cooling int) {
	s := compile(b, cfg)
	r := routing.NewRouter(routing.NewTracker(time.Now), nil, s)
	for _, d := range s.Deployments()[:cooling] {
		r.Failed(d, routing.Failure{Class: routing.RateLimit, Status: 429, RetryAfter: time.Hour})
	}
	churn(b, r, s)
	to := target(b, s, model)
	b.ReportAllocs()
	seed := uint64(0)
	for b.Loop() {
		seed++
		if _, err := r.View().Pick(context.Background(), to, routing.Query{Seed: seed}); err != nil {
			b.Fatal(err)
		}
	}
}

// To reach: 2 us and 2 allocations.
func BenchmarkPickOf10000(b *testing.B) { benchmarkPick(b, flatGroup(10_000), "g", 0) }

// To reach: 5 us.
func BenchmarkPickAtDepth20(b *testing.B) { benchmarkPick(b, stack(20), "g0", 0) }

// To reach: 20 us.
func BenchmarkPickOf10000With9999Cooling(b *testing.B) {
	benchmarkPick(b, flatGroup(10_000), "g", 9_999)
}

func BenchmarkPickOf10000AllCooling(b *testing.B) { benchmarkPick(b, flatGroup(10_000), "g", 10_000) }

func BenchmarkPickOf10000WithOneExcluded(b *testing.B) {
	s := compile(b, flatGroup(10_000))
	to, v := target(b, s, "g"), serve(s).View()
	exclude := []string{s.Deployments()[77].ID}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := v.Pick(context.Background(), to, routing.Query{Exclude: exclude}); err != nil {
			b.Fatal(err)
		}
	}
}

// To reach: 1 s and 300 MB.
func BenchmarkCompile100000(b *testing.B) {
	cfg := forest(100_000)
	var s *routing.Snapshot
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	b.ReportAllocs()
	for b.Loop() {
		s = compile(b, cfg)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/1e6, "MB-kept")
	b.ReportMetric(float64(s.Summary().Depth), "depth")
}

func BenchmarkFirstViewOf100000(b *testing.B) {
	s := compile(b, forest(100_000))
	t := routing.NewTracker(time.Now)
	for b.Loop() {
		routing.NewRouter(t, nil, s)
	}
}

func BenchmarkCooldownIn100000(b *testing.B) {
	s := compile(b, forest(100_000))
	r := serve(s)
	all := s.Deployments()
	i := 0
	for b.Loop() {
		r.cool(all[i%len(all)])
		i++
	}
}

// benchmarkLimited picks with the memory store, of which full deployments have no place left, and settles.
func benchmarkLimited(b *testing.B, cfg *config.Config, model string, full int) {
	one := int64(1)
	for i := range cfg.Entries[:full] {
		cfg.Entries[i].Params.MaxParallel = &one
	}
	for i := range cfg.Entries {
		if p := &cfg.Entries[i].Params; p.RPM != nil {
			*p.RPM *= 1_000_000_000
		}
	}
	s := compile(b, cfg)
	r := routing.NewRouter(routing.NewTracker(time.Now), ratelimit.NewMemory(ratelimit.Options{Fresh: true}), s)
	n := uint64(1 << 60)
	for _, d := range s.Deployments()[:full] {
		for range 2 {
			n++
			r.View().Pick(context.Background(), target(b, s, d.Written), hold(n, 0))
		}
	}
	to := target(b, s, model)
	b.ReportAllocs()
	n = 0
	for b.Loop() {
		n++
		q := hold(n, 100)
		p, err := r.View().Pick(context.Background(), to, q)
		if err != nil {
			b.Fatal(err)
		}
		r.Settle(p.Deployment.ID, q.Hold.ID, q.Hold.Amounts)
	}
}

// To reach: 1.5 us for the pick, the reservation and its settlement, without an allocation.
func BenchmarkLimitedPickOf10(b *testing.B)    { benchmarkLimited(b, flatGroup(10), "g", 0) }
func BenchmarkLimitedPickOf10000(b *testing.B) { benchmarkLimited(b, flatGroup(10_000), "g", 0) }

// To reach: 10 us. What is full comes back every second, and is found out again.
func BenchmarkLimitedPickOf10000With9999Full(b *testing.B) {
	benchmarkLimited(b, flatGroup(10_000), "g", 9_999)
}

// BenchmarkRefusalOf10000 is for a group of which every deployment is full.
func BenchmarkRefusalOf10000(b *testing.B) {
	s := compile(b, flatGroup(10_000))
	full := map[string]bool{}
	for _, d := range s.Deployments() {
		full["deployment:"+d.ID] = true
	}
	r := routing.NewRouter(routing.NewTracker(newClock().Now), &gatekeeper{full: full}, s)
	to := target(b, s, "g")
	for range 10_000 {
		r.View().Pick(context.Background(), to, hold(1, 1))
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := r.View().Pick(context.Background(), to, hold(1, 1)); err == nil {
			b.Fatal("picked")
		}
	}
}

func BenchmarkPickOf10MixedProviders(b *testing.B)    { benchmarkMixed(b, 10) }
func BenchmarkPickOf10000MixedProviders(b *testing.B) { benchmarkMixed(b, 10_000) }

// benchmarkMixed picks in a group half of which lacks the endpoint.
func benchmarkMixed(b *testing.B, n int) {
	var c entries
	for i := range n {
		c.deployment("g", fmt.Sprint([]string{"openai/m", "groq/m"}[i%2], i), 10)
	}
	s := compile(b, &c.Config)
	to, v := target(b, s, "g"), serve(s).View()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := v.Pick(context.Background(), to, routing.Query{Endpoint: groqLacks}); err != nil {
			b.Fatal(err)
		}
	}
}
