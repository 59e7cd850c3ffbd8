package test

import (
	"encoding/json"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/nestor-gateway/nestor/cmd/nestor/mock"
	"github.com/nestor-gateway/nestor/ratelimit/redis/redistest"
)

// runCrossed starts two nestors that share a Redis and two Envoys. Each Envoy asks one nestor for decisions, and
// reports everything that comes of them, failures and the access log, to the other one. The headers are those of a request
// for the model free.
func runCrossed(t *testing.T, config string, headers ...string) [2]*gateway {
	t.Helper()
	envoy, redis := need(t, "envoy"), redistest.Single(t)
	at := freeAddresses(t, 8)
	var pair [2]*gateway
	for i := range pair {
		dir := t.TempDir()
		g := &gateway{t: t, dir: dir, config: filepath.Join(dir, "config.yaml"), url: "http://" + at[i], http: "http://" + at[4+i], admin: "http://" + at[6+i]}
		g.configure(config)
		t.Cleanup(g.judge)
		g.nestor = launch(t, dir, "nestor.log", binary(t), "serve", "--config", g.config, "--listen", at[i], "--grpc-listen", at[2+i],
			"--http-listen", at[4+i], "--data-dir", filepath.Join(dir, "data"), "--fresh-limits", "--redis-url", redis.URL())
		pair[i] = g
	}
	for i, g := range pair {
		static, err := exec.Command(binary(t), "bootstrap", "--static", "--config", g.config, "--listen", at[i],
			"--grpc-listen", at[2+i], "--http-listen", at[4+i], "--admin-listen", at[6+i]).Output()
		if err != nil {
			t.Fatalf("nestor bootstrap: %v", err)
		}
		path := filepath.Join(g.dir, "envoy.json")
		if err := os.WriteFile(path, cross(t, static, at[3-i]), 0o600); err != nil {
			t.Fatal(err)
		}
		launch(t, g.dir, "envoy.log", envoy, "--config-path", path, "--concurrency", "1", "--disable-hot-restart")
	}
	for _, g := range pair {
		g.answersSoon("Envoys and nestors are ready", "free", headers...)
	}
	return pair
}

