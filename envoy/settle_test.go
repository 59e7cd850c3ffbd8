package envoy_test

import (
	"context"
	"io"
	"maps"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	nestorv1 "github.com/nestor-gateway/nestor/proto/nestor/v1"
)

// An entry of an attempt whose client left has all that is needed to settle it.
func TestAClientThatLeavesIsInTheAccessLogAtEveryStage(t *testing.T) {
	type stage struct {
		path, decision, request, attempt string
		status                           uint32
		body                             bool // some of the answer was sent
	}
	const chat = "/v1/chat/completions"
	begun := func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		w.Header().Set("content-type", "text/event-stream")
		io.WriteString(w, "data: {\"usage\":{\"total_tokens\":5}}\n\n")
		http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}
	for name, c := range map[string]struct {
		hang bool
		up   http.HandlerFunc
		want stage
	}{
		"while it is decided": {true, silent, stage{path: chat, request: "its id", attempt: "1"}},
		"before the headers":  {false, silent, stage{path: "/sent", decision: "ZGVj"}},
		"amid a stream":       {false, begun, stage{path: "/sent", decision: "ZGVj", status: 200, body: true}},
	} {
		t.Run(name, func(t *testing.T) {
			reached := make(chan struct{}, 1)
			up := upstream(t, "up", func(w http.ResponseWriter, r *http.Request) {
				reached <- struct{}{}
				c.up(w, r)
			})
			g := startGateway(t, func(map[string]string) decision {
				if c.hang {
					reached <- struct{}{}
				}
				return decision{upstream: "up", hang: c.hang, headers: map[string]string{":path": "/sent"},
					metadata: map[string]string{nestorv1.KeyDecision: "ZGVj"}}
			}, nil, up)
			ctx, leave := context.WithCancel(t.Context())
			defer leave()
			gone := make(chan struct{})
			go func() {
				defer close(gone)
				r, _ := http.NewRequestWithContext(ctx, http.MethodPost, g.url(chat), strings.NewReader("{}"))
				resp, err := http.DefaultTransport.RoundTrip(r)
				if err != nil {
					return
				}
				resp.Body.Read(make([]byte, 1))
				leave()
				resp.Body.Close()
			}()
			<-reached
			if !c.want.body {
				leave()
			}
			<-gone
			e := g.entry(t)
			if seen := g.process.seen()[0][nestorv1.HeaderRequest]; c.want.request != "" {
				c.want.request = seen
			}
			got := stage{
				path:    e.GetRequest().GetPath(),
				request: e.GetRequest().GetRequestHeaders()[nestorv1.HeaderRequest],
				attempt: e.GetRequest().GetRequestHeaders()[nestorv1.HeaderAttempt],
				status:  e.GetResponse().GetResponseCode().GetValue(),
				body:    e.GetResponse().GetResponseBodyBytes() > 0,
			}
			if d, ok := e.GetCommonProperties().GetMetadata().GetFilterMetadata()[nestorv1.Namespace].AsMap()[nestorv1.KeyDecision].(string); ok {
				got.decision = d
			}
			if diff := cmp.Diff(c.want, got, cmp.AllowUnexported(stage{})); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if f := e.GetCommonProperties().GetResponseFlags(); !f.GetDownstreamRemoteReset() && !f.GetDownstreamConnectionTermination() {
				t.Errorf("the entry does not say that the client left: %v", f)
			}
		})
	}
}

func TestAnAnswerSaysHowTheLimitsStand(t *testing.T) {
	up := upstream(t, "up", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("x-ratelimit-remaining-requests", "1")
		w.Header().Set("x-ratelimit-reset-tokens", "20ms")
		w.Header().Set("retry-after", "7")
		if r.URL.Path != "/v1/chat/completions" {
			w.WriteHeader(http.StatusTooManyRequests)
		}
		io.WriteString(w, "{}")
	})
	g := startGateway(t, always("up",
		nestorv1.KeyLimitRequests, "30", nestorv1.KeyRemainingRequests, "29", nestorv1.KeyResetRequests, "1m0s",
		nestorv1.KeyRemainingTokens, "0"), nil, up, upstreamAt(t, "dead", "http://127.0.0.1:9"))
	own := http.Header{
		"X-Ratelimit-Limit-Requests": {"30"}, "X-Ratelimit-Remaining-Requests": {"29"}, "X-Ratelimit-Reset-Requests": {"1m0s"},
		"X-Ratelimit-Remaining-Tokens":                {"0"},
		"Llm_provider-X-Ratelimit-Remaining-Requests": {"1"}, "Llm_provider-X-Ratelimit-Reset-Tokens": {"20ms"},
	}
	for path, status := range map[string]int{"/v1/chat/completions": http.StatusOK, "/v1/other": http.StatusTooManyRequests} {
		resp, _ := g.send(t, http.MethodPost, path, "{}")
		if resp.StatusCode != status {
			t.Errorf("%s: status %d", path, resp.StatusCode)
		}
		if diff := cmp.Diff(own, limitHeaders(resp.Header)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", path, diff)
		}
	}
	shown := map[string]string{}
	for name, value := range g.process.answersSeen()[0] {
		if strings.Contains(name, "ratelimit") || name == "retry-after" {
			shown[name] = value
		}
	}
	if diff := cmp.Diff(map[string]string{
		"retry-after": "7", "llm_provider-x-ratelimit-remaining-requests": "1", "llm_provider-x-ratelimit-reset-tokens": "20ms",
		"x-ratelimit-limit-requests": "30", "x-ratelimit-remaining-requests": "29", "x-ratelimit-reset-requests": "1m0s",
		"x-ratelimit-remaining-tokens": "0",
	}, shown); diff != "" {
		t.Errorf("the failure exchange is shown (-want +got):\n%s", diff)
	}
}

func limitHeaders(h http.Header) http.Header {
	h = h.Clone()
	maps.DeleteFunc(h, func(name string, _ []string) bool { return !strings.Contains(name, "Ratelimit") })
	return h
}
