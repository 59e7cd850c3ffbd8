package test

import (
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/nestor-gateway/nestor/access/store/postgrestest"
)

// runKeyFleet starts n nestors that share a Redis and a PostgreSQL.
func runKeyFleet(t *testing.T, n int, upstreams ...*upstream) *fleet {
	t.Helper()
	return runFleet(t, n, withDatabase(yaml(keyed, upstreams...), postgrestest.Single(t).Database()))
}

// bearer are the headers of a request with a key.
func bearer(key string) []string { return []string{"Authorization", "Bearer " + key} }

// answersWithin wants a status from now on, or at least within some time.
func (g *gateway) answersWithin(t *testing.T, d time.Duration, key, model string, status int, what string) {
	t.Helper()
	var got reply
	if !soon(d, func() bool { got = g.as(key, model); return got.Status == status }) {
		t.Errorf("%s: %d %s after %v, want %d", what, got.Status, got.Body, d, status)
	}
}

// Every step is made at one replica, the next one at another. It is in force there at once.
func TestWhatIsChangedAtOneReplicaHoldsAtAllWithinASecond(t *testing.T) {
	t.Parallel()
	f := runKeyFleet(t, 3, provide(t, "a"))
	f.replicas[0].manage("/team/new", `{"team_id": "core"}`)
	f.replicas[0].manage("/user/new", `{"user_id": "ann", "auto_create_key": false}`)
	f.replicas[0].manage("/budget/new", `{"budget_id": "small", "max_budget": 100}`)
	teams, anns := "sk-fleet-of-the-team-0123", "sk-fleet-of-ann-0123456"
	for i, step := range []struct {
		path, body, key string
		status          int // of a request for fast
	}{
		{"/key/generate", `{"key": "` + teams + `", "team_id": "core", "models": ["fast"]}`, teams, 200},
		{"/key/update", `{"key": "` + teams + `", "models": ["slow"]}`, teams, 403},
		{"/key/update", `{"key": "` + teams + `", "models": ["fast"]}`, teams, 200},
		{"/team/update", `{"team_id": "core", "models": ["slow"]}`, teams, 403},
		{"/team/update", `{"team_id": "core", "models": []}`, teams, 200},
		{"/team/block", `{"team_id": "core"}`, teams, 401},
		{"/team/unblock", `{"team_id": "core"}`, teams, 200},
		{"/key/update", `{"key": "` + teams + `", "rpm_limit": 0}`, teams, 429},
		{"/key/update", `{"key": "` + teams + `", "rpm_limit": null}`, teams, 200},
		{"/key/block", `{"key": "` + teams + `"}`, teams, 401},
		{"/key/unblock", `{"key": "` + teams + `"}`, teams, 200},
		{"/team/update", `{"team_id": "core", "max_budget": 0}`, teams, 429},
		{"/team/delete", `{"team_ids": ["core"]}`, teams, 401},

		{"/key/generate", `{"key": "` + anns + `", "user_id": "ann", "budget_id": "small"}`, anns, 200},
		{"/user/update", `{"user_id": "ann", "models": ["slow"]}`, anns, 403},
		{"/user/update", `{"user_id": "ann", "models": []}`, anns, 200},
		{"/budget/update", `{"budget_id": "small", "max_budget": 0}`, anns, 429},
		{"/budget/update", `{"budget_id": "small", "max_budget": 100}`, anns, 200},
		{"/key/regenerate", `{"key": "` + anns + `", "new_key": "sk-fleet-of-ann-again-01"}`, anns, 401},
		{"/key/block", `{"key": "sk-fleet-of-ann-again-01"}`, "sk-fleet-of-ann-again-01", 401},
		{"/key/unblock", `{"key": "sk-fleet-of-ann-again-01"}`, "sk-fleet-of-ann-again-01", 200},
		{"/user/delete", `{"user_ids": ["ann"]}`, "sk-fleet-of-ann-again-01", 401},
	} {
		f.change(i%len(f.replicas), step.path, step.body, step.key, step.status)
	}
}

