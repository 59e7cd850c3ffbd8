package extproc

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	"github.com/google/go-cmp/cmp"

	nestorv1 "github.com/nestor-gateway/nestor/proto/nestor/v1"
	"github.com/nestor-gateway/nestor/ratelimit"
)

// inBand is a fixture that reads answers itself.
func inBand(t testing.TB, yaml string) (*Server, *ledger) {
	t.Helper()
	s, l := limited(t, yaml)
	s.Inband = true
	return s, l
}

// answerHeaders is the third message of an exchange that goes on.
func answerHeaders(t *testing.T, h how, end bool, more map[string]string) *extprocv3.ProcessingRequest {
	m := failureOf(nil, fmt.Sprint(h.status), end, more)
	m.Attributes = codeDetails(t, h.details)
	return m
}

func answerPiece(body string, end bool) *extprocv3.ProcessingRequest {
	m := responseBody(body)
	m.GetResponseBody().EndOfStream = end
	return m
}

// answerOf is the messages of an answer that ends as said, with a body of that many bytes.
func answerOf(t *testing.T, stream bool, h how) []*extprocv3.ProcessingRequest {
	t.Helper()
	if h.status == 0 {
		return nil
	}
	cut := h.abort || strings.HasPrefix(h.details, "upstream_reset_after")
	body, kind := `{"choices":[{}]}`, "application/json"
	if stream {
		body, kind = "data: {\"choices\":[{}]}\n\n", "text/event-stream"
	}
	if h.usage != nil {
		usage, err := json.Marshal(map[string]any{"choices": []any{}, "usage": h.usage})
		if err != nil {
			t.Fatal(err)
		}
		if body = string(usage); stream {
			body = "data: " + body + "\n\n"
		}
	}
	if h.sent > 0 {
		body += strings.Repeat("\n", int(h.sent)-len(body))
	}
	return []*extprocv3.ProcessingRequest{
		answerHeaders(t, h, false, map[string]string{"content-type": kind, "content-encoding": h.coding}),
		answerPiece(body[:len(body)/2], false), answerPiece(body[len(body)/2:], !cut),
	}
}

// play runs an exchange in band.
func play(t *testing.T, s *Server, headers map[string]string, body string, answer ...*extprocv3.ProcessingRequest) *wire {
	t.Helper()
	return exchange(t, s, append([]*extprocv3.ProcessingRequest{requestHeaders(headers), requestBody(body)}, answer...)...)
}

// inBandEndings are those that a filter can tell.
func inBandEndings() []string {
	all := endings()
	return slices.DeleteFunc(slices.Sorted(maps.Keys(all)), func(name string) bool {
		return all[name].how.unsent || name == "failure that is tried again"
	})
}

func TestAnAnswerReadInBandIsSettledAsByTheAccessLog(t *testing.T) {
	all := endings()
	for _, name := range inBandEndings() {
		t.Run(name, func(t *testing.T) {
			c := all[name]
			s, l := inBand(t, oneDeployment)
			w := play(t, s, nil, c.body, answerOf(t, strings.Contains(c.body, `"stream":true`), c.how)...)
			if len(w.send) != 0 {
				t.Errorf("%d messages were left", len(w.send))
			}
			if got := l.used(t, leaf); got != c.want || !l.onceEach() {
				t.Errorf("used %v, want %v", got, c.want)
			}
		})
	}
}

