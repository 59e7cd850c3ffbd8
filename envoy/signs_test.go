package envoy_test

import (
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	datav3 "github.com/envoyproxy/go-control-plane/envoy/data/accesslog/v3"

	"github.com/nestor-gateway/nestor/envoy"
	nestorv1 "github.com/nestor-gateway/nestor/proto/nestor/v1"
)

// An attempt gives signs of life in each of its phases, with its Decision as soon as there is one, and none once
// it has ended. (It gives none either while only the client has not yet read what the upstream has sent whole.)
func TestAnAttemptGivesSignsOfLifeUntilItEnds(t *testing.T) {
	begin := func(w http.ResponseWriter, status int, text string) {
		w.Header().Set("content-type", "text/event-stream")
		w.WriteHeader(status)
		io.WriteString(w, text)
		http.NewResponseController(w).Flush()
	}
	for name, c := range map[string]struct {
		deciding bool // the phase is that of the decision
		reading  bool // the phase is that in which the client does not read
		answer   func(w http.ResponseWriter, wait func())
	}{
		"while it is decided": {deciding: true, answer: func(http.ResponseWriter, func()) {}},
		"before the headers":  {answer: func(_ http.ResponseWriter, wait func()) { wait() }},
		"before the body": {answer: func(w http.ResponseWriter, wait func()) {
			begin(w, http.StatusOK, "")
			wait()
		}},
		"amid a stream": {answer: func(w http.ResponseWriter, wait func()) {
			begin(w, http.StatusOK, "data: {\"usage\":{\"total_tokens\":5}}\n\n")
			wait()
		}},
		"amid a failure": {answer: func(w http.ResponseWriter, wait func()) {
			begin(w, http.StatusInternalServerError, "")
			wait()
		}},
		"while nobody reads it": {reading: true, answer: func(w http.ResponseWriter, _ func()) {
			// More than any buffer on the way has room for.
			begin(w, http.StatusOK, strings.Repeat("data: "+strings.Repeat("x", 1<<20)+"\n\n", 80))
		}},
	} {
		t.Run(name, func(t *testing.T) {
			goOn := make(chan struct{})
			wait := func() { <-goOn }
			up := upstream(t, "up", func(w http.ResponseWriter, r *http.Request) {
				io.Copy(io.Discard, r.Body)
				c.answer(w, wait)
			})
			g := startGateway(t, func(h map[string]string) decision {
				if c.deciding {
					wait()
				}
				return always("up", nestorv1.KeyDecision, h[nestorv1.HeaderRequest])(h)
			}, func(o *envoy.Options) { o.Signs = 50 * time.Millisecond }, up)
			answered := make(chan struct{})
			go func() {
				defer close(answered)
				resp, err := http.Post(g.url("/v1/chat/completions"), "application/json", strings.NewReader("{}"))
				if err != nil {
					t.Error(err)
					return
				}
				defer resp.Body.Close()
				if c.reading {
					wait()
				}
				io.Copy(io.Discard, resp.Body)
			}()
			signs := func() []*logEntry {
				all := g.process.logged()
				for !c.deciding && len(all) > 0 && decisionIn(all[0]) == nil {
					all = all[1:] // the decision took longer than the first sign of life
				}
				return all
			}
			eventually(t, "signs of life", func() bool { return len(signs()) >= 5 })
			for _, e := range signs() {
				g.isSign(t, e, !c.deciding)
			}
			close(goOn)
			<-answered
			g.endsOnce(t)
		})
	}
}

// Signs that pile up while nobody reads them are dropped; ends are not.
func TestSignsOfLifeTakeNoRoomFromEnds(t *testing.T) {
	release := make(chan struct{})
	var waiting atomic.Int32
	up := upstream(t, "up", func(http.ResponseWriter, *http.Request) {
		waiting.Add(1)
		<-release
	})
	d := always("up", nestorv1.KeyDecision, strings.Repeat("ZGVj", 1000))
	g := startGateway(t, d, func(o *envoy.Options) { o.Signs = time.Millisecond }, up)
	const n = 20
	var wait sync.WaitGroup
	for range n {
		wait.Go(func() { g.send(t, http.MethodPost, "/v1/chat/completions", "{}") })
	}
	eventually(t, "all are at the upstream", func() bool { return waiting.Load() == n })
	g.grpc.Stop()
	eventually(t, "the room for signs is full", func() bool { return g.stat(t, "access_logs.grpc_access_log.logs_dropped") > "0" })
	close(release)
	wait.Wait()
	again := &processor{decide: d}
	serveGRPC(t, g.options.Processors[0], again.register)
	eventually(t, "every end", func() bool { return again.ends() == n })
}

// ends counts the entries of attempts that have ended.
func (p *processor) ends() (n int) {
	for _, e := range p.logged() {
		if e.GetCommonProperties().GetAccessLogType() == datav3.AccessLogType_DownstreamEnd {
			n++
		}
	}
	return n
}

// isSign checks an entry of an attempt in flight.
func (g *gateway) isSign(t *testing.T, e *logEntry, decided bool) {
	t.Helper()
	got, want := decisionIn(e), any(nil)
	if decided {
		want = g.process.seen()[0][nestorv1.HeaderRequest]
	}
	if kind := e.GetCommonProperties().GetAccessLogType(); kind != datav3.AccessLogType_DownstreamPeriodic || got != want {
		t.Errorf("%v with decision %v, want a sign of life with %v", kind, got, want)
	}
}

// decisionIn is nil where an entry has no Decision.
func decisionIn(e *logEntry) any {
	return e.GetCommonProperties().GetMetadata().GetFilterMetadata()[nestorv1.Namespace].AsMap()[nestorv1.KeyDecision]
}

// endsOnce wants one entry of the end, and no sign after those that were on their way.
func (g *gateway) endsOnce(t *testing.T) {
	t.Helper()
	eventually(t, "the entry of the end", func() bool { return g.process.ends() > 0 })
	quiet := 4*g.options.Signs + 200*time.Millisecond // as long as signs may wait, which have a log of their own
	<-time.After(quiet)
	until := len(g.process.logged())
	<-time.After(quiet)
	if more := len(g.process.logged()) - until; more > 0 || g.process.ends() != 1 {
		t.Errorf("%d entries after the end", more)
	}
}