// change makes a change at a replica, and wants a status of requests at all.
func (f *fleet) change(at int, path, body, key string, status int) {
	f.t.Helper()
	f.replicas[at].manage(path, body)
	var wg sync.WaitGroup
	for i, g := range f.replicas {
		within := time.Second
		if i == at {
			within = 0
		}
		wg.Go(func() {
			g.answersWithin(f.t, within, key, "fast", status, fmt.Sprintf("%s %s at nestor %d, seen at %d", path, body, at, i))
		})
	}
	wg.Wait()
}

// know waits until all replicas know a key that is new.
func (f *fleet) know(key string) {
	f.t.Helper()
	for _, g := range f.replicas {
		g.answersWithin(f.t, time.Second, key, "none", 400, "a key that is new")
	}
}

// A tally counts answers by their status.
type tally struct {
	mu     sync.Mutex
	counts map[int]int
}

func (c *tally) add(status int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.counts == nil {
		c.counts = map[int]int{}
	}
	c.counts[status]++
}

// besiege has clients at each replica ask with a key again and again, until the time is up.
func (f *fleet) besiege(clients int, length time.Duration, key string, body func(i int) string) map[int]int {
	f.t.Helper()
	var found tally
	var wg sync.WaitGroup
	end := time.Now().Add(length)
	for _, g := range f.replicas {
		for range clients {
			wg.Go(func() {
				client := httpClient(f.t)
				for i := 0; time.Now().Before(end); i++ {
					got, err := do(client, http.MethodPost, g.url+"/v1/chat/completions", body(i), bearer(key)...)
					if err != nil {
						got.Status = 0
					}
					found.add(got.Status)
					if got.Status == http.StatusTooManyRequests {
						<-time.After(100 * time.Millisecond)
					}
				}
			})
		}
	}
	wg.Wait()
	return found.counts
}

func TestLimitsOfAKeyHoldOverAllReplicas(t *testing.T) {
	t.Parallel()
	const rpm, parallel = 60, 6
	a := provide(t, "a")
	crowd := watch(t, a)
	f := runKeyFleet(t, 3, &upstream{a.Server, crowd.url})
	key := f.replicas[0].newKey(fmt.Sprintf(`{"rpm_limit": %d}`, rpm))
	f.know(key)
	counts := f.besiege(4, 3*time.Second, key, func(int) string { return ask("fast", "delay=20ms") })
	if n := counts[200]; n > rpm || n < rpm*97/100 || counts[429] == 0 || counts[200]+counts[429] != sum(counts) || n != a.total() {
		t.Errorf("answers %v, %d at the provider, want %d admitted, or a little less", counts, a.total(), rpm)
	}
	crowd.reset()
	few := f.replicas[1].newKey(fmt.Sprintf(`{"max_parallel_requests": %d}`, parallel))
	f.know(few)
	counts = f.besiege(4, 3*time.Second, few, func(i int) string {
		return ask("slow", []string{"delay=40ms", "events=4;gap=15ms", "status=500", "cut=30"}[i%4], noRetries, []string{"", asStream}[i/4%2])
	})
	if n := crowd.most(); n > parallel || n < parallel/2 || counts[429] == 0 {
		t.Errorf("%d at once, want hardly less than %d; answers %v", n, parallel, counts)
	}
}

func sum(counts map[int]int) (n int) {
	for _, c := range counts {
		n += c
	}
	return n
}

// A spending is a row of /spend/logs.
type spending struct {
	request string
	usd     float64
}

// spendings are the rows of a query.
func (g *gateway) spendings(query string) (rows []spending) {
	g.t.Helper()
	list, _ := g.manage("/spend/logs?"+query, "")[""].([]any)
	for _, one := range list {
		row := one.(map[string]any)
		rows = append(rows, spending{row["request_id"].(string), row["spend"].(float64)})
	}
	return rows
}

// costs are those of rows together.
func costs(rows []spending) (usd float64) {
	for _, r := range rows {
		usd += r.usd
	}
	return usd
}

// spent is what a key, a team or a user has spent as its record says.
func (g *gateway) spent(path, object string) float64 {
	g.t.Helper()
	return g.manage(path, "")[object].(map[string]any)["spend"].(float64)
}

