package test

import (
	"context"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nestor-gateway/nestor/cmd/nestor/mock"
)

// oneLimit is one deployment behind a group of groups.
const oneLimit = `
model_list:
  - {model_name: fast, litellm_params: {model: below}}
  - model_name: below
    litellm_params: {model: openai/m, api_base: $A/v1, api_key: k, rpm: 600}
    model_info: {id: shared}
router_settings: {num_retries: 0, disable_cooldowns: true}
`

// start sends so many clients, whose requests take some seconds each, until the time is up. A quarter of them asks
// twice a second whether there is anything; the others wait as they are told.
func (r *rush) start(clients int, length time.Duration, slow func() time.Duration) (wait func()) {
	ctx, cancel := context.WithTimeout(r.t.Context(), length)
	var wg sync.WaitGroup
	for i := range clients {
		poll := time.Minute
		if i%4 == 0 {
			poll = 500 * time.Millisecond
		}
		wg.Go(func() {
			r.client(ctx, i, poll, func() string { return ask("fast", "events=20;delay="+slow().String(), `,"max_tokens":20`) })
		})
	}
	return func() { wg.Wait(); cancel() }
}

// fiveToFifteen seconds, so that 200 clients could make 1,200 requests a minute and are never in step.
func fiveToFifteen() time.Duration {
	return 5*time.Second + rand.N(10*time.Second)
}

// Three replicas share one limit, and half of what is asked for is admitted. Then Redis dies and comes back without
// its memory, a replica dies, and Redis forgets everything, each while the limit is being used up.
func TestAFleetKeepsOneLimit(t *testing.T) {
	t.Parallel()
	const limit, clients = 600, 200
	quiet, after := 2, 70*time.Second // windows without a fault, and what follows
	if long() {
		quiet, after = 3, 5*time.Minute
	}
	f, r := rushAt(t, 3, rpm(limit))
	begin := time.Now()
	faults := begin.Add(time.Duration(quiet) * time.Minute)
	wait := r.start(clients, time.Until(faults)+after, fiveToFifteen)

	<-time.After(time.Until(faults))
	if n := between(r.sightings(), begin, faults); n < quiet*limit*97/100 {
		t.Errorf("%d requests in %d windows, want 97 %% of %d", n, quiet, quiet*limit)
	}
	r.reach(quiet*limit+limit/4, 30*time.Second)
	f.redis.Kill()
	<-time.After(1500 * time.Millisecond)
	f.redis.Start()
	r.reach(quiet*limit+limit/2, 30*time.Second)
	f.replicas[0].kill()
	r.reach(quiet*limit+limit*2/3, 30*time.Second)
	f.replicas[0].again()
	f.redis.FlushAll()
	last := time.Now()
	wait()
	r.within(limit)
	if long() {
		r.recovered(last.Add(time.Minute), limit)
	}
}

// rpm and tpm write a limit of so many requests a minute, of those that a rush sends.
func rpm(requests int) string { return "rpm: " + strconv.Itoa(requests) }
func tpm(requests int) string { return "tpm: " + strconv.Itoa(requests*(prompt+20)) }

// rushAt makes a fleet with one limit.
func rushAt(t *testing.T, replicas int, limit string) (*fleet, *rush) {
	r := &rush{t: t}
	u := r.witness(provideAs(t, mock.Options{Name: "a"}))
	f := runFleet(t, replicas, yaml(strings.Replace(oneLimit, "rpm: 600", limit, 1), u))
	for _, g := range f.replicas {
		r.urls = append(r.urls, g.url)
	}
	return f, r
}

// recovered judges the time after the minute that follows a fault: from one request to that which comes a whole limit
// later it must be a minute, and hardly more.
func (r *rush) recovered(from time.Time, limit int) {
	r.t.Helper()
	var sum time.Duration
	n := 0
	seen := r.sightings()
	for i := range max(0, len(seen)-limit) {
		if seen[i].at.After(from) {
			sum += seen[i+limit].at.Sub(seen[i].at)
			n++
		}
	}
	if n == 0 {
		r.t.Fatalf("fewer than %d requests from a minute after the fault on", limit)
	}
	mean := sum / time.Duration(n)
	r.t.Logf("a minute after the fault and later: %d requests take %v", limit, mean)
	if mean > time.Minute*100/97 {
		r.t.Errorf("%d requests take %v: less than 97 %% of what was allowed", limit, mean)
	}
}

// A replica or Redis that hangs and then goes on, in the middle of everything, has not given anything twice.
func TestWhatHangsMintsNothing(t *testing.T) {
	t.Parallel()
	const limit = 300
	for name, limited := range map[string]string{"requests": rpm(limit), "tokens": tpm(limit)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, r := rushAt(t, 2, limited)
			wait := r.start(60, 100*time.Second, func() time.Duration { return time.Second + rand.N(8*time.Second) })
			r.reach(limit/3, 20*time.Second)
			f.redis.Pause()
			<-time.After(4 * time.Second)
			f.redis.Resume()
			r.reach(limit+limit/3, 90*time.Second)
			f.replicas[0].stop(7 * time.Second) // longer than leases live, and than it counts as alive
			n := len(r.sightings())
			wait()
			r.within(limit)
			if len(r.sightings()) == n {
				t.Error("nothing was admitted after a replica had hung")
			}
		})
	}
}

// What a replica has used that died together with Redis, nobody knows. It counts all the same.
func TestWhatTheDeadHaveUsedCounts(t *testing.T) {
	t.Parallel()
	const limit = 100
	f, r := rushAt(t, 3, rpm(limit))
	all := r.urls
	r.urls = all[:1]
	begin := time.Now()
	wait := r.start(10, 6*time.Second, func() time.Duration { return 10 * time.Millisecond })
	r.reach(limit, 5*time.Second)
	f.replicas[0].kill()
	f.redis.Kill()
	f.redis.Start()
	wait()
	r.urls = all
	r.start(20, time.Until(begin.Add(80*time.Second)), func() time.Duration { return 10 * time.Millisecond })()
	r.within(limit)
	if n := len(r.sightings()); n <= limit {
		t.Errorf("%d requests in 80 s: the limit did not open again", n)
	}
}

// A new version is rolled out while the limit is being used up: no fault, so nothing is lost and nothing minted.
func TestARollingRestartNeitherMintsNorLoses(t *testing.T) {
	t.Parallel()
	const limit = 300
	f, r := rushAt(t, 3, rpm(limit))
	begin := time.Now()
	// The first window is used up slowly enough that every replica is restarted in the middle of it.
	wait := r.start(40, 80*time.Second, func() time.Duration { return 3*time.Second + rand.N(4*time.Second) })
	for _, g := range f.replicas {
		<-time.After(4 * time.Second)
		g.nestor.signal(t, syscall.SIGTERM)
		if status := g.nestor.exitStatus(t, 15*time.Second); status != 0 {
			t.Errorf("exit status %d", status)
		}
		g.again()
	}
	if n := len(r.sightings()); n < limit/10 || n >= limit {
		t.Errorf("%d of %d were used when all had been restarted: the test shows nothing", n, limit)
	}
	wait()
	if n := between(r.sightings(), begin, begin.Add(time.Minute)); n < limit*97/100 {
		t.Errorf("%d requests in the window of the restarts, want 97 %% of %d", n, limit)
	}
	r.within(limit)
}
