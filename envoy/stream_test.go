package envoy_test

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	nestorv1 "github.com/nestor-gateway/nestor/proto/nestor/v1"
)

// event is a part of a stream, and whether the client of a stripped stream gets it.
type event struct {
	text string
	gone bool
}

// streams are what upstreams send. Each ends with a usage event to strip and a last event.
func streams() map[string][]event {
	const usage = `data: {"id":"1","choices":[],"usage":{"prompt_tokens":3,"completion_tokens":4,"total_tokens":7,` +
		`"prompt_tokens_details":{"cached_tokens":2},"completion_tokens_details":{"reasoning_tokens":1}}}`
	const spaced = `data: {"id":"1", "usage" : { "prompt_tokens":3, "completion_tokens":4, "total_tokens":7,` +
		`"prompt_tokens_details":{"cached_tokens":2},"completion_tokens_details":{"reasoning_tokens":1} }, "choices": [ ] }`
	const hello = `data: {"id":"1","choices":[{"delta":{"content":"hi"}}],"usage":null}`
	const tricky = `data: {"choices":[{"delta":{"content":"\"choices\":[],\"usage\":{\"a\":1}, \\"}}],"x":{"choices":[],"usage":{}}}`
	const nested = `data: {"x":{"choices":[],"usage":{"prompt_tokens":5}}}`
	const twoLines = "data: {\"id\":\"1\",\"choices\":[],\"usage\":{\"a\":1}}\rdata: {\"choices\":[{\"delta\":{}}]}"
	const twice = `data: {"id":"1","choices":[],"usage":{"a":1},"choices":[{"delta":{}}]}`
	const filtered = `data: {"choices":[],"prompt_filter_results":[{}],"usage":null}`
	const both = `data: {"choices":[{"delta":{"content":"!"}}],"usage":{"prompt_tokens":3,"completion_tokens":4,"total_tokens":7,` +
		`"prompt_tokens_details":{"cached_tokens":2},"completion_tokens_details":{"reasoning_tokens":1}}}`
	const broken = `data: {"choices":[],"usage":{"a":"unfinished`
	s := map[string][]event{}
	for name, end := range map[string]string{"LF": "\n\n", "CR LF": "\r\n\r\n", "CR": "\r\r"} {
		s[name] = []event{
			{text: hello + end}, {text: filtered + end}, {text: usage + end, gone: true}, {text: "data: [DONE]" + end},
		}
	}
	s["mixed line ends"] = []event{
		{text: hello + "\n\r\n"}, {text: ": ping\r\n\n"}, {text: tricky + "\r\r\n"}, {text: spaced + "\n\r", gone: true},
		{text: "event: x\ndata: [DONE]\n\n"},
	}
	s["text that looks like usage"] = []event{
		{text: tricky + "\n\n"}, {text: nested + "\n\n"}, {text: twoLines + "\n\n"}, {text: twice + "\n\n"},
		{text: both + "\n\n"}, {text: spaced + "\r\n\r\n", gone: true}, {text: "data: [DONE]\n\n"},
	}
	s["unfinished last event"] = []event{{text: hello + "\n\n"}, {text: usage + "\n\n", gone: true}, {text: broken}}
	s["data in two lines"] = []event{
		{text: strings.Replace(usage, `"choices":[],`, "\"choices\":[],\ndata:", 1) + "\n\n", gone: true}, {text: hello + "\n\n"},
	}
	// Longer than what the filter looks back for the end of an event.
	const last = `data: {"id":"1","usage":null,"choices":[{"delta":{"content":""},"finish_reason":"stop"}]}`
	s["large pieces"] = append(slices.Repeat([]event{{text: hello + "\n\n"}, {text: strings.Replace(last, `""`, `"words"`, 1) + "\n\n"}}, 8),
		event{text: filtered + "\n\n"}, event{text: last + "\n\n"}, event{text: usage + "\n\n", gone: true}, event{text: "data: [DONE]\n\n"})
	return s
}

func TestAStreamWithoutItsUsageEventIsWholeWhereverItIsCut(t *testing.T) {
	cuts := newCuts()
	up := upstream(t, "up", cuts.serve)
	g := startGateway(t, always("up", nestorv1.KeyStrip, "usage"), nil, up)
	for name, events := range streams() {
		t.Run(name, func(t *testing.T) {
			raw, _ := texts(events, -1)
			forEach(len(raw)-1, func(i int) {
				cut := i + 1
				whole, early := texts(events, cut)
				if err := cuts.read(g, whole, early, cut, stripped(events)); err != nil {
					t.Errorf("cut after %d bytes (%q): %v", cut, whole[:cut], err)
				}
			})
		})
	}
}

// texts returns a stream as it is sent, and what its client must have when the upstream has sent the first
// cut bytes: every event in them that is finished, but not those that are taken out.
func texts(events []event, cut int) (sent, early string) {
	for _, e := range events {
		sent += e.text
		if !e.gone && len(sent) <= cut {
			early += e.text
		}
	}
	return sent, early
}

func stripped(events []event) (kept string) {
	for _, e := range events {
		if !e.gone {
			kept += e.text
		}
	}
	return kept
}

