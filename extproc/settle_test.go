package extproc

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	datav3 "github.com/envoyproxy/go-control-plane/envoy/data/accesslog/v3"
	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/nestor-gateway/nestor/extproc/estimate"
	"github.com/nestor-gateway/nestor/extproc/forward"
	nestorv1 "github.com/nestor-gateway/nestor/proto/nestor/v1"
	"github.com/nestor-gateway/nestor/ratelimit"
)

const (
	leaf = "deployment:d1"
	// estimated is what chat takes of it: 30 bytes and a completion of which nothing is known.
	estimated = 8 + 1024
	reset     = "upstream_reset_before_response_started{"
)

// endings is every way in which an attempt at a deployment ends, and what it used.
func endings() map[string]struct {
	how  how
	body string
	want ratelimit.Amounts
} {
	stream := `{"model":"fast","messages":[],"stream":true}` // 44 bytes: 11 tokens
	type ending = struct {
		how  how
		body string
		want ratelimit.Amounts
	}
	return map[string]ending{
		"success":                      {how{status: 200, usage: tokens(10, 20)}, chat, ratelimit.Amounts{1, 30}},
		"overrun":                      {how{status: 200, usage: tokens(10, 5000)}, chat, ratelimit.Amounts{1, 5010}},
		"usage without a total":        {how{status: 200, usage: map[string]any{"prompt_tokens": 4, "completion_tokens": 5}}, chat, ratelimit.Amounts{1, 9}},
		"a total beyond the sum":       {how{status: 200, usage: map[string]any{"prompt_tokens": 4, "completion_tokens": 5, "total_tokens": 90}}, chat, ratelimit.Amounts{1, 90}},
		"no usage":                     {how{status: 200, sent: 400}, chat, ratelimit.Amounts{1, 8 + 100}},
		"usage of zeros":               {how{status: 200, sent: 400, usage: tokens(0, 0)}, chat, ratelimit.Amounts{1, 8 + 100}},
		"compressed":                   {how{status: 200, sent: 400, coding: "br"}, chat, ratelimit.Amounts{1, estimated}},
		"compressed and long":          {how{status: 200, sent: 40_000, coding: "zstd"}, chat, ratelimit.Amounts{1, 8 + 10_000}},
		"compressed stream":            {how{status: 200, sent: 640, coding: "deflate"}, stream, ratelimit.Amounts{1, 11 + 1024}},
		"compressed stream, left":      {how{status: 200, sent: 640, coding: "br", abort: true}, stream, ratelimit.Amounts{1, 11 + 1024}},
		"not compressed, it says":      {how{status: 200, sent: 400, coding: "identity"}, chat, ratelimit.Amounts{1, 8 + 100}},
		"stream without usage":         {how{status: 200, sent: 640}, stream, ratelimit.Amounts{1, 11 + 10}},
		"stream that the client left":  {how{status: 200, sent: 1280, abort: true}, stream, ratelimit.Amounts{1, 11 + 20}},
		"stream cut with usage":        {how{status: 200, sent: 1280, details: "upstream_reset_after_response_started{remote_reset}", usage: tokens(3, 4)}, stream, ratelimit.Amounts{1, 7}},
		"stream cut":                   {how{status: 200, sent: 1280, details: "upstream_reset_after_response_started{remote_reset}"}, stream, ratelimit.Amounts{1, 11 + 20}},
		"stream left before it began":  {how{status: 0, abort: true}, stream, ratelimit.Amounts{1, 11 + 1024}},
		"answer that the client left":  {how{status: 0, abort: true}, chat, ratelimit.Amounts{1, estimated}},
		"left before anything went":    {how{status: 0, abort: true, unsent: true}, chat, ratelimit.Amounts{}},
		"error of the provider":        {how{status: 500, details: "via_upstream"}, chat, ratelimit.Amounts{1, 0}},
		"refusal of the provider":      {how{status: 400, details: "via_upstream"}, chat, ratelimit.Amounts{1, 0}},
		"no connection":                {how{status: 503, details: reset + "remote_connection_failure|delayed_connect_error:_111}"}, chat, ratelimit.Amounts{}},
		"refused stream":               {how{status: 503, details: reset + "remote_refused_stream_reset}"}, chat, ratelimit.Amounts{}},
		"no such host":                 {how{status: 503, details: "no_healthy_upstream"}, chat, ratelimit.Amounts{}},
		"unknown upstream":             {how{status: 503, details: "cluster_not_found"}, chat, ratelimit.Amounts{}},
		"timeout":                      {how{status: 504, details: "response_timeout"}, chat, ratelimit.Amounts{1, estimated}},
		"broken before the answer":     {how{status: 503, details: reset + "connection_termination}"}, chat, ratelimit.Amounts{1, estimated}},
		"something of Envoy's own":     {how{status: 500, details: "something_new"}, chat, ratelimit.Amounts{1, estimated}},
		"failure that is tried again":  {how{status: 502, details: "via_upstream", abort: true}, chat, ratelimit.Amounts{1, 0}},
		"an Envoy without its details": {how{status: 502}, chat, ratelimit.Amounts{1, 0}},
	}
}

