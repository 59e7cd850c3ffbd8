package routing_test

import (
	"context"
	"fmt"
	"math"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/nestor-gateway/nestor/ratelimit"
	"github.com/nestor-gateway/nestor/routing"
)

func (l *limited) pickBy(t testing.TB, name string, q routing.Query) held {
	t.Helper()
	p, err := l.View().Pick(context.Background(), target(t, l.View().Snapshot(), name), q)
	if err != nil {
		t.Fatal(err)
	}
	return held{p, q.Hold.ID}
}

const slow = "openai/m4"

// underLoad is 5,000 requests to five of which one is slow.
func underLoad(t *testing.T, rate float64, f fleet) *run {
	t.Helper()
	f.members = five()
	r := simulate(t, f)
	r.rate = rate
	r.requests(t, 5000)
	t.Logf("%s at %v requests a second: the slow one gets %.1f %%, p99 %.1f s", f.strategy, rate, 100*r.share(slow), r.p99())
	return r
}

// shuffled is what the others are measured against: a fifth goes to the slow one, and waits there.
func shuffled(t *testing.T, rate float64) *run {
	t.Helper()
	return underLoad(t, rate, fleet{strategy: "simple-shuffle"})
}

func TestLeastBusyPicksTheLeastBusy(t *testing.T) {
	r := simulate(t, fleet{strategy: "least-busy", members: five()})
	least := int64(0)
	r.beside = func(picked string) {
		all := r.inFlight()
		if picked != "" && all[picked] != least+1 {
			t.Fatalf("%s has %d in flight, the least had %d", picked, all[picked], least)
		}
		least = math.MaxInt64
		for _, n := range all {
			least = min(least, n)
		}
	}
	r.requests(t, 2000)
}

func TestLeastBusyRelievesTheSlow(t *testing.T) {
	r, base := underLoad(t, heavy, fleet{strategy: "least-busy"}), shuffled(t, heavy)
	if r.share(slow) > 0.08 || r.p99() > base.p99()/10 {
		t.Error("the slow one gets too much")
	}
}

func TestLatencyBasedAvoidsTheSlow(t *testing.T) {
	base := shuffled(t, light)
	for _, stream := range []bool{false, true} {
		r := simulate(t, fleet{strategy: "latency-based-routing", members: five()})
		r.stream = stream
		r.requests(t, 5000)
		t.Logf("stream %v: the slow one gets %.1f %%, p99 %.1f s", stream, 100*r.share(slow), r.p99())
		if r.share(slow) > 0.01 || r.p99() > base.p99()/3 {
			t.Errorf("stream %v: the slow one gets too much", stream)
		}
	}
}

// All that goes to the fastest makes it the slowest; with load in view that does not happen.
func TestBalancedDoesNotHerd(t *testing.T) {
	r, latency := underLoad(t, heavy, fleet{strategy: "balanced"}), underLoad(t, heavy, fleet{strategy: "latency-based-routing"})
	if r.p99() > latency.p99()/5 {
		t.Error("requests wait where all go")
	}
	for _, m := range five()[:4] {
		if s := r.share(m.model); s < 0.2 || s > 0.3 {
			t.Errorf("%s gets %.2f", m.model, s)
		}
	}
}

func TestBalancedAvoidsTheSlow(t *testing.T) {
	r, latency, base := underLoad(t, light, fleet{strategy: "balanced"}), underLoad(t, light, fleet{strategy: "latency-based-routing"}), shuffled(t, light)
	if r.share(slow) > 0.04 || r.p99() > base.p99()/2 || r.p99() > 2*latency.p99() {
		t.Error("the slow one gets too much")
	}
}