// logs waits until so many rows are there for a query, each of another request.
func (g *gateway) logs(t *testing.T, query string, n int) []spending {
	t.Helper()
	var rows []spending
	if !soon(10*time.Second, func() bool { rows = g.spendings(query); return len(rows) >= n }) || len(rows) != n {
		t.Errorf("%d rows in the spend log, want %d", len(rows), n)
	}
	requests := map[string]int{}
	for _, r := range rows {
		if requests[r.request]++; requests[r.request] == 2 {
			t.Errorf("request %s has several rows", r.request)
		}
	}
	return rows
}

// priced is a request that costs at most 9 tokens in and 5 out at the prices of keyed: 0.019 USD.
func priced(plan string, fields ...string) string {
	return ask("fast", "events=5;"+plan, append(fields, `,"max_tokens":5`)...)
}

// Requests side by side at all replicas, with two keys of one team: neither the team nor the key that has a budget of its
// own spends more than it may, and in the end hardly less.
func TestABudgetIsNeverPassedByAllReplicasTogether(t *testing.T) {
	t.Parallel()
	const ofKey, ofTeam = 0.3, 0.8
	a := provide(t, "a")
	f := runKeyFleet(t, 3, a)
	g := f.replicas[0]
	g.manage("/team/new", fmt.Sprintf(`{"team_id": "core", "max_budget": %v}`, ofTeam))
	small := g.newKey(fmt.Sprintf(`{"team_id": "core", "max_budget": %v}`, ofKey))
	large := g.newKey(`{"team_id": "core"}`)
	f.know(large)
	plans := []string{"", "delay=30ms", "status=500", "gap=5ms"}
	body := func(i int) string { return priced(plans[i%4], noRetries, []string{"", asStream}[i/4%2]) }
	var found [2]map[int]int
	var wg sync.WaitGroup
	for i, key := range []string{small, large} {
		wg.Go(func() { found[i] = f.besiege(6, 3*time.Second, key, body) })
	}
	wg.Wait()
	// What one replica has in store comes back to the others.
	for _, g := range f.replicas {
		found[1][200] += g.spendTheRest(t, large)
	}
	var spent float64
	for i, key := range []string{small, large} {
		if found[i][429] == 0 || found[i][200] == 0 || found[i][200]+found[i][429]+found[i][500] != sum(found[i]) {
			t.Errorf("key %d: answers %v", i, found[i])
		}
		rows := g.logs(t, "api_key="+key, found[i][200]+found[i][500])
		cost := costs(rows)
		for k, g := range f.replicas {
			if got := g.spent("/key/info?key="+key, "info"); !near(got, cost) {
				t.Errorf("key %d has spent %v as nestor %d has it, and %v by its log", i, got, k, cost)
			}
		}
		if i == 0 && cost > ofKey {
			t.Errorf("%v of %v were spent by the key", cost, ofKey)
		}
		spent += cost
	}
	if spent > ofTeam || spent < ofTeam-0.025 { // the estimate is a little above what a request costs
		t.Errorf("%v of %v were spent by the team", spent, ofTeam)
	}
	if got := g.spent("/team/info?team_id=core", "team_info"); !near(got, spent) {
		t.Errorf("the team has spent %v as its record has it, want %v", got, spent)
	}
	if n := found[0][200] + found[0][500] + found[1][200] + found[1][500]; n != a.total() {
		t.Errorf("%d requests came to the provider, %d were admitted", a.total(), n)
	}
}

// spendTheRest asks until nothing is left for some time, in which others give back what they have, and returns how often
// that went well.
func (g *gateway) spendTheRest(t *testing.T, key string) (n int) {
	t.Helper()
	for last := time.Now(); time.Since(last) < 2*time.Second; {
		switch got := g.post("/v1/chat/completions", priced(""), bearer(key)...); got.Status {
		case http.StatusOK:
			n, last = n+1, time.Now()
		case http.StatusTooManyRequests:
			got.refuses(t, http.StatusTooManyRequests, "budget_exceeded")
			<-time.After(100 * time.Millisecond)
		default:
			t.Fatalf("%d %s", got.Status, got.Body)
		}
	}
	return n
}
