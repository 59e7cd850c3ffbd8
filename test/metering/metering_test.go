// Package metering compares the two ways in which Nestor learns what answers used, with a real Envoy: by Envoy's
// own filters and its access log, and by reading the answers in band.
package metering

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/nestor-gateway/nestor/cmd/nestor/mock"
)

var requests = flag.Int("requests", 10_000, "how many requests each metering gets")

// workers send one request after the other, each to a deployment of its own: what one answer teaches is known
// when the next is estimated, in both meterings.
const workers = 16

// ask is one request and what its client does.
type ask struct {
	path string
	body string
	// After so many events the client leaves, or the provider breaks off; 0 is never.
	leave, cut int
	// early: the client leaves when the request has arrived.
	early bool
}

// kinds are what requests and answers there are; each is drawn as often as it is listed.
func kinds() []func(rng *rand.Rand, model string) ask {
	chat := func(model, plan, more string) ask {
		return ask{path: "/v1/chat/completions", body: fmt.Sprintf(`{"model":%q,"messages":[{"role":"user","content":"hi"}],"user":"mock:%s"%s}`, model, plan, more)}
	}
	const asked, streamed = `,"stream":true,"stream_options":{"include_usage":true}`, `,"stream":true`
	plain := func(plan, more string) func(*rand.Rand, string) ask {
		return func(rng *rand.Rand, model string) ask {
			return chat(model, fmt.Sprintf("%s;events=%d", plan, 1+rng.IntN(40)), more)
		}
	}
	pieces := func(rng *rand.Rand, model string) ask {
		return chat(model, fmt.Sprintf("pieces=%d", 20+rng.IntN(60)), streamed)
	}
	embeddings := func(rng *rand.Rand, model string) ask {
		return ask{path: "/v1/embeddings", body: fmt.Sprintf(`{"model":%q,"input":%q}`, model, strings.Repeat("word ", 1+rng.IntN(50)))}
	}
	leave := func(rng *rand.Rand, model string) ask {
		events := 1 + rng.IntN(7)
		a := chat(model, fmt.Sprintf("stall=%d", events), streamed)
		a.leave = events
		return a
	}
	cut := func(rng *rand.Rand, model string) ask {
		a := leave(rng, model)
		a.leave, a.cut = 0, a.leave
		return a
	}
	early := func(_ *rand.Rand, model string) ask {
		a := chat(model, "delay=5s", "")
		a.early = true
		return a
	}
	all := []func(*rand.Rand, string) ask{
		plain("", ""), plain("spaced", ""), plain("charset=utf-8", ""), plain("cached=1;reasoning=1", ""), plain("usage=none", ""), plain("pieces=50", ""), plain("gzip", ""),
		plain("", streamed), plain("crlf", streamed), plain("spaced", streamed), plain("usage=every", streamed), plain("usage=none", streamed),
		plain("unended", streamed), plain("cached=2;reasoning=3", streamed), pieces,
		plain("", asked), plain("gzip", asked), plain("crlf;spaced", asked), plain("usage=every", asked),
		plain("status=500", ""), plain("status=400", ""), plain("status=503;body=html", streamed), plain("status=404;body=empty", ""), plain("body=context", ""),
		plain("status=302;body=html", ""),
		embeddings, embeddings, leave, cut,
		plain("reset", ""), plain("cut=100", ""),
	}
	all = append(all, all...)
	return append(all, early)
}

// send makes a request; whatever comes of it is for the ledger to tell.
func send(ctx context.Context, address string, a ask, up *upstream) string {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if a.early {
		go func() {
			select {
			case <-up.arrived:
				cancel()
			case <-ctx.Done():
			}
		}()
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+address+a.path, strings.NewReader(a.body))
	if err != nil {
		return err.Error()
	}
	r.Header.Set("content-type", "application/json")
	r.Header.Set("x-litellm-num-retries", "0")
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		if strings.Contains(a.body, "cut=") {
			return "broken off"
		}
		return "no answer"
	}
	defer resp.Body.Close()
	var read bytes.Buffer
	if n := max(a.leave, a.cut); n > 0 {
		readEvents(resp.Body, n)
		if a.cut > 0 {
			up.CloseClientConnections()
			_, _ = io.Copy(io.Discard, resp.Body)
		}
		return fmt.Sprint(resp.StatusCode, " broken off")
	}
	_, err = io.Copy(&read, resp.Body)
	if strings.Contains(a.body, "cut=") { // what is left of it is a matter of who was faster
		return "broken off"
	}
	if err != nil {
		return fmt.Sprint(resp.StatusCode, " ", err)
	}
	return fmt.Sprint(resp.StatusCode, " ", resp.Header.Get("content-type"), " ", stable(read.String()))
}