func TestLatencyBufferSpreadsOverThoseWithinIt(t *testing.T) {
	members := []member{{"openai/a", "", 1}, {"openai/b", "", 1.1}, {"openai/c", "", 1.2}, {"openai/d", "", 2}, {"openai/e", "", 4}}
	for _, buffer := range []float64{0, 0.25} {
		r := limit(snapshot(t, (&fleet{strategy: "latency-based-routing", args: fmt.Sprint("lowest_latency_buffer: ", buffer), members: members}).yaml()))
		for _, d := range r.View().Snapshot().Deployments() {
			for _, m := range members {
				if m.model == d.Written {
					r.Observe(routing.Sample{Deployment: d.ID, Whole: time.Duration(m.seconds * 30 * float64(time.Second)), Completion: 30})
				}
			}
		}
		got := r.picks(t, "g", 3000)
		want := map[string]int{"openai/a": 3000}
		if buffer > 0 {
			want = map[string]int{"openai/a": 1000, "openai/b": 1000, "openai/c": 1000}
		}
		for model := range got {
			if math.Abs(float64(got[model]-want[model])) > 150 || want[model] == 0 {
				t.Errorf("buffer %v: %v, want about %v", buffer, got, want)
			}
		}
	}
}

// A deployment of which nothing is known is tried at once, by one request; until it has answered the others go on.
func TestUnknownLatencyIsTriedByOneRequest(t *testing.T) {
	for _, strategy := range []string{"latency-based-routing", "balanced"} {
		l := limit(snapshot(t, (&fleet{strategy: strategy, members: five()}).yaml()))
		known := l.View().Snapshot().Deployments()[:4]
		for _, d := range known {
			l.Observe(routing.Sample{Deployment: d.ID, Whole: time.Second})
		}
		got := l.picks(t, "g", 100)
		if got[slow] != 1 {
			t.Errorf("%s: %v, want one at %s", strategy, got, slow)
		}
	}
}

func TestFailuresCountAsSlowForAMinute(t *testing.T) {
	l := limit(snapshot(t, (&fleet{strategy: "latency-based-routing", members: five()[:2]}).yaml()))
	all := l.View().Snapshot().Deployments()
	l.Observe(routing.Sample{Deployment: all[0].ID, Whole: time.Second})
	l.Observe(routing.Sample{Deployment: all[1].ID, Whole: 2 * time.Second})
	l.Observe(routing.Sample{Deployment: all[0].ID, Failed: true})
	if got := l.picks(t, "g", 50); got["openai/m1"] != 50 {
		t.Errorf("after a failure: %v", got)
	}
	l.clock.Add(time.Minute)
	if got := l.picks(t, "g", 50); got["openai/m0"] != 50 {
		t.Errorf("a minute later: %v", got)
	}
}

func TestLatencyIsForgottenAfterItsTTL(t *testing.T) {
	l := limit(snapshot(t, (&fleet{strategy: "latency-based-routing", args: "ttl: 30", members: five()[:2]}).yaml()))
	all := l.View().Snapshot().Deployments()
	l.Observe(routing.Sample{Deployment: all[0].ID, Whole: 9 * time.Second})
	l.clock.Add(20 * time.Second)
	l.Observe(routing.Sample{Deployment: all[1].ID, Whole: time.Second})
	if got := l.picks(t, "g", 10); got["openai/m1"] != 10 {
		t.Errorf("%v, want the faster one", got)
	}
	l.clock.Add(11 * time.Second)
	if got := l.pick(t, "g", 1).Deployment.Written; got != "openai/m0" {
		t.Errorf("%s, want the one of which nothing is known any more", got)
	}
}

func TestUsageBasedEvensOutTokens(t *testing.T) {
	spread := func(strategy string) float64 {
		r := simulate(t, fleet{strategy: strategy, members: five()})
		r.requests(t, 1000)
		low, high := int64(math.MaxInt64), int64(0)
		for _, m := range five() {
			low, high = min(low, r.used[m.model]), max(high, r.used[m.model])
		}
		return float64(high-low) / float64(high)
	}
	base := spread("simple-shuffle")
	for _, strategy := range []string{"usage-based-routing", "usage-based-routing-v2"} {
		got := spread(strategy)
		t.Logf("%s: the most used has %.1f %% more tokens than the least used; shuffled %.1f %%", strategy, got*100, base*100)
		if got > 0.1 || got > base/3 {
			t.Errorf("%s: tokens differ by %.3f", strategy, got)
		}
	}
}

// What time alone changes is seen too: tokens leave the window.
func TestUsageIsForgottenAfterAMinute(t *testing.T) {
	l := limit(snapshot(t, (&fleet{strategy: "usage-based-routing", members: five()[:2]}).yaml()))
	first := l.pick(t, "g", 1000)
	l.clock.Add(30 * time.Second)
	second := l.pick(t, "g", 500)
	if first.Deployment == second.Deployment {
		t.Fatal("the used one was picked again")
	}
	l.clock.Add(31 * time.Second)
	if got := l.pick(t, "g", 1); got.Deployment != first.Deployment {
		t.Error("what was used more than a minute ago still counts")
	}
}

