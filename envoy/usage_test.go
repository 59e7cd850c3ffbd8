package envoy_test

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/types/known/structpb"

	nestorv1 "github.com/nestor-gateway/nestor/proto/nestor/v1"
)

func TestTheAccessLogHasTheUsageOfEveryKindOfAnswer(t *testing.T) {
	const usage = `"usage":{"prompt_tokens":3,"completion_tokens":4,"total_tokens":7,"prompt_tokens_details":{"cached_tokens":2},` +
		`"completion_tokens_details":{"reasoning_tokens":1}}`
	all := map[string]any{"prompt_tokens": 3.0, "completion_tokens": 4.0, "total_tokens": 7.0, "cached_tokens": 2.0, "reasoning_tokens": 1.0}
	written := map[string]any{"prompt_tokens": 5.0, "cache_creation_tokens": 3.0}
	embeddings := func(usage string) string {
		return `{"object":"list","data":[` + strings.Repeat(`{"embedding":[0.25,0.5]},`, 1<<17) + `{}],"model":"m",` + usage + `}`
	}
	for name, c := range map[string]struct {
		path, kind, body string
		want             map[string]any
	}{
		"JSON":                 {"/v1/chat/completions", "application/json", `{"choices":[],` + usage + `}`, all},
		"JSON with parameters": {"/v1/chat/completions", "application/json; charset=utf-8", `{` + usage + `}`, all},
		"embeddings": {"/v1/embeddings", "application/json", embeddings(`"usage": {"prompt_tokens": 8, "total_tokens": 8}`),
			map[string]any{"prompt_tokens": 8.0, "total_tokens": 8.0}},
		"embeddings with usage elsewhere": {"/v1/embeddings", "application/json", embeddings(usage + `,"meta":{"usage":{"prompt_tokens":9}}`), all},
		"embeddings of Azure":             {"/openai/deployments/m/embeddings?api-version=1", "application/json", embeddings(usage), all},
		"embeddings without":              {"/embeddings", "application/json", embeddings(`"a":1`), nil},
		"stream":                          {"/v1/chat/completions", "text/event-stream", "data: {\"choices\":[]," + usage + "}\n\ndata: [DONE]\n\n", all},
		"stream with usage in each event": {"/v1/chat/completions", "text/event-stream; charset=utf-8",
			"data: {\"usage\":{\"total_tokens\":1}}\r\n\r\ndata: {" + usage + "}\r\n\r\ndata: [DONE]\r\n\r\n", all},
		"stream with a large event": {"/v1/chat/completions", "text/event-stream",
			"data: {\"a\":\"" + strings.Repeat("x", 100<<10) + "\"," + usage + "}\n\n", all},
		"JSON with tokens that a cache took in": {"/v1/chat/completions", "application/json",
			`{"usage":{"prompt_tokens":5,"prompt_tokens_details":{"cache_write_tokens":3}}}`, written},
		"JSON with those by Anthropic's name": {"/v1/chat/completions", "application/json",
			`{"usage":{"prompt_tokens":5,"cache_creation_input_tokens":3}}`, written},
		"embeddings with them": {"/v1/embeddings", "application/json", `{"usage":{"prompt_tokens":5,"cache_creation_input_tokens":3}}`, written},
		"no JSON":              {"/v1/chat/completions", "application/json", "sorry", nil},
		"empty":                {"/v1/chat/completions", "application/json", "", nil},
	} {
		t.Run(name, func(t *testing.T) {
			up := upstream(t, "up", func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("content-type", c.kind)
				io.WriteString(w, c.body)
			})
			g := startGateway(t, always("up", nestorv1.KeyDecision, "ZGVj"), nil, up)
			if _, body := g.send(t, http.MethodPost, c.path, "{}"); body != c.body {
				t.Errorf("the answer has changed: got %d bytes, want %d", len(body), len(c.body))
			}
			metadata := g.entry(t).GetCommonProperties().GetMetadata().GetFilterMetadata()
			got := tokens(metadata)
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("usage (-want +got):\n%s", diff)
			}
			if d := metadata[nestorv1.Namespace].AsMap()[nestorv1.KeyDecision]; d != "ZGVj" {
				t.Errorf("decision %v", d)
			}
		})
	}
}

func TestAStrippedStreamTellsOfTokensThatACacheTookIn(t *testing.T) {
	for name, usage := range map[string]string{
		"OpenRouter's name": `{"prompt_tokens":5,"prompt_tokens_details":{"cache_write_tokens":3}}`,
		"Anthropic's name":  `{"prompt_tokens":5,"cache_creation_input_tokens": 3}`,
	} {
		t.Run(name, func(t *testing.T) {
			up := upstream(t, "up", eventStream("data: {\"choices\":[],\"usage\":"+usage+"}\n\ndata: [DONE]\n\n"))
			g := startGateway(t, always("up", nestorv1.KeyStrip, "usage"), nil, up)
			if _, body := g.send(t, http.MethodPost, "/v1/chat/completions", "{}"); body != "data: [DONE]\n\n" {
				t.Errorf("got %q", body)
			}
			want := map[string]any{"prompt_tokens": 5.0, "cache_creation_tokens": 3.0}
			if diff := cmp.Diff(want, tokens(g.entry(t).GetCommonProperties().GetMetadata().GetFilterMetadata())); diff != "" {
				t.Errorf("usage (-want +got):\n%s", diff)
			}
		})
	}
}

// tokens are the counts that were read from an answer; nil when there are none.
func tokens(metadata map[string]*structpb.Struct) map[string]any {
	m := metadata[nestorv1.UsageNamespace].AsMap()
	delete(m, nestorv1.KeyFirstEvent)
	if len(m) == 0 {
		return nil
	}
	return m
}

func TestTheAccessLogSaysWhenAStreamBegan(t *testing.T) {
	const pause = 60 * time.Millisecond
	up := upstream(t, "up", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("content-type", "text/event-stream")
		http.NewResponseController(w).Flush()
		for range 2 {
			time.Sleep(pause) // an upstream that thinks
			io.WriteString(w, "data: {}\n\n")
			http.NewResponseController(w).Flush()
		}
	})
	for name, metadata := range map[string][]string{"as it is": nil, "stripped": {nestorv1.KeyStrip, "usage"}} {
		t.Run(name, func(t *testing.T) {
			g := startGateway(t, always("up", metadata...), nil, up)
			g.send(t, http.MethodPost, "/v1/chat/completions", "{}")
			e := g.entry(t).GetCommonProperties()
			usage := e.GetMetadata().GetFilterMetadata()[nestorv1.UsageNamespace].AsMap()
			at, ok := usage[nestorv1.KeyFirstEvent].(float64)
			if !ok {
				t.Fatalf("no %s in %v", nestorv1.KeyFirstEvent, usage)
			}
			first := time.UnixMilli(int64(at)).Sub(e.GetStartTime().AsTime())
			headers, whole := e.GetTimeToFirstUpstreamRxByte().AsDuration(), e.GetTimeToLastDownstreamTxByte().AsDuration()
			// Both clocks are cut to milliseconds.
			if first < headers+pause-2*time.Millisecond || first > whole-pause+2*time.Millisecond {
				t.Errorf("the first event came after %v; the headers after %v, the end after %v", first, headers, whole)
			}
		})
	}
}

// entry waits for the first entry of the access log.
func (g *gateway) entry(t *testing.T) *logEntry {
	t.Helper()
	eventually(t, "an entry in the access log", func() bool { return len(g.process.logged()) > 0 })
	return g.process.logged()[0]
}
