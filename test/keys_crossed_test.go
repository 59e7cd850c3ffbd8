package test

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nestor-gateway/nestor/access/store/postgrestest"
	"github.com/nestor-gateway/nestor/cmd/nestor/mock"
)

// token is what one costs in pricedTwice, in USD.
const token = 0.001

// pricedTwice is twice with prices and a master key.
func pricedTwice() string {
	const prices = ", input_cost_per_token: 0.001, output_cost_per_token: 0.001}"
	return strings.ReplaceAll(twice, "-id}", "-id"+prices) + "general_settings:\n  master_key: " + masterSecret + "\n"
}

// Whatever is said of an attempt comes to the nestor that knows nothing of it: still every request has its row, is paid
// once, and holds nothing any more when it has ended.
func TestMoneyIsCountedOnceThoughEveryEntryGoesToTheWrongNestor(t *testing.T) {
	t.Parallel()
	const rounds = 4
	a := provideAs(t, mock.Options{Name: "a", Meter: true})
	nobody := &upstream{url: "http://" + freeAddresses(t, 1)[0]}
	pair := runCrossed(t, withDatabase(yaml(pricedTwice(), a, nobody), postgrestest.Single(t).Database()), bearer(masterSecret)...)
	// A request holds up to a dollar until its log entry has come, and all of them may be on their way at once.
	pair[0].manage("/team/new", `{"team_id": "core", "max_budget": 10000}`)
	key := pair[0].newKey(`{"team_id": "core", "max_budget": 1000, "rpm_limit": 10000, "tpm_limit": 10000000, "max_parallel_requests": 1000}`)
	pair[1].answersWithin(t, time.Second, key, "none", http.StatusBadRequest, "a key that is new")
	before := a.tokens("free", "limited")
	var wg sync.WaitGroup
	for i, g := range pair {
		for round := range rounds {
			wg.Go(func() {
				for _, model := range []string{"free", "limited"} {
					for _, e := range endings(fmt.Sprint("money", model, i, round)) {
						got := g.post("/v1/chat/completions", ask(model, e.plan, e.fields), bearer(key)...)
						if got.Status == http.StatusTooManyRequests && !strings.HasPrefix(e.plan, "status=429") {
							t.Errorf("refused though there is enough of everything: %s", got.Body)
						}
					}
				}
				g.sendAndLeave(200*time.Millisecond, ask("left", "delay=20s"), bearer(key)...)
				g.sendAndLeave(400*time.Millisecond, ask("left", "events=100;gap=50ms", asStream), bearer(key)...)
				g.post("/v1/chat/completions", ask("dead", "", noRetries), bearer(key)...)
			})
		}
	}
	wg.Wait()
	sent := map[string]int{"free": 2 * rounds * len(endings("")), "limited": 2 * rounds * len(endings("")), "dead": 2 * rounds}
	sent["left"] = len(a.Arrivals("left")) // who leaves while the machine is busy may not have asked at all
	var rows []spending
	of := map[string]float64{}
	for model, n := range sent {
		found := pair[0].logs(t, "api_key="+key+"&model="+model, n)
		of[model], rows = costs(found), append(rows, found...)
	}
	if want := float64(a.tokens("free", "limited")-before) * token; !near(of["free"]+of["limited"], want) {
		t.Errorf("%v were paid, want %v for what the provider has counted", of["free"]+of["limited"], want)
	}
	if n := float64(sent["left"]); n < rounds || of["left"] < n*prompt*token || of["left"] > n*5000*token || of["dead"] != 0 {
		t.Errorf("%v were paid for clients that left, %v where nobody was reached", of["left"], of["dead"])
	}
	for i, g := range pair {
		for path, object := range map[string]string{"/key/info?key=" + key: "info", "/team/info?team_id=core": "team_info"} {
			if got := g.spent(path, object); !near(got, costs(rows)) {
				t.Errorf("%s at nestor %d: %v spent, want %v", path, i, got, costs(rows))
			}
		}
	}
	for _, g := range pair {
		g.holdsNothing(t, key)
	}
}

// tokens are those that a provider has counted for some models.
func (u *upstream) tokens(models ...string) (n int) {
	for _, model := range models {
		for _, arrival := range u.Arrivals(model) {
			n += arrival.Tokens
		}
	}
	return n
}

// holdsNothing wants every place among a key's requests at once to be free, and its budget, where it has little more than
// one request may cost.
func (g *gateway) holdsNothing(t *testing.T, key string) {
	t.Helper()
	const places = 3
	g.manage("/key/update", fmt.Sprintf(`{"key": %q, "max_parallel_requests": %d, "max_budget": 100}`, key, places))
	eventually(t, 10*time.Second, "all places are free", func() bool {
		for _, got := range g.together(places, ask("free", "delay=300ms", noRetries), bearer(key)...)() {
			if got.Status != http.StatusOK {
				<-time.After(500 * time.Millisecond) // until the ends of the others are known
				return false
			}
		}
		return true
	})
	eventually(t, 10*time.Second, "all money is free", func() bool {
		// A request may cost 26 tokens and what 9 are thought to be, and nothing else that is held would fit beside it.
		g.manage("/key/update", fmt.Sprintf(`{"key": %q, "max_budget": %v}`, key, g.spent("/key/info?key="+key, "info")+0.05))
		return g.post("/v1/chat/completions", ask("free", "", `,"max_tokens":26`), bearer(key)...).Status == http.StatusOK
	})
}