func TestCostBasedPicksTheCheapestWithQuota(t *testing.T) {
	members := []member{
		{"openai/dear", ", input_cost_per_token: 3.0e-6, output_cost_per_token: 9.0e-6, rpm: 10", 1},
		{"openai/cheap", ", input_cost_per_token: 1.0e-7, output_cost_per_token: 2.0e-7, rpm: 10", 1},
		{"openai/unknown", ", rpm: 10", 1},
		{"openai/also-cheap", ", input_cost_per_token: 1.0e-7, output_cost_per_token: 2.0e-7, rpm: 10", 1},
	}
	l := limit(snapshot(t, (&fleet{strategy: "cost-based-routing", members: members}).yaml()))
	first := l.picks(t, "g", 10)
	if first["openai/cheap"]+first["openai/also-cheap"] != 10 || first["openai/cheap"] == 0 || first["openai/cheap"] == 10 {
		t.Errorf("the first ten: %v", first)
	}
	l.picks(t, "g", 10)
	for _, want := range []map[string]int{{"openai/dear": 10}, {"openai/unknown": 10}, {"": 10}} {
		if diff := cmp.Diff(want, l.picks(t, "g", 10)); diff != "" {
			t.Error(diff)
		}
	}
	l.clock.Add(time.Minute + time.Second)
	if got := l.picks(t, "g", 5); got["openai/cheap"]+got["openai/also-cheap"] != 5 {
		t.Errorf("a minute later: %v", got)
	}
}

func TestPricesOfModelInfoCount(t *testing.T) {
	l := limit(snapshot(t, `
model_list:
  - {model_name: g, litellm_params: {model: openai/a, input_cost_per_token: 2, output_cost_per_token: 2}}
  - {model_name: g, litellm_params: {model: openai/b}, model_info: {input_cost_per_token: 1, output_cost_per_token: 1}}
  - {model_name: g, litellm_params: {model: openai/c}, model_info: {input_cost_per_token: null}}
  - {model_name: free, litellm_params: {model: openai/b}, model_info: {input_cost_per_token: 1, output_cost_per_token: 1}}
  - {model_name: free, litellm_params: {model: openai/d, input_cost_per_token: 0, output_cost_per_token: 0}}
router_settings: {routing_strategy: cost-based-routing}
`))
	if got := l.picks(t, "g", 10); got["openai/b"] != 10 {
		t.Errorf("got %v, want all at b", got)
	}
	if got := l.picks(t, "free", 10); got["openai/d"] != 10 {
		t.Errorf("got %v, want all at d", got)
	}
}

