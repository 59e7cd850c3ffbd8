package envoy_test

import (
	"bytes"
	"compress/gzip"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	nestorv1 "github.com/nestor-gateway/nestor/proto/nestor/v1"
)

func zip(t *testing.T, text string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := z.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// packedUpstream answers with a compressed body.
func packedUpstream(t *testing.T, status int, kind, coding string, body []byte) *gateway {
	t.Helper()
	up := upstream(t, "up", func(w http.ResponseWriter, r *http.Request) {
		if asked := r.Header.Get("accept-encoding"); asked != "identity" {
			t.Errorf("the upstream was asked for %q", asked)
		}
		w.Header().Set("content-type", kind)
		w.Header().Set("content-encoding", coding)
		w.Header().Set("cache-control", "no-transform")
		w.WriteHeader(status)
		w.Write(body)
	})
	decide := func(map[string]string) decision {
		return decision{upstream: "up", headers: map[string]string{"accept-encoding": "identity"},
			metadata: map[string]string{nestorv1.KeyStrip: "usage"}}
	}
	return startGateway(t, decide, nil, up)
}

func TestAStreamThatIsCompressedInSpiteOfAllIsCountedAndStripped(t *testing.T) {
	const hello, usage, done = "data: {\"choices\":[{\"delta\":{\"content\":\"hi\"}}]}\n\n",
		"data: {\"choices\":[],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":4,\"total_tokens\":7}}\n\n", "data: [DONE]\n\n"
	g := packedUpstream(t, http.StatusOK, "text/event-stream", "gzip", zip(t, hello+usage+done))
	resp, got := g.send(t, http.MethodPost, "/v1/chat/completions", "{}", "accept-encoding", "gzip")
	if got != hello+done || resp.Header.Get("content-encoding") != "" {
		t.Errorf("got %q in %q, want %q", got, resp.Header.Get("content-encoding"), hello+done)
	}
	want := map[string]any{"prompt_tokens": 3.0, "completion_tokens": 4.0, "total_tokens": 7.0}
	entry := g.entry(t)
	if diff := cmp.Diff(want, tokens(entry.GetCommonProperties().GetMetadata().GetFilterMetadata())); diff != "" {
		t.Errorf("usage (-want +got):\n%s", diff)
	}
	if logged := entry.GetResponse().GetResponseHeaders()[nestorv1.HeaderCoding]; logged != "" {
		t.Errorf("the entry tells %q of an answer that was unpacked", logged)
	}
}

func TestACompressedAnswerIsCounted(t *testing.T) {
	// As dense as gzip gets.
	text := `{"choices":[{"message":{"content":"` + strings.Repeat("a", 2_000_000) + `"}}],"usage":{"total_tokens":7}}`
	for _, path := range []string{"/v1/chat/completions", "/v1/embeddings"} {
		g := packedUpstream(t, http.StatusOK, "application/json", "gzip", zip(t, text))
		resp, got := g.send(t, http.MethodPost, path, "{}")
		if got != text || resp.Header.Get("content-encoding") != "" {
			t.Errorf("%s: got %d bytes in %q, want %d", path, len(got), resp.Header.Get("content-encoding"), len(text))
		}
		if diff := cmp.Diff(map[string]any{"total_tokens": 7.0}, tokens(g.entry(t).GetCommonProperties().GetMetadata().GetFilterMetadata())); diff != "" {
			t.Errorf("%s: usage (-want +got):\n%s", path, diff)
		}
		for name := range resp.Trailer {
			t.Errorf("%s: the client gets the trailer %s", path, name)
		}
	}
}

func TestACompressedErrorPassesTheProcessor(t *testing.T) {
	for _, size := range []int{1, 5_000} {
		text := strings.Repeat("too long ", size)
		packed := zip(t, text)
		g := packedUpstream(t, http.StatusBadRequest, "application/json", "gzip", packed)
		resp, got := g.send(t, http.MethodPost, "/v1/chat/completions", "{}")
		if got != text || resp.StatusCode != http.StatusBadRequest || resp.Header.Get("content-encoding") != "" {
			t.Errorf("status %d with %d bytes in %q", resp.StatusCode, len(got), resp.Header.Get("content-encoding"))
		}
		if seen := g.process.failuresSeen(); len(seen) != 1 || seen[0].body != string(packed) {
			t.Errorf("the processor saw %+v", seen)
		}
	}
}

func TestACodingThatIsNotReadPassesAsItIs(t *testing.T) {
	for _, coding := range []string{"br", "zstd", "deflate"} {
		g := packedUpstream(t, http.StatusOK, "text/event-stream", coding, []byte("anything"))
		resp, got := g.send(t, http.MethodPost, "/v1/chat/completions", "{}", "accept-encoding", coding)
		if got != "anything" || resp.Header.Get("content-encoding") != coding {
			t.Errorf("%s: got %q in %q", coding, got, resp.Header.Get("content-encoding"))
		}
		if logged := g.entry(t).GetResponse().GetResponseHeaders()[nestorv1.HeaderCoding]; logged != coding {
			t.Errorf("%s: the entry tells %q", coding, logged)
		}
	}
}

// An answer that is no gzip must end, however it ends.
func TestABrokenCompressionHangsNobody(t *testing.T) {
	for _, kind := range []string{"application/json", "text/event-stream"} {
		whole := zip(t, `{"a":"`+strings.Repeat("abc", 100)+`"}`)
		for name, body := range map[string][]byte{"not gzip": []byte("{}"), "empty": nil, "cut": whole[:len(whole)/2]} {
			g := packedUpstream(t, http.StatusOK, kind, "gzip", body)
			if resp, _ := g.send(t, http.MethodPost, "/v1/chat/completions", "{}"); resp.StatusCode != http.StatusOK {
				t.Errorf("%s, %s: status %d", kind, name, resp.StatusCode)
			}
		}
	}
}