func TestAStreamSentByteByByteIsWhole(t *testing.T) {
	events := streams()["mixed line ends"]
	raw, _ := texts(events, -1)
	up := upstream(t, "up", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("content-type", "text/event-stream")
		for i := range len(raw) {
			io.WriteString(w, raw[i:i+1])
			http.NewResponseController(w).Flush()
		}
	})
	g := startGateway(t, always("up", nestorv1.KeyStrip, "usage"), nil, up)
	for range 20 {
		_, body := g.send(t, http.MethodPost, "/v1/chat/completions", "{}")
		if diff := cmp.Diff(stripped(events), body); diff != "" {
			t.Fatalf("the stream (-want +got):\n%s", diff)
		}
	}
}

func TestAStreamKeepsItsUsageWhenTheClientAskedForIt(t *testing.T) {
	events := streams()["LF"]
	raw, _ := texts(events, -1)
	up := upstream(t, "up", eventStream(raw))
	g := startGateway(t, always("up"), nil, up)
	_, body := g.send(t, http.MethodPost, "/v1/chat/completions", "{}")
	if diff := cmp.Diff(raw, body); diff != "" {
		t.Errorf("the stream (-want +got):\n%s", diff)
	}
}

func TestAStreamWithContentLengthIsStripped(t *testing.T) {
	events := streams()["CR LF"]
	raw, _ := texts(events, -1)
	up := upstream(t, "up", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("content-length", strconv.Itoa(len(raw)))
		eventStream(raw)(w, r)
	})
	g := startGateway(t, always("up", nestorv1.KeyStrip, "usage"), nil, up)
	_, body := g.send(t, http.MethodPost, "/v1/chat/completions", "{}")
	if diff := cmp.Diff(stripped(events), body); diff != "" {
		t.Errorf("the stream (-want +got):\n%s", diff)
	}
}

func TestAnEventBeyondTheBoundPasses(t *testing.T) {
	long := `data: {"a":"` + strings.Repeat("x", 3<<20) + `","choices":[],"usage":{"prompt_tokens":5}}` + "\n\n"
	events := append([]event{{text: long}}, streams()["LF"]...)
	raw, _ := texts(events, -1)
	cuts := newCuts()
	g := startGateway(t, always("up", nestorv1.KeyStrip, "usage"), nil, upstream(t, "up", cuts.serve))
	const cut = 2 << 20
	if err := cuts.read(g, raw, long[:cut], cut, stripped(events)); err != nil {
		t.Error(err)
	}
}

// Many small events before a long one that may have usage are no reason to search a piece again after each.
func TestAStreamOfManyEventsIsNoWork(t *testing.T) {
	const lines = 4000
	block := strings.Repeat("\n\n", lines) + "data: " + strings.Repeat("a\n", lines) + `_tokens"` + strings.Repeat("a\n", lines) + "\n"
	raw := strings.Repeat(block, 120)
	up := upstream(t, "up", eventStream(raw))
	g := startGateway(t, always("up", nestorv1.KeyStrip, "usage"), nil, up)
	start := time.Now()
	_, body := g.send(t, http.MethodPost, "/v1/chat/completions", "{}")
	if took := time.Since(start); body != raw || took > 2*time.Second {
		t.Errorf("%d of %d bytes took %v", len(body), len(raw), took)
	}
}

func eventStream(raw string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("content-type", "text/event-stream; charset=utf-8")
		io.WriteString(w, raw)
	}
}

// forEach runs f for 0 to n-1, eight at a time.
func forEach(n int, f func(int)) {
	var wait sync.WaitGroup
	next := make(chan int)
	for range 8 {
		wait.Go(func() {
			for i := range next {
				f(i)
			}
		})
	}
	for i := range n {
		next <- i
	}
	close(next)
	wait.Wait()
}

// cuts is an upstream that sends a stream in two pieces, the second when it is told to.
type cuts struct {
	mu      sync.Mutex
	streams map[string]*cutStream
	next    int
}

type cutStream struct {
	whole string
	cut   int
	goOn  chan struct{}
}

func newCuts() *cuts { return &cuts{streams: map[string]*cutStream{}} }

// read asks for a stream that is cut, and compares it before the second piece and at its end.
func (c *cuts) read(g *gateway, whole, early string, cut int, want string) error {
	s := &cutStream{whole: whole, cut: cut, goOn: make(chan struct{})}
	c.mu.Lock()
	c.next++
	path := fmt.Sprint("/v1/chat/completions/", c.next)
	c.streams[path] = s
	c.mu.Unlock()
	client := http.Client{Timeout: 5 * time.Second} // where something is held back, or lost
	resp, err := client.Post(g.url(path), "application/json", strings.NewReader("{}"))
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	first := make([]byte, len(early))
	if _, err := io.ReadFull(resp.Body, first); err != nil {
		return err
	}
	close(s.goOn)
	rest, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if got := string(append(first, rest...)); got != want {
		return fmt.Errorf("(-want +got):\n%.2000s", cmp.Diff(want, got))
	}
	return nil
}

func (c *cuts) serve(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	s := c.streams[r.URL.Path]
	c.mu.Unlock()
	w.Header().Set("content-type", "text/event-stream")
	io.WriteString(w, s.whole[:s.cut])
	http.NewResponseController(w).Flush()
	select {
	case <-s.goOn:
	case <-r.Context().Done():
		return
	}
	io.WriteString(w, s.whole[s.cut:])
}