func TestAnAttemptHoldsItsEstimateAndThenTheTruth(t *testing.T) {
	for name, c := range endings() {
		t.Run(name, func(t *testing.T) {
			s, l := limited(t, oneDeployment)
			a := begin(t, s, nil, c.body)
			if got := l.used(t, leaf); got[ratelimit.Requests] != 1 || got[ratelimit.Tokens] < estimated || got[ratelimit.Parallel] != 1 {
				t.Errorf("held %v", got)
			}
			a.ended(t, s, c.how)
			if got := l.used(t, leaf); got != c.want {
				t.Errorf("used %v, want %v", got, c.want)
			}
		})
	}
}

// The failure exchange can come before the access log entry or after it, at this replica or another one, and either of
// them twice or not at all.
func TestAnAttemptIsSettledOnceInWhateverOrder(t *testing.T) {
	all := endings()
	names := make([]string, 0, len(all))
	for name := range all {
		names = append(names, name)
	}
	rapid.Check(t, func(r *rapid.T) {
		s, l := limited(t, oneDeployment)
		var want ratelimit.Amounts
		for n := range rapid.IntRange(1, 4).Draw(r, "attempts") {
			s.book = estimate.New() // what is learned changes the estimates
			c := all[rapid.SampledFrom(names).Draw(r, "ending")]
			a := begin(t, s, map[string]string{"x-nestor-request": fmt.Sprint("r", n)}, c.body)
			for _, message := range rapid.SliceOfN(rapid.SampledFrom([]string{"failure", "entry", "entry"}), 0, 4).Draw(r, "messages") {
				if message == "entry" {
					a.ended(t, s, c.how)
				} else if c.how.status >= 300 {
					a.failed(t, s, c.how, nil)
				}
			}
			a.ended(t, s, c.how)
			for d := range want {
				want[d] += c.want[d]
			}
		}
		if got := l.used(t, leaf); got != want || !l.onceEach() {
			r.Errorf("used %v, want %v; settled %v", got, want, l.ended)
		}
	})
}

func TestAFailureIsSettledBeforeTheNextPick(t *testing.T) {
	s, l := limited(t, `
model_list:
  - model_name: fast
    litellm_params: {model: openai/gpt-4o, api_base: "http://127.0.0.1:9999/v1", max_parallel_requests: 1}
    model_info: {id: d1}
`)
	a := begin(t, s, nil, chat)
	if reply := a.failed(t, s, how{status: 503, details: reset + "remote_connection_failure}"}, nil); !isMarked(reply) {
		t.Fatalf("not tried again: %v", reply)
	}
	if got := l.used(t, leaf); got != (ratelimit.Amounts{}) {
		t.Errorf("still held: %v", got)
	}
}

func TestNothingStaysHeldForAnAttemptThatIsNotMade(t *testing.T) {
	for name, play := range map[string]func(t *testing.T, s *Server){
		"the provider has no such endpoint": func(t *testing.T, s *Server) {
			reply := decideFor(t, s, map[string]string{":path": "/v1/completions"}, `{"model":"fast","prompt":"a"}`)
			if reply.GetImmediateResponse().GetStatus().GetCode() != 400 {
				t.Fatalf("got %v", reply)
			}
		},
		"the connection to Envoy broke": func(t *testing.T, s *Server) {
			w := &wire{ctx: t.Context(), send: []*extprocv3.ProcessingRequest{requestHeaders(nil), requestBody(chat)}}
			if err := s.Process(&deaf{w, 2}); err == nil {
				t.Fatal("the reply arrived")
			}
		},
		"the client left while the processor decided": func(t *testing.T, s *Server) {
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			w := &wire{ctx: ctx, send: []*extprocv3.ProcessingRequest{requestHeaders(nil), requestBody(chat)}}
			if err := s.Process(w); err == nil && len(w.replies) > 1 {
				t.Fatalf("replied %v", w.last())
			}
		},
		"the decision did not reach Envoy": func(t *testing.T, s *Server) {
			begin(t, s, map[string]string{nestorv1.HeaderAttempt: "3"}, chat)
			attempt{}.ended(t, s, how{abort: true, unsent: true, more: func(line *datav3.HTTPAccessLogEntry) {
				line.Request = &datav3.HTTPRequestProperties{RequestHeaders: map[string]string{nestorv1.HeaderRequest: "request-1", nestorv1.HeaderAttempt: "3"}}
			}})
		},
	} {
		t.Run(name, func(t *testing.T) {
			s, l := limited(t, noCompletions)
			play(t, s)
			if got := l.used(t, leaf); got != (ratelimit.Amounts{}) {
				t.Errorf("held %v", got)
			}
		})
	}
}

