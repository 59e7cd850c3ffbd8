package test

import (
	"fmt"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nestor-gateway/nestor/access/store/postgrestest"
)

// asking is clients that ask with a key, one request after the other.
type asking struct {
	tally
	halt    chan struct{}
	wg      sync.WaitGroup
	slowest time.Duration // guarded by the tally's lock
}

func (g *gateway) keepAsking(clients int, key, body string) *asking {
	g.t.Helper()
	a := &asking{halt: make(chan struct{})}
	client := httpClient(g.t)
	for range clients {
		a.wg.Go(func() {
			for {
				select {
				case <-a.halt:
					return
				default:
					began := time.Now()
					got, err := do(client, http.MethodPost, g.url+"/v1/chat/completions", body, bearer(key)...)
					if err != nil {
						got.Status = 0
					}
					a.took(time.Since(began))
					a.add(got.Status)
				}
			}
		})
	}
	return a
}

func (a *asking) took(d time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.slowest = max(a.slowest, d)
}

func (a *asking) end() {
	close(a.halt)
	a.wg.Wait()
}

// stop wants all to have been answered well, and returns how many there were.
func (a *asking) stop(t *testing.T) int {
	t.Helper()
	a.end()
	if a.counts[http.StatusOK] == 0 || len(a.counts) != 1 {
		t.Errorf("answers: %v, want all to be good", a.counts)
	}
	return a.counts[http.StatusOK]
}

// pays makes a request that costs 0.019 USD.
func (g *gateway) pays(t *testing.T, key string) {
	t.Helper()
	if got := g.post("/v1/chat/completions", priced(""), bearer(key)...); got.Status != http.StatusOK {
		t.Fatalf("%d %s", got.Status, got.Body)
	}
}

// refusesToManage wants requests that need the database, with or without a body, to be refused within some time.
func (g *gateway) refusesToManage(t *testing.T, within time.Duration, requests map[string]string) {
	t.Helper()
	var wg sync.WaitGroup
	for path, body := range requests {
		wg.Go(func() {
			method, began := http.MethodPost, time.Now()
			if body == "" {
				method = http.MethodGet
			}
			g.send(method, path, body, bearer(masterSecret)...).refuses(t, http.StatusServiceUnavailable, "no_db_connection")
			if took := time.Since(began); took > within {
				t.Errorf("%s was refused after %v", path, took)
			}
		})
	}
	wg.Wait()
}

// kept is how many rows of the spend log nestor has that are not written.
func (g *gateway) kept() int { g.t.Helper(); return int(g.metrics().sum("nestor_spend_rows_waiting")) }

// onDisk is how many of them a nestor that is killed now would not take with it: rows get there a millisecond later.
func (g *gateway) onDisk() (rows int) {
	g.t.Helper()
	files, err := filepath.Glob(filepath.Join(g.dir, "data", "spend", "*"))
	if err != nil || len(files) == 0 {
		g.t.Fatalf("no files of spend: %v", err)
	}
	for _, file := range files {
		rows += strings.Count(readFile(g.t, file), "\n")
	}
	return rows
}

