package test

import (
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nestor-gateway/nestor/cmd/nestor/mock"
)

// whyNot says why a nestor leaves a deployment alone, as "why dimension"; nothing where it does not.
func (g *gateway) whyNot(id string) (reasons []string) {
	g.t.Helper()
	for _, d := range g.standing("").Deployments {
		if d.ID != id {
			continue
		}
		for _, w := range d.WhyNot {
			reasons = append(reasons, strings.TrimSpace(w.Why+" "+w.Dimension))
		}
	}
	return reasons
}

// What one replica learns of a deployment, the other one knows within a second.
func TestReplicasShareCooldownsAndProvidersLimits(t *testing.T) {
	t.Parallel()
	const ids = `
model_list:
  - {model_name: fails, litellm_params: {model: openai/m, api_base: $A/v1, api_key: k, order: 1}, model_info: {id: failing}}
  - {model_name: fails, litellm_params: {model: openai/m, api_base: $B/v1, api_key: k, order: 2}, model_info: {id: spare1}}
  - {model_name: limits, litellm_params: {model: openai/m, api_base: $A/v1, api_key: k, order: 1}, model_info: {id: limiting}}
  - {model_name: limits, litellm_params: {model: openai/m, api_base: $B/v1, api_key: k, order: 2}, model_info: {id: spare2}}
  - {model_name: announces, litellm_params: {model: openai/m, api_base: $A/v1, api_key: k, order: 1}, model_info: {id: announcing}}
  - {model_name: announces, litellm_params: {model: openai/m, api_base: $B/v1, api_key: k, order: 2}, model_info: {id: spare3}}
router_settings: {cooldown_time: 3, allowed_fails: 0}
`
	a, b := provide(t, "a"), provide(t, "b")
	f := runFleet(t, 2, yaml(ids, a, b))
	for _, test := range []struct{ model, id, plan, want string }{
		{"fails", "failing", "status=500;for=a", "cooling"},
		{"limits", "limiting", "status=429;retry-after=3;for=a", "exhausted requests"},
		{"announces", "announcing", "status=429;for=a;header=x-ratelimit-remaining-tokens:0;header=x-ratelimit-reset-tokens:3s;header=x-ratelimit-remaining-requests:9", "exhausted tokens"},
	} {
		for i, g := range f.replicas {
			other := f.replicas[1-i]
			calls(a, b)
			g.chat(test.model, test.plan).succeeds(t)
			told := time.Now()
			if !soon(time.Second, func() bool { return strings.Join(other.whyNot(test.id), ",") == test.want }) {
				t.Fatalf("%s, told to nestor %d: the other one says %q after a second, want %s", test.model, i, other.whyNot(test.id), test.want)
			}
			t.Logf("%s: known after %v", test.model, time.Since(told))
			other.chat(test.model, "").succeeds(t)
			if n := calls(a, b); n != [2]int{1, 2} {
				t.Errorf("%s: %v calls, want the other replica to leave the first deployment alone", test.model, n)
			}
			// It ends at both as well.
			for _, g := range f.replicas {
				eventually(t, 8*time.Second, test.id+" is asked again", func() bool { return len(g.whyNot(test.id)) == 0 })
			}
		}
	}
}

const fewAtOnce = `
model_list:
  - model_name: few
    litellm_params: {model: openai/few, api_base: $A/v1, api_key: k, max_parallel_requests: 9}
    model_info: {id: few-id}
router_settings: {num_retries: 0, disable_cooldowns: true}
`

// A limit of parallel requests holds for all replicas together; what a replica held that died comes back.
func TestAFleetKeepsOneLimitOfParallelRequests(t *testing.T) {
	t.Parallel()
	const most = 9
	a := provideAs(t, mock.Options{Name: "a"})
	crowd := watch(t, a)
	f := runFleet(t, 3, yaml(fewAtOnce, &upstream{a.Server, crowd.url}))
	plans := []string{"delay=40ms", "events=4;gap=15ms", "status=500", "delay=15ms", "cut=30;delay=20ms"}
	found := f.swarm(f.replicas, plans)
	if crowd.most() > most || crowd.most() < most/2 || found[http.StatusOK] == 0 || found[http.StatusTooManyRequests] == 0 {
		t.Errorf("%d requests at once, want hardly less than %d; answers %v", crowd.most(), most, found)
	}
	// All slots are at one replica when it dies: those of the others come back to it before. Its requests end before
	// it counts as gone.
	var wait func() []reply
	eventually(t, 20*time.Second, "one replica holds all slots", func() bool {
		if wait != nil {
			wait()
			<-time.After(300 * time.Millisecond) // until the ends are known, and what was refused is asked anew
		}
		wait = f.replicas[0].together(most, ask("few", "delay=2s"))
		return soon(time.Second, func() bool { return a.Report().Open == most })
	})
	if got := f.replicas[1].chat("few", ""); got.Status != http.StatusTooManyRequests {
		t.Errorf("status %d with all slots held by another replica", got.Status)
	}
	f.replicas[0].kill()
	died := time.Now()
	for _, got := range wait() {
		got.succeeds(t)
	}
	eventually(t, 5*time.Second, "the provider is done with them", func() bool { return a.Report().Open == 0 })
	crowd.reset()
	eventually(t, 20*time.Second, "the slots of a replica that died are used by others", func() bool {
		f.swarm(f.replicas[1:], plans)
		return crowd.most() >= most-2 // hardly ever all: a slot is taken until its end is known
	})
	t.Logf("slots are in use %v after a replica died that held them", time.Since(died))
	if peak := crowd.most(); peak > most {
		t.Errorf("%d requests at once, want at most %d", peak, most)
	}
}

// swarm lets several replicas swarm at once.
func (f *fleet) swarm(replicas []*gateway, plans []string) map[int]int {
	f.t.Helper()
	var wg sync.WaitGroup
	var mu sync.Mutex
	found := map[int]int{}
	for _, g := range replicas {
		wg.Go(func() {
			one := g.swarm("few", plans)
			mu.Lock()
			defer mu.Unlock()
			for status, n := range one {
				found[status] += n
			}
		})
	}
	wg.Wait()
	return found
}

// reset forgets the most so far.
func (c *crowd) reset() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.peak = 0
}