// readEvents reads the first n events of a stream.
func readEvents(r io.Reader, n int) {
	var read []byte
	room := make([]byte, 4096)
	for bytes.Count(read, []byte("\n\n")) < n {
		got, err := r.Read(room)
		if read = append(read, room[:got]...); err != nil {
			return
		}
	}
}

// stable takes out of an answer what differs from one time to the next.
func stable(body string) string {
	var whole map[string]any
	if json.Unmarshal([]byte(body), &whole) == nil {
		delete(whole, "id")
		delete(whole, "created")
		raw, _ := json.Marshal(whole)
		return string(raw)
	}
	return fmt.Sprint(len(body), " bytes, ", strings.Count(body, `"usage":{`), " usages")
}

// run sends a worker's requests and returns what each came to.
func run(ctx context.Context, g *gateway, worker int, n int) []string {
	rng, all := rand.New(rand.NewPCG(7, uint64(worker))), kinds()
	model := fmt.Sprint("m", worker)
	outcomes := make([]string, n)
	for i := range n {
		a := all[rng.IntN(len(all))](rng, model)
		select { // of the last request
		case <-g.upstreams[worker].arrived:
		default:
		}
		answer := send(ctx, g.address, a, g.upstreams[worker])
		select {
		case used := <-g.ledger.ended[model]:
			outcomes[i] = fmt.Sprint(a.body, " -> ", answer, " used ", used)
		case <-time.After(10 * time.Second):
			outcomes[i] = fmt.Sprint(a.body, " -> ", answer, " is not settled after 10 s")
		}
	}
	return outcomes
}

// upstream is one worker's own, so that what it numbers is the same in both meterings.
type upstream struct {
	*httptest.Server
	arrived chan struct{} // has an element when a request has come
}

// startUpstreams returns a config with a provider for each worker: mocks, unless answer is given.
func startUpstreams(t *testing.T, answer http.HandlerFunc) (yaml string, all [workers]*upstream) {
	t.Helper()
	var b strings.Builder
	b.WriteString("router_settings: {disable_cooldowns: true, num_retries: 0}\nmodel_list:\n")
	for w := range workers {
		p := &upstream{arrived: make(chan struct{}, 1)}
		answers := http.Handler(mock.New(mock.Options{}))
		if answer != nil {
			answers = answer
		}
		p.Server = httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			select {
			case p.arrived <- struct{}{}:
			default:
			}
			answers.ServeHTTP(rw, r)
		}))
		t.Cleanup(func() {
			p.CloseClientConnections()
			p.Close()
		})
		all[w] = p
		fmt.Fprintf(&b, "  - {model_name: m%d, litellm_params: {model: openai/m%d, api_base: %q, api_key: k}, model_info: {id: m%d}}\n", w, w, p.URL+"/v1", w)
	}
	return b.String(), all
}

func TestBothMeteringsMakeTheSameLedgerWithARealEnvoy(t *testing.T) {
	needEnvoy(t)
	native, inband := startGateway(t, false), startGateway(t, true)
	each := *requests / workers
	var outcomes [2][workers][]string
	var wait sync.WaitGroup
	for i, g := range []*gateway{native, inband} {
		for w := range workers {
			wait.Go(func() { outcomes[i][w] = run(t.Context(), g, w, each) })
		}
	}
	wait.Wait()
	different := 0
	for w := range workers {
		for n := range each {
			if diff := cmp.Diff(outcomes[0][w][n], outcomes[1][w][n]); diff != "" {
				if different++; different <= 10 {
					t.Errorf("worker %d, request %d (-native +inband):\n%s", w, n, diff)
				}
			}
		}
	}
	if different > 0 {
		t.Errorf("%d of %d requests differ", different, each*workers)
	}
	for w := range workers {
		for i, g := range []*gateway{native, inband} {
			if left := len(g.ledger.ended[fmt.Sprint("m", w)]); left > 0 {
				t.Errorf("gateway %d, worker %d: %d settlements too many", i, w, left)
			}
		}
	}
	if len(native.ledger.held)+len(inband.ledger.held) > 0 {
		t.Errorf("%d and %d reservations are still held", len(native.ledger.held), len(inband.ledger.held))
	}
}