// noCompletions is a provider that has chat alone.
const noCompletions = `
model_list:
  - model_name: fast
    litellm_params: {model: groq/a, api_key: k}
    model_info: {id: d1}
`

func TestNothingIsHeldDuringTheBackOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, l := limited(t, oneDeployment)
		a := begin(t, s, nil, chat)
		a.failed(t, s, how{status: 500, details: "via_upstream"}, nil)
		ctx, leave := context.WithCancel(t.Context())
		w := &wire{ctx: ctx, send: []*extprocv3.ProcessingRequest{requestHeaders(map[string]string{nestorv1.HeaderAttempt: "2"}), requestBody(chat)}}
		done := make(chan error)
		go func() { done <- s.Process(w) }()
		synctest.Wait()
		if got := l.used(t, leaf); got != (ratelimit.Amounts{1, 0, 0}) {
			t.Errorf("used %v while it waits, want the failed attempt alone", got)
		}
		leave()
		<-done
		if got := l.used(t, leaf); got != (ratelimit.Amounts{1, 0, 0}) {
			t.Errorf("used %v after the client left", got)
		}
	})
}

// others records what is settled elsewhere.
type others struct{ said []string }

func (o *others) Settle(holder, deployment string, _ ratelimit.ID, used ratelimit.Amounts, _ forward.Bill) {
	o.said = append(o.said, fmt.Sprint("settle ", holder, " ", deployment, " ", used))
}

func (o *others) Refund(holder, deployment string, _ ratelimit.ID) {
	o.said = append(o.said, fmt.Sprint("refund ", holder, " ", deployment))
}

func (o *others) Renew(holder string, _ ratelimit.ID, life time.Duration) {
	o.said = append(o.said, fmt.Sprint("renew ", holder, " for ", life))
}

func TestWhatAnotherReplicaHoldsIsSettledThere(t *testing.T) {
	here, l := limited(t, oneDeployment)
	here.Replica = "here"
	there, elsewhere := fixture(t, oneDeployment), &others{}
	there.Replica, there.Elsewhere = "there", elsewhere
	a := begin(t, here, nil, chat)
	a.lives(t, there)
	a.failed(t, there, how{status: 503, details: "cluster_not_found"}, nil)
	a.ended(t, there, how{status: 200, usage: tokens(1, 2)})
	attempt{}.ended(t, there, how{abort: true, unsent: true, more: func(line *datav3.HTTPAccessLogEntry) {
		line.Request = &datav3.HTTPRequestProperties{RequestHeaders: map[string]string{nestorv1.HeaderRequest: "request-9", nestorv1.HeaderAttempt: "1"}}
	}})
	want := []string{"renew here for 2m0s", "refund here d1", "settle here d1 [1 3 0]", "refund  "}
	if diff := cmp.Diff(want, elsewhere.said); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got := l.used(t, leaf); got[ratelimit.Parallel] != 1 {
		t.Errorf("used %v here", got)
	}
}

func TestARefusalAsksNobodyForARefund(t *testing.T) {
	s, elsewhere := fixture(t, oneDeployment), &others{}
	s.Replica, s.Elsewhere = "here", elsewhere
	attempt{}.ended(t, s, how{status: 401, details: refusalDetails, more: func(line *datav3.HTTPAccessLogEntry) {
		line.Request = &datav3.HTTPRequestProperties{RequestHeaders: map[string]string{nestorv1.HeaderRequest: "request-9", nestorv1.HeaderAttempt: "1"}}
	}})
	if len(elsewhere.said) != 0 {
		t.Errorf("said %v", elsewhere.said)
	}
}

func TestRequestsWithoutAnIDShareNoReservation(t *testing.T) {
	s, l := limited(t, oneDeployment)
	begin(t, s, map[string]string{nestorv1.HeaderRequest: ""}, chat)
	begin(t, s, map[string]string{nestorv1.HeaderRequest: ""}, chat)
	if got := l.used(t, leaf); got[ratelimit.Parallel] != 2 {
		t.Errorf("held %v", got)
	}
}