// Of picks at the same time each sees the others.
func TestConcurrentPicksSeeEachOther(t *testing.T) {
	members := five()
	l := limit(snapshot(t, (&fleet{strategy: "least-busy", members: members}).yaml()))
	to := target(t, l.View().Snapshot(), "g")
	var wg sync.WaitGroup
	for worker := range 10 {
		wg.Go(func() {
			for i := range 100 {
				if _, err := l.View().Pick(context.Background(), to, hold(uint64(1+worker*100+i), 1)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	for _, d := range l.View().LiveAll().Deployments {
		if d.InFlight < 195 || d.InFlight > 205 {
			t.Errorf("%s has %d of 1000 in flight", d.Model, d.InFlight)
		}
	}
}

func TestStrategiesKeepExclusionsCooldownsAndLimits(t *testing.T) {
	for _, strategy := range []string{"least-busy", "usage-based-routing", "latency-based-routing", "cost-based-routing", "balanced"} {
		t.Run(strategy, func(t *testing.T) {
			members := five()
			members[0].params = ", rpm: 1"
			l := limit(snapshot(t, (&fleet{strategy: strategy, members: members}).yaml()))
			all := l.View().Snapshot().Deployments()
			l.Failed(all[1], routing.Failure{Class: routing.RateLimit, Status: 429, RetryAfter: time.Hour})
			l.Exhausted(all[2].ID, ratelimit.Requests, time.Hour)
			q := l.query(1)
			q.Exclude = []string{all[3].ID}
			for range 20 {
				q.Hold.ID[15]++
				got := l.pickBy(t, "g", q).Deployment
				if got != all[0] && got != all[4] {
					t.Fatalf("picked %s", got.Written)
				}
			}
			got := l.picks(t, "g", 20)
			if got["openai/m3"]+got["openai/m4"] != 20 {
				t.Errorf("without the exclusion: %v", got)
			}
		})
	}
}

// Skipped draws promise nothing: afterwards nothing is in flight but what was picked.
func TestSkippedDrawsLeaveNothingBehind(t *testing.T) {
	l := limit(snapshot(t, (&fleet{strategy: "least-busy", members: five()}).yaml()))
	q := l.query(1)
	q.Skip = 3
	first := l.pickBy(t, "g", q)
	counts := map[string]int{}
	for range 4 {
		counts[l.pick(t, "g", 1).Deployment.Written]++
	}
	if len(counts) != 4 || counts[first.Deployment.Written] != 0 {
		t.Errorf("after %s: %v", first.Deployment.Written, counts)
	}
}

// Whatever happens at once, afterwards nothing is promised or thought to be in flight.
func TestStrategiesUnderConcurrentChange(t *testing.T) {
	for _, strategy := range otherStrategies() {
		t.Run(strategy, func(t *testing.T) {
			s := snapshot(t, fmt.Sprintf(composed, strategy))
			l := limit(s)
			to := target(t, s, "top")
			var wg sync.WaitGroup
			for worker := range 8 {
				wg.Go(func() { work(l, to, worker) })
			}
			wg.Go(func() {
				for range 50 {
					l.Swap(s)
				}
			})
			wg.Wait()
			l.clock.Add(time.Hour)
			for _, d := range l.View().LiveAll().Deployments {
				if d.InFlight != 0 {
					t.Errorf("%s has %d in flight", d.Model, d.InFlight)
				}
			}
			if strategy != "least-busy" {
				return
			}
			seen := map[string]bool{}
			for range 4 {
				seen[l.pick(t, "top", 1).Deployment.Written] = true
			}
			if len(seen) < 3 {
				t.Errorf("only %v were thought to be idle", seen)
			}
		})
	}
}

// work makes requests, one after the other; now and then one fails.
func work(l *limited, to routing.Target, worker int) {
	for i := range 200 {
		q := hold(uint64(1+worker*1000+i), 5)
		if i%7 == 0 {
			q.Exclude = []string{to.Deployments()[i%3].ID}
		}
		p, err := l.View().Pick(context.Background(), to, q)
		if err != nil {
			continue
		}
		l.Observe(routing.Sample{Deployment: p.Deployment.ID, Whole: time.Duration(i+1) * time.Millisecond, Failed: i%50 == 0})
		if i%20 == 0 {
			l.Failed(p.Deployment, routing.Failure{Class: routing.RateLimit, Status: 429, RetryAfter: time.Minute})
			l.clock.Add(time.Second)
		}
		l.Settle(p.Deployment.ID, q.Hold.ID, ratelimit.Amounts{ratelimit.Requests: 1, ratelimit.Tokens: 3})
	}
}

func TestTheLiveViewShowsSpeeds(t *testing.T) {
	l := limit(snapshot(t, (&fleet{strategy: "simple-shuffle", members: five()[:2]}).yaml()))
	d := l.View().Snapshot().Deployments()[1]
	for _, seconds := range []time.Duration{2, 4} {
		l.Observe(routing.Sample{Deployment: d.ID, Whole: seconds * time.Second, FirstToken: seconds * time.Second / 10, Completion: 100})
	}
	l.Observe(routing.Sample{Deployment: d.ID, Failed: true})
	l.Observe(routing.Sample{Deployment: "of another config", Whole: time.Second})
	var got [][2]float64
	for _, d := range l.View().LiveAll().Deployments {
		got = append(got, [2]float64{d.Latency, d.FirstToken})
	}
	want := [][2]float64{{0, 0}, {3, 0.3}}
	if diff := cmp.Diff(want, got, cmpopts.EquateApprox(0, 1e-9)); diff != "" {
		t.Error(diff)
	}
}