// The same requests with the same answers, told by filters and the access log, and read in band. What is learned
// on the way is the same too.
func TestBothMeteringsMakeTheSameLedger(t *testing.T) {
	native, nativeLedger := limited(t, oneDeployment)
	band, bandLedger := inBand(t, oneDeployment)
	all, names, rng := endings(), inBandEndings(), rand.New(rand.NewPCG(1, 2))
	const n = 10_000
	for i := range n {
		c := all[names[rng.IntN(len(names))]]
		if c.how.usage != nil {
			c.how.usage = tokens(rng.IntN(5000), rng.IntN(5000))
		}
		if c.how.sent > 0 {
			c.how.sent += uint64(rng.IntN(10_000))
		}
		stream := strings.Contains(c.body, `"stream":true`)
		answer := answerOf(t, stream, c.how)
		c.how.sent = 0
		for _, m := range answer {
			c.how.sent += uint64(len(m.GetResponseBody().GetBody()))
		}
		body := strings.Replace(c.body, `"messages":[]`, fmt.Sprintf(`"messages":[],"user":"%s"`, strings.Repeat("x", rng.IntN(2000))), 1)
		if stream { // the client asks for usage, so that nothing is taken out
			body = strings.Replace(body, `"stream":true`, `"stream":true,"stream_options":{"include_usage":true}`, 1)
		}
		headers := map[string]string{"x-nestor-request": fmt.Sprint(i)}
		a := begin(t, native, headers, body)
		if c.how.status >= 300 {
			a.failed(t, native, c.how, nil)
		}
		a.ended(t, native, c.how)
		play(t, band, headers, body, answer...)
		if want, got := nativeLedger.used(t, leaf), bandLedger.used(t, leaf); want != got {
			t.Fatalf("request %d, %+v: used %v in band, want %v", i, c.how, got, want)
		}
	}
	if used := bandLedger.used(t, leaf); used[ratelimit.Requests] < n/2 || used[ratelimit.Tokens] < n || used[ratelimit.Parallel] != 0 {
		t.Errorf("used %v", used)
	}
}

// passed is what the client gets of a body: each piece, or what is in its place.
func passed(w *wire, pieces ...string) string {
	var all strings.Builder
	replies := w.replies[len(w.replies)-len(pieces):]
	for i, r := range replies {
		if m := r.GetResponseBody().GetResponse().GetBodyMutation(); m != nil {
			all.Write(m.GetBody())
		} else {
			all.WriteString(pieces[i])
		}
	}
	return all.String()
}

func TestTheUsageEventIsTakenOutInBandWhereTheClientDidNotAskForIt(t *testing.T) {
	const hello, last = "data: {\"choices\":[{\"delta\":{\"content\":\"hi\"}}]}\r\n\r\n", "data: [DONE]\r\n\r\n"
	usage := "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":4,\"total_tokens\":7}}\r\n\r\n"
	raw := hello + usage + last
	for _, c := range []struct{ options, want string }{
		{"", hello + last},
		{`,"stream_options":{"include_usage":false}`, hello + last},
		{`,"stream_options":{"include_usage":true}`, raw},
	} {
		for cut := range len(raw) + 1 {
			s, l := inBand(t, oneDeployment)
			pieces := []string{raw[:cut], raw[cut:], ""}
			w := play(t, s, nil, `{"model":"fast","messages":[],"stream":true`+c.options+`}`,
				answerHeaders(t, how{status: 200}, false, map[string]string{"content-type": "text/event-stream; charset=utf-8", "content-length": itoa(len(raw))}),
				answerPiece(pieces[0], false), answerPiece(pieces[1], false), answerPiece(pieces[2], true))
			if got := passed(w, pieces...); got != c.want {
				t.Fatalf("%s, cut after %d: got %q", c.options, cut, got)
			}
			removed := w.replies[2].GetResponseHeaders().GetResponse().GetHeaderMutation().GetRemoveHeaders()
			if slices.Contains(removed, "content-length") != (c.want != raw) {
				t.Fatalf("%s: removed %v", c.options, removed)
			}
			if got := l.used(t, leaf); got != (ratelimit.Amounts{1, 7}) {
				t.Fatalf("%s: used %v", c.options, got)
			}
		}
	}
}