// cross changes an Envoy's configuration: the access log goes to another address, and failures too.
func cross(t *testing.T, static []byte, other string) []byte {
	t.Helper()
	var config any
	if err := json.Unmarshal(static, &config); err != nil {
		t.Fatal(err)
	}
	_, port, err := net.SplitHostPort(other)
	if err != nil {
		t.Fatal(err)
	}
	number, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	changed := replace(named(config, "nestor-log"), "port_value", number) +
		replace(named(config, "nestor.failure"), "cluster_name", "nestor-log")
	if changed != 2 {
		t.Fatalf("%d places changed in Envoy's configuration, want 2", changed)
	}
	b, err := json.Marshal(config)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// named finds the object of that name.
func named(in any, name string) (found any) {
	walk(in, func(object map[string]any) {
		if object["name"] == name {
			found = object
		}
	})
	return found
}

// replace sets a member wherever there is one, and says how often that was.
func replace(in any, member string, value any) (n int) {
	walk(in, func(object map[string]any) {
		if _, ok := object[member]; ok && object["name"] == nil {
			object[member] = value
			n++
		}
	})
	return n
}

func walk(in any, visit func(map[string]any)) {
	switch v := in.(type) {
	case map[string]any:
		visit(v)
		for _, member := range v {
			walk(member, visit)
		}
	case []any:
		for _, element := range v {
			walk(element, visit)
		}
	}
}

// twice has every deployment once with limits, which replicas share, and once without, where each keeps its own ledger.
const twice = `
model_list:
  - {model_name: free, litellm_params: {model: openai/free, api_base: $A/v1, api_key: k}, model_info: {id: free-id}}
  - {model_name: limited, litellm_params: {model: openai/limited, api_base: $A/v1, api_key: k, rpm: 100000, tpm: 100000000, max_parallel_requests: 1000}, model_info: {id: limited-id}}
  - {model_name: left, litellm_params: {model: openai/left, api_base: $A/v1, api_key: k}, model_info: {id: left-id}}
  - {model_name: dead, litellm_params: {model: openai/dead, api_base: $B/v1, api_key: k}, model_info: {id: dead-id}}
router_settings: {num_retries: 1, disable_cooldowns: true}
`

// An ending is a request and what it uses.
type ending struct {
	plan, fields string
	used         amounts
}

// endings are those of one round; the name tells apart plans that work only once.
func endings(name string) []ending {
	const once = `,"num_retries":0`
	return []ending{
		{"events=30", "", amounts{1, prompt + 30, 0}},
		{"events=50", `,"max_tokens":4`, amounts{1, prompt + 50, 0}},
		{"events=31", asStream, amounts{1, prompt + 31, 0}},
		{"events=16;usage=every", asStream, amounts{1, prompt + 16, 0}},
		{"events=18;gzip", asStream, amounts{1, prompt + 18, 0}},
		{"status=500", once, amounts{1, 0, 0}},
		{"status=429", once + asStream, amounts{1, 0, 0}},
		{"body=context", "", amounts{1, 0, 0}},
		{"status=500;times=1;id=" + name, "", amounts{2, prompt + mock.DefaultEvents, 0}},
	}
}

// A replica that takes requests refuses nothing that is there.
func TestAReplicaThatIsReadyRefusesNothing(t *testing.T) {
	t.Parallel()
	a := provideAs(t, mock.Options{Name: "a"})
	for i, g := range runCrossed(t, yaml(twice, a, a)) {
		if got := g.chat("limited", ""); got.Status != http.StatusOK {
			t.Errorf("nestor %d: status %d: %v %s", i, got.Status, got.Header, got.Body)
		}
	}
}

// Whatever is said of an attempt comes to the nestor that knows nothing of it.
func TestLedgersAreRightThoughEveryEntryGoesToTheWrongNestor(t *testing.T) {
	t.Parallel()
	const rounds = 8
	a := provideAs(t, mock.Options{Name: "a", Meter: true})
	pair := runCrossed(t, yaml(twice, a, &upstream{url: "http://" + freeAddresses(t, 1)[0]}))
	for _, g := range pair {
		g.allSettled(t) // after what it took to be ready
	}
	before := [2]amounts{pair[0].used(t, "free-id"), pair[1].used(t, "free-id")}
	var wg sync.WaitGroup
	want := amounts{}
	for i, g := range pair {
		for round := range rounds {
			wg.Go(func() {
				name := strconv.Itoa(i) + "." + strconv.Itoa(round)
				for _, model := range []string{"free", "limited"} {
					for _, e := range endings(model + name) {
						g.post("/v1/chat/completions", ask(model, e.plan, e.fields))
					}
				}
				g.sendAndLeave(200*time.Millisecond, ask("left", "delay=20s"))
				g.sendAndLeave(400*time.Millisecond, ask("left", "events=100;gap=50ms", asStream))
				g.post("/v1/chat/completions", ask("dead", "", `,"num_retries":0`))
			})
		}
	}
	for _, e := range endings("") {
		want.Requests += rounds * e.used.Requests
		want.Tokens += rounds * e.used.Tokens
	}
	wg.Wait()
	for i, g := range pair {
		g.allSettled(t)
		want := amounts{before[i].Requests + want.Requests, before[i].Tokens + want.Tokens, 0}
		if diff := cmp.Diff(want, g.used(t, "free-id")); diff != "" {
			t.Errorf("nestor %d, without limits (-want +got):\n%s", i, diff)
		}
		if left := g.used(t, "left-id"); left.Requests != 2*rounds || left.Tokens < 2*rounds*prompt || left.Tokens > 2*rounds*5000 {
			t.Errorf("nestor %d, clients that left: %+v", i, left)
		}
		if diff := cmp.Diff(amounts{}, g.used(t, "dead-id")); diff != "" {
			t.Errorf("nestor %d, where nobody was reached (-want +got):\n%s", i, diff)
		}
	}
	for i, g := range pair {
		g.knows(t, i, a)
	}
	taken, dropped := 0.0, 0.0
	for _, g := range pair {
		m := g.metrics()
		taken += m.sum("nestor_settlements_forwarded_total")
		dropped += m.sum("nestor_settlements_dropped_total")
	}
	attempts := len(a.Arrivals("free")) + len(a.Arrivals("limited")) + len(a.Arrivals("left")) + 2*rounds
	if int(taken) < attempts || dropped != 0 {
		t.Errorf("%v settlements were forwarded and %v dropped, want at least one for each of %d attempts", taken, dropped, attempts)
	}
}

// allSettled waits until nothing is in flight where a nestor keeps its own ledger.
func (g *gateway) allSettled(t *testing.T) {
	t.Helper()
	for _, id := range []string{"free-id", "left-id", "dead-id"} {
		if !soon(secondsToSettle, func() bool { return g.used(t, id).Parallel == 0 }) {
			t.Errorf("%s: %d still in flight", id, g.used(t, id).Parallel)
		}
	}
}

// knows checks that a nestor's ledger of the shared limit is what the provider has counted. How others have used it,
// a replica learns when it asks for more: so it is made to.
func (g *gateway) knows(t *testing.T, number int, a *upstream) {
	t.Helper()
	var diff string
	if !soon(20*time.Second, func() bool {
		if got := g.chat("limited", ""); got.Status != http.StatusOK {
			t.Errorf("nestor %d: status %d where hardly anything is used: %v %s", number, got.Status, got.Header, got.Body)
		}
		return soon(500*time.Millisecond, func() bool {
			var want amounts
			for _, arrival := range a.Arrivals("limited") {
				want.Requests++
				want.Tokens += int64(arrival.Tokens)
			}
			diff = cmp.Diff(want, g.used(t, "limited-id"))
			return diff == ""
		})
	}) {
		t.Errorf("nestor %d, the shared limit (-provider +got):\n%s", number, strings.TrimSpace(diff))
	}
}
