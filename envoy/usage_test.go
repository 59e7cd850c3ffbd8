package envoy_test

import (
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	nestorv1 "github.com/nestor-gateway/nestor/proto/nestor/v1"
)

func TestTheAccessLogHasTheUsageOfEveryKindOfAnswer(t *testing.T) {
	const usage = `"usage":{"prompt_tokens":3,"completion_tokens":4,"total_tokens":7,"prompt_tokens_details":{"cached_tokens":2},` +
		`"completion_tokens_details":{"reasoning_tokens":1}}`
	all := map[string]any{"prompt_tokens": 3.0, "completion_tokens": 4.0, "total_tokens": 7.0, "cached_tokens": 2.0, "reasoning_tokens": 1.0}
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
		"embeddings of Azure": {"/openai/deployments/m/embeddings?api-version=1", "application/json", embeddings(usage), all},
		"embeddings without":  {"/embeddings", "application/json", embeddings(`"a":1`), nil},
		"stream":              {"/v1/chat/completions", "text/event-stream", "data: {\"choices\":[]," + usage + "}\n\ndata: [DONE]\n\n", all},
		"stream with usage in each event": {"/v1/chat/completions", "text/event-stream; charset=utf-8",
			"data: {\"usage\":{\"total_tokens\":1}}\r\n\r\ndata: {" + usage + "}\r\n\r\ndata: [DONE]\r\n\r\n", all},
		"stream with a large event": {"/v1/chat/completions", "text/event-stream",
			"data: {\"a\":\"" + strings.Repeat("x", 100<<10) + "\"," + usage + "}\n\n", all},
		"no JSON": {"/v1/chat/completions", "application/json", "sorry", nil},
		"empty":   {"/v1/chat/completions", "application/json", "", nil},
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
			eventually(t, "an entry in the access log", func() bool { return len(g.process.logged()) == 1 })
			metadata := g.process.logged()[0].GetCommonProperties().GetMetadata().GetFilterMetadata()
			var got map[string]any
			if m := metadata[nestorv1.UsageNamespace]; m != nil {
				got = m.AsMap()
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("usage (-want +got):\n%s", diff)
			}
			if d := metadata[nestorv1.Namespace].AsMap()[nestorv1.KeyDecision]; d != "ZGVj" {
				t.Errorf("decision %v", d)
			}
		})
	}
}

func TestACompressedAnswerPassesAsItIs(t *testing.T) {
	var packed strings.Builder
	z := gzip.NewWriter(&packed)
	fmt.Fprint(z, "data: {\"choices\":[],\"usage\":{}}\n\n")
	z.Close()
	up := upstream(t, "up", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("content-type", "text/event-stream")
		w.Header().Set("content-encoding", "gzip")
		io.WriteString(w, packed.String())
	})
	g := startGateway(t, always("up", nestorv1.KeyStrip, "usage"), nil, up)
	if _, body := g.send(t, http.MethodPost, "/v1/chat/completions", "{}", "accept-encoding", "gzip"); body != packed.String() {
		t.Errorf("got %q", body)
	}
}