func TestWhatCanNotBeReadPassesAsItIs(t *testing.T) {
	const bytes = 8 + 100
	for name, c := range map[string]struct {
		headers map[string]string
		tokens  int64
	}{
		"compressed JSON":   {map[string]string{"content-type": "application/json", "content-encoding": "br"}, estimated},
		"compressed stream": {map[string]string{"content-type": "text/event-stream", "content-encoding": "br"}, estimated},
		"no gzip":           {map[string]string{"content-type": "application/json", "content-encoding": "gzip"}, estimated},
		"audio":             {map[string]string{"content-type": "audio/mpeg"}, bytes},
		"nothing said":      {nil, bytes},
	} {
		s, l := inBand(t, oneDeployment)
		pieces := []string{strings.Repeat("x", 300), strings.Repeat("y", 100)}
		w := play(t, s, nil, chat, answerHeaders(t, how{status: 200}, false, c.headers), answerPiece(pieces[0], false), answerPiece(pieces[1], true))
		if got := passed(w, pieces...); got != pieces[0]+pieces[1] {
			t.Errorf("%s: has become %q", name, got)
		}
		if got := l.used(t, leaf); got != (ratelimit.Amounts{1, c.tokens}) {
			t.Errorf("%s: used %v", name, got)
		}
	}
}

func TestTheClientIsToldInBandWhatRoutesTellElsewhere(t *testing.T) {
	s, _ := inBand(t, oneDeployment+"    \nmodel_groups: {fast: {rpm: 10}}\n")
	w := play(t, s, nil, chat, answerHeaders(t, how{status: 200}, true, map[string]string{
		"content-type": "application/json", "set-cookie": "a=b", "openai-organization": "org", "x-nestor-retry": "1", "location": "http://x",
		"x-ratelimit-limit-requests": "5000", "x-ratelimit-remaining-tokens": "7", "server": "upstream",
		nestorv1.HeaderKeySpend: "1.5", nestorv1.HeaderResponseCost: "0.5",
	}))
	m := w.last().GetResponseHeaders().GetResponse().GetHeaderMutation()
	told := setHeaders(m)
	if told[nestorv1.HeaderCallID] == "" || told[nestorv1.HeaderResetRequests] == "" {
		t.Errorf("told %v", told)
	}
	delete(told, nestorv1.HeaderCallID)
	delete(told, nestorv1.HeaderResetRequests)
	want := map[string]string{
		nestorv1.HeaderModelID: "d1", nestorv1.HeaderModelGroup: "fast", nestorv1.HeaderModelAPIBase: "http://127.0.0.1:9999/v1",
		nestorv1.HeaderAttemptedRetries: "0", nestorv1.HeaderAttemptedFallbacks: "0",
		nestorv1.HeaderLimitRequests: "10", nestorv1.HeaderRemainingRequests: "9",
		"llm_provider-x-ratelimit-limit-requests": "5000", "llm_provider-x-ratelimit-remaining-tokens": "7",
	}
	if diff := cmp.Diff(want, told); diff != "" {
		t.Errorf("headers set (-want +got):\n%s", diff)
	}
	removed := slices.Sorted(slices.Values(m.GetRemoveHeaders()))
	if diff := cmp.Diff([]string{"location", "openai-organization", "set-cookie", "x-litellm-key-spend", "x-litellm-response-cost", "x-nestor-retry", "x-ratelimit-limit-requests", "x-ratelimit-remaining-tokens"}, removed); diff != "" {
		t.Errorf("headers removed (-want +got):\n%s", diff)
	}
}