func TestWithoutItsDatabaseNestorLetsInWhomItKnows(t *testing.T) {
	t.Parallel()
	server := postgrestest.Single(t)
	g := run(t, withDatabase(yaml(keyed, provide(t, "a")), server.Database()))
	key := g.newKey(`{"models": ["fast"]}`)
	load := g.keepAsking(4, key, priced("delay=20ms"))
	<-time.After(300 * time.Millisecond)
	server.Stop()
	g.refusesToManage(t, 2*time.Second, map[string]string{
		"/key/generate": `{"models": ["fast"]}`, "/key/update": fmt.Sprintf(`{"key": %q, "models": []}`, key), "/key/list": "",
		"/key/info?key=" + key: "", "/spend/logs": "", "/global/spend/models": "", "/audit": "",
		"/team/new": `{"team_alias": "x"}`, "/user/new": `{"user_id": "x"}`, "/budget/new": `{"max_budget": 1}`,
	})
	g.as("sk-nobody-knows-this-one", "fast").refuses(t, http.StatusUnauthorized, "token_not_found_in_db")
	g.as(key, "slow").refuses(t, http.StatusForbidden, "key_model_access_denied")
	if got := g.listed(key); got != `["fast","quick"]` {
		t.Errorf("/v1/models lists %s", got)
	}
	eventually(t, 5*time.Second, "spend waits", func() bool { return g.kept() > 50 })
	server.Start()
	eventually(t, 15*time.Second, "the database is used again", func() bool {
		return g.get("/key/info?key="+key, bearer(masterSecret)...).Status == http.StatusOK
	})
	n := load.stop(t)
	rows := g.logs(t, "api_key="+key, n)
	if cost := costs(rows); !near(cost, 0.019*float64(n)) || !near(g.spent("/key/info?key="+key, "info"), cost) {
		t.Errorf("%v were paid for %d requests, and the key has spent %v", cost, n, g.spent("/key/info?key="+key, "info"))
	}
	if m := g.metrics(); m.sum("nestor_spend_rows_lost_total") != 0 || g.kept() != 0 {
		t.Errorf("%v rows were lost, %d still wait", m.sum("nestor_spend_rows_lost_total"), g.kept())
	}
	g.manage("/key/block", fmt.Sprintf(`{"key": %q}`, key))
	g.as(key, "fast").refuses(t, http.StatusUnauthorized, "auth_error")
}

// throughLine is a database behind a line.
func throughLine(t *testing.T) (database string, l *line) {
	t.Helper()
	server := postgrestest.Single(t)
	l = wire(t, server.Address)
	u, err := url.Parse(server.Database())
	if err != nil {
		t.Fatal(err)
	}
	u.Host = l.address
	return u.String(), l
}

// A database that does not answer any more is worse than one that is gone: nothing tells when to give up.
func TestADatabaseThatFallsSilentHoldsNobodyUp(t *testing.T) {
	t.Parallel()
	database, line := throughLine(t)
	g := run(t, withDatabase(yaml(keyed, provide(t, "a")), database))
	key := g.newKey(`{"models": ["fast"]}`)
	budgeted := g.newKey(`{"max_budget": 100}`)
	g.pays(t, key)
	g.pays(t, budgeted)
	g.logs(t, "", 2)
	speak := line.hush()
	load, limited := g.keepAsking(4, key, priced("delay=20ms")), g.keepAsking(1, budgeted, priced(""))
	g.refusesToManage(t, 17*time.Second, map[string]string{"/key/generate": `{"models": ["fast"]}`, "/key/info?key=" + key: ""})
	n := load.stop(t)
	limited.end()
	if load.slowest > time.Second || limited.slowest > 2*time.Second {
		t.Errorf("a request took %v, one with a budget %v", load.slowest, limited.slowest)
	}
	if limited.counts[http.StatusTooManyRequests] == 0 || limited.counts[http.StatusOK]+limited.counts[http.StatusTooManyRequests] != sum(limited.counts) {
		t.Errorf("answers where the budget can't be confirmed: %v", limited.counts)
	}
	speak()
	eventually(t, 15*time.Second, "the database is used again", func() bool {
		return g.get("/key/info?key="+key, bearer(masterSecret)...).Status == http.StatusOK
	})
	g.logs(t, "api_key="+key, n+1)
	g.logs(t, "api_key="+budgeted, limited.counts[http.StatusOK]+1)
}

