package test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nestor-gateway/nestor/cmd/nestor/mock"
)

// sixHundred is one deployment behind a group of groups.
const sixHundred = `
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
			r.client(ctx, i, poll, func() string { return ask("fast", "delay="+slow().String()) })
		})
	}
	return func() { wg.Wait(); cancel() }
}

// fiveToFifteen seconds, so that 200 clients could make 1,200 requests a minute and are never in step.
func fiveToFifteen() time.Duration {
	return 5*time.Second + rand.N(10*time.Second)
}

// Three replicas share one limit, and half of what is asked for is admitted. Then Redis dies and comes back without
// its memory, and a replica dies, each while the limit is being used up.
func TestAFleetKeepsOneLimit(t *testing.T) {
	t.Parallel()
	const limit, clients = 600, 200
	quiet := 2 // windows without a fault
	if long() {
		quiet = 3
	}
	r := &rush{t: t}
	f := runFleet(t, 3, yaml(sixHundred, r.witness(provideAs(t, mock.Options{Name: "a"}))))
	for _, g := range f.replicas {
		r.urls = append(r.urls, g.url)
	}
	begin := time.Now()
	faults := begin.Add(time.Duration(quiet) * time.Minute)
	length := time.Until(faults.Add(70 * time.Second))
	if long() {
		length += 3 * time.Minute
	}
	wait := r.start(clients, length, fiveToFifteen)

	<-time.After(time.Until(faults))
	if n := between(r.sightings(), begin, faults); n < quiet*limit*97/100 {
		t.Errorf("%d requests in %d windows, want 97 %% of %d", n, quiet, quiet*limit)
	}
	r.reach(quiet*limit+limit/4, 30*time.Second)
	f.redis.Kill()
	<-time.After(1500 * time.Millisecond)
	f.redis.Start()
	r.reach(quiet*limit+limit/2, time.Minute+30*time.Second)
	f.replicas[0].kill()
	killed := time.Now()
	<-time.After(5 * time.Second)
	f.replicas[0].again()
	wait()
	r.within(limit)
	if n := between(r.sightings(), killed.Add(time.Second), time.Now()); n == 0 {
		t.Error("nothing was admitted any more after a replica had died")
	}
	if long() {
		r.recovered(killed.Add(time.Minute), limit)
	}
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
	r := &rush{t: t}
	f := runFleet(t, 2, yaml(strings.Replace(sixHundred, "600", fmt.Sprint(limit), 1), r.witness(provideAs(t, mock.Options{Name: "a"}))))
	for _, g := range f.replicas {
		r.urls = append(r.urls, g.url)
	}
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
}