func TestAFailureIsShapedInBandAndNeverMarked(t *testing.T) {
	own := `{"error":{"message":"no","type":"t","param":null,"code":null}}`
	for name, c := range map[string]struct {
		status       uint32
		kind, body   string
		shown, whole string // the status where it changes, and the body where it stays
		cools        bool
	}{
		"an error of OpenAI's shape": {status: 400, kind: "application/json", body: own, whole: own},
		"a refused key":              {status: 401, kind: "application/json", body: own, whole: own, cools: true},
		"a page":                     {status: 502, kind: "text/html", body: "<html>no</html>"},
		"no body":                    {status: 500},
		"a redirect":                 {status: 302, kind: "text/html", body: "moved", shown: "502", cools: true},
		"a key in it":                {status: 400, kind: "text/plain", body: "your key sk-provider is odd"},
	} {
		t.Run(name, func(t *testing.T) {
			s, l := inBand(t, oneDeployment)
			headers := map[string]string{"content-type": c.kind, "content-length": itoa(len(c.body)), "content-encoding": "identity"}
			answer := []*extprocv3.ProcessingRequest{answerHeaders(t, how{status: c.status, details: "via_upstream"}, c.body == "", headers)}
			var pieces []string
			if c.body != "" {
				pieces = []string{c.body[:3], c.body[3:], ""}
				answer = append(answer, answerPiece(pieces[0], false), answerPiece(pieces[1], false), answerPiece("", true))
			}
			w := play(t, s, nil, chat, answer...)
			common := w.replies[2].GetResponseHeaders().GetResponse()
			told := setHeaders(common.GetHeaderMutation())
			body := passed(w, pieces...)
			if c.body == "" {
				body = string(common.GetBodyMutation().GetBody())
				if common.GetStatus() != extprocv3.CommonResponse_CONTINUE_AND_REPLACE || told["content-length"] != itoa(len(body)) {
					t.Errorf("got %v", common)
				}
			}
			var shape struct{ Error struct{ Message string } }
			if json.Unmarshal([]byte(body), &shape) != nil || shape.Error.Message == "" || strings.Contains(body, "sk-provider") {
				t.Errorf("body %q", body)
			}
			if c.whole != "" && body != c.whole {
				t.Errorf("body %q, want %q", body, c.whole)
			}
			removed := common.GetHeaderMutation().GetRemoveHeaders()
			if told["content-type"] != "application/json" || told[":status"] != c.shown || told[nestorv1.HeaderRetry] != "" ||
				!slices.Contains(removed, "content-length") || !slices.Contains(removed, "content-encoding") {
				t.Errorf("headers set %v, removed %v", told, removed)
			}
			if _, cooling := s.Router.CoolingUntil("d1"); cooling != c.cools {
				t.Errorf("cooling: %v", cooling)
			}
			if got := l.used(t, leaf); got != (ratelimit.Amounts{1}) {
				t.Errorf("used %v", got)
			}
		})
	}
}

func TestAProviderThatHasNothingLeftIsClosedInBand(t *testing.T) {
	s, _ := inBand(t, oneDeployment)
	play(t, s, nil, chat, answerHeaders(t, how{status: 429, details: "via_upstream"}, true, map[string]string{
		"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "20s", "retry-after": "20",
	}))
	w := play(t, s, nil, chat)
	if got := w.last().GetImmediateResponse().GetStatus().GetCode(); got != 429 {
		t.Errorf("the next request got %v", w.last())
	}
}

func TestAFailureOfAnyLengthIsBounded(t *testing.T) {
	s, _ := inBand(t, oneDeployment)
	messages := []*extprocv3.ProcessingRequest{answerHeaders(t, how{status: 500}, false, nil)}
	piece := strings.Repeat("x", 1<<18)
	for range 16 {
		messages = append(messages, answerPiece(piece, false))
	}
	w := play(t, s, nil, chat, append(messages, answerPiece("", true))...)
	if n := len(w.last().GetResponseBody().GetResponse().GetBodyMutation().GetBody()); n == 0 || n > 2*maxError {
		t.Errorf("%d bytes", n)
	}
}