// Changes that are made while a replica can't see them are in force as soon as it can.
func TestAReplicaThatMissedChangesCatchesUp(t *testing.T) {
	t.Parallel()
	server, a := postgrestest.Single(t), provide(t, "a")
	database := server.Database()
	line := wire(t, server.Address)
	near := run(t, withDatabase(yaml(keyed, a), database))
	far := run(t, withDatabase(yaml(keyed, a), strings.Replace(database, server.Address, line.address, 1)))
	keys := map[string]string{}
	for _, name := range []string{"blocked", "changed", "deleted", "left"} {
		keys[name] = near.newKey(`{"models": ["fast"]}`)
		far.answersWithin(t, time.Second, keys[name], "fast", http.StatusOK, "a key that is "+name)
	}
	line.cut()
	near.manage("/key/block", fmt.Sprintf(`{"key": %q}`, keys["blocked"]))
	near.manage("/key/update", fmt.Sprintf(`{"key": %q, "models": ["slow"]}`, keys["changed"]))
	near.manage("/key/delete", fmt.Sprintf(`{"keys": [%q]}`, keys["deleted"]))
	keys["new"] = near.newKey(`{"models": ["fast"]}`)
	for name, status := range map[string]int{"blocked": 200, "changed": 200, "deleted": 200, "left": 200, "new": 401} {
		if got := far.as(keys[name], "fast"); got.Status != status {
			t.Errorf("cut off, a key that was %s: %d %s, want %d", name, got.Status, got.Body, status)
		}
	}
	line.mend()
	for name, status := range map[string]int{"blocked": 401, "changed": 403, "deleted": 401, "left": 200, "new": 200} {
		far.answersWithin(t, 8*time.Second, keys[name], "fast", status, "a key that was "+name)
	}
}

// What is leased of a budget can be spent without the database, and no more.
func TestABudgetGoesOnWithinWhatIsLeased(t *testing.T) {
	t.Parallel()
	const before, cost = 30, 0.019
	server := postgrestest.Single(t)
	g := run(t, withDatabase(yaml(keyed, provide(t, "a")), server.Database()))
	key, free := g.newKey(`{"max_budget": 100}`), g.newKey(`{}`)
	for range before {
		g.pays(t, key)
	}
	g.logs(t, "api_key="+key, before)
	server.Stop()
	// About as much as was spent lately.
	n, began := 0, time.Now()
	for ; n < 10*before; n++ {
		got := g.post("/v1/chat/completions", priced(""), bearer(key)...)
		if got.Status != http.StatusOK {
			p := got.refuses(t, http.StatusTooManyRequests, "budget_exceeded")
			if !strings.Contains(p.Message, "can't be confirmed") || got.Header.Get("Retry-After") == "" {
				t.Errorf("%v %s", got.Header, got.Body)
			}
			break
		}
	}
	if n < 3 || n > 4*before {
		t.Errorf("%d requests were admitted in %v without the database, after %d with it", n, time.Since(began), before)
	}
	g.pays(t, free)
	server.Start()
	g.answersWithin(t, 10*time.Second, key, "fast", http.StatusOK, "a budget after the outage")
	rows := g.logs(t, "api_key="+key, before+n+1)
	if spent := g.spent("/key/info?key="+key, "info"); !near(spent, costs(rows)) {
		t.Errorf("%v were spent, and the log has %v", spent, costs(rows))
	}
}

func TestANestorKilledWithoutItsDatabaseLosesNoSpend(t *testing.T) {
	t.Parallel()
	const n = 40
	server := postgrestest.Single(t)
	g := run(t, withDatabase(yaml(keyed, provide(t, "a")), server.Database()))
	key := g.newKey(`{"models": ["fast"]}`)
	server.Stop()
	for range n {
		g.pays(t, key)
	}
	eventually(t, 5*time.Second, "all rows are on disk", func() bool { return g.onDisk() == n })
	g.kill()
	// Without it nestor knows no key.
	g.launch()
	if status := g.nestor.exitStatus(t, 40*time.Second); status == 0 || !strings.Contains(g.nestor.text(t), server.Address) {
		t.Errorf("exit status %d at a start without the database, want an error that names %s", status, server.Address)
	}
	if strings.Contains(g.nestor.text(t), server.Password) || strings.Contains(g.nestor.text(t), url.QueryEscape(server.Password)) {
		t.Error("the password of the database is in the log")
	}
	server.Start()
	g.again()
	rows := g.logs(t, "api_key="+key, n)
	if !near(costs(rows), n*0.019) || !near(g.spent("/key/info?key="+key, "info"), n*0.019) {
		t.Errorf("%v were paid, want %v, and the key has spent %v", costs(rows), n*0.019, g.spent("/key/info?key="+key, "info"))
	}
}