// Nothing before Nestor removes what clients send.
func TestAClientCanNotSayInBandWhichAttemptItIs(t *testing.T) {
	s, l := inBand(t, oneDeployment)
	headers := map[string]string{"x-nestor-request": "mine", "x-envoy-attempt-count": "7", "x-nestor-cluster": "elsewhere", "x-nestor-idle": "1"}
	first, second := play(t, s, headers, chat), play(t, s, headers, chat)
	a, b := decisionIn(t, first.replies[1]), decisionIn(t, second.replies[1])
	if a.RequestId == b.RequestId || a.RequestId == "mine" || a.Attempt != 1 || a.Retries != 0 {
		t.Errorf("decided %v and %v", a, b)
	}
	common := first.replies[1].GetRequestBody().GetResponse().GetHeaderMutation()
	for _, name := range []string{"x-nestor-request", "x-nestor-cluster", "x-nestor-idle"} {
		if !slices.Contains(common.GetRemoveHeaders(), name) {
			t.Errorf("%s is kept", name)
		}
	}
	if got := setHeaders(common)["x-envoy-max-retries"]; got != "0" {
		t.Errorf("a route of somebody else's may try again: x-envoy-max-retries is %q", got)
	}
	if got := l.used(t, leaf); got[ratelimit.Requests] != 2 {
		t.Errorf("used %v", got)
	}
}

func TestAnExchangeThatBreaksIsSettledOnce(t *testing.T) {
	answer := answerOf(t, false, how{status: 200, usage: tokens(10, 20)})
	for n := 3; n <= 5; n++ { // the replies to the answer's headers and pieces
		s, l := inBand(t, oneDeployment)
		w := &deaf{wire: &wire{ctx: t.Context(), send: append([]*extprocv3.ProcessingRequest{requestHeaders(nil), requestBody(chat)}, answer...)}, n: n}
		if err := s.Process(w); err == nil {
			t.Error("no error")
		}
		want := ratelimit.Amounts{1, estimated}
		if n == 5 {
			want = ratelimit.Amounts{1, 30} // the usage was read
		}
		if got := l.used(t, leaf); got != want || !l.onceEach() {
			t.Errorf("reply %d lost: used %v, want %v", n, got, want)
		}
	}
}

func TestTrailersEndAnAnswer(t *testing.T) {
	s, l := inBand(t, oneDeployment)
	answer := answerOf(t, false, how{status: 200, usage: tokens(10, 20)})
	answer[2].GetResponseBody().EndOfStream = false
	trailers := &extprocv3.ProcessingRequest{Request: &extprocv3.ProcessingRequest_ResponseTrailers{ResponseTrailers: &extprocv3.HttpTrailers{}}}
	w := play(t, s, nil, chat, append(answer, trailers)...)
	if w.last().GetResponseTrailers() == nil || l.used(t, leaf) != (ratelimit.Amounts{1, 30}) {
		t.Errorf("used %v after %v", l.used(t, leaf), w.last())
	}
}

// A filter whose response body mode is BUFFERED sends one piece.
func TestABufferedAnswerIsReadToo(t *testing.T) {
	s, l := inBand(t, oneDeployment)
	body := `{"usage":{"prompt_tokens":1,"completion_tokens":2}}`
	w := play(t, s, nil, chat, answerHeaders(t, how{status: 200}, false, map[string]string{"content-type": "application/json"}), answerPiece(body, true))
	if !bytes.Equal([]byte(passed(w, body)), []byte(body)) || l.used(t, leaf) != (ratelimit.Amounts{1, 3}) {
		t.Errorf("used %v", l.used(t, leaf))
	}
}

func TestAFailureThatBreaksOffInBandCountsOnce(t *testing.T) {
	for _, status := range []uint32{500, 503} {
		s, _ := inBand(t, strings.Replace(oneDeployment, "model_list:", "router_settings: {allowed_fails: 1}\nmodel_list:", 1))
		for _, want := range []bool{false, true} {
			play(t, s, nil, chat, answerHeaders(t, how{status: status}, false, nil), answerPiece("{", false))
			if _, cooling := s.Router.CoolingUntil("d1"); cooling != want {
				t.Errorf("%d: cooling is %v, want %v", status, cooling, want)
			}
		}
	}
}
