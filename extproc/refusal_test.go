package extproc

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/nestor-gateway/nestor/ratelimit"
)

// unsure is a ledger whose store does not know what was used before.
func unsure() *ledger {
	l, begin := newLedger(time.Now), time.Now()
	l.Memory = ratelimit.NewMemory(ratelimit.Options{Now: func() time.Duration { return time.Since(begin) }})
	return l
}

func TestClosedLimitsSayThatTheyAreAndNotWhatRemains(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := fixtureWith(t, one("rpm: 10"), time.Now, unsure())
		time.Sleep(20 * time.Second)
		for range 2 { // as found by asking the store, and as remembered
			refusal := asked(t, s, "r", chat)
			if diff := cmp.Diff(map[string]string{"retry-after": "40", "retry-after-ms": "40000"}, headersOfRefusal(refusal, limitNames...)); diff != "" {
				t.Errorf("headers (-want +got):\n%s", diff)
			}
			const want = "No deployments available for selected model, Try again in 40 seconds. Passed model=fast. " +
				"Its limits admit nothing at present: what was used of them is not known, or their store can't be reached."
			if e := errorIn(t, refusal); e.Message != want || e.Code != "rate_limit_exceeded" {
				t.Errorf("error %+v", e)
			}
		}
		time.Sleep(40 * time.Second)
		if r := asked(t, s, "r2", chat); r.GetImmediateResponse() != nil {
			t.Errorf("refused when the time is over: %s", r.GetImmediateResponse().GetBody())
		}
	})
}

func TestALimitOfZeroIsNotToBeTriedAgain(t *testing.T) {
	for limit, want := range map[string]struct{ message, kind, name string }{
		"rpm: 0":                   {"requests per min (RPM)", "requests", "requests"},
		"tpm: 0":                   {"tokens per min (TPM)", "tokens", "tokens"},
		"max_parallel_requests: 0": {"requests at once (max_parallel_requests)", "requests", ""},
	} {
		refusal := asked(t, fixture(t, one(limit)), "r", chat)
		headers := map[string]string{"x-should-retry": "false"}
		if want.name != "" {
			headers["x-ratelimit-limit-"+want.name], headers["x-ratelimit-remaining-"+want.name], headers["x-ratelimit-reset-"+want.name] = "0", "0", "0ms"
		}
		if diff := cmp.Diff(headers, headersOfRefusal(refusal, limitNames...)); diff != "" {
			t.Errorf("%s: headers (-want +got):\n%s", limit, diff)
		}
		message := "No deployments available for selected model. Passed model=fast. Rate limit reached on " + want.message + ": Limit 0, which admits no request, ever."
		if e := errorIn(t, refusal); e.Message != message || e.Code != "rate_limit_exceeded" || e.Type != want.kind || refusal.GetImmediateResponse().GetStatus().GetCode() != 429 {
			t.Errorf("%s: error %+v", limit, e)
		}
	}
}

func TestTheWaitThatAProviderAnnouncesReachesTheClient(t *testing.T) {
	announced := map[string]string{"llm_provider-x-ratelimit-remaining-tokens": "0", "llm_provider-x-ratelimit-reset-tokens": "6.5s"}
	for name, more := range map[string]map[string]string{"by its resets alone": nil, "and by a header": {"retry-after": "6"}} {
		headers := map[string]string{}
		for _, all := range []map[string]string{announced, more} {
			for k, v := range all {
				headers[k] = v
			}
		}
		s := fixture(t, one("tpm: 100000"))
		a := begin(t, s, nil, `{"model":"fast","messages":[],"num_retries":0}`)
		m := failureOf(a.decision, "429", false, headers)
		w := exchange(t, s, m, responseBody(`{"error":{"message":"slow down"}}`))
		got := w.replies[0].GetResponseHeaders().GetResponse().GetHeaderMutation()
		want := map[string]string{"retry-after": "7", "retry-after-ms": "6500"}
		if more != nil {
			want = map[string]string{}
		}
		if diff := cmp.Diff(want, setHeaders(got)); diff != "" {
			t.Errorf("%s: headers (-want +got):\n%s", name, diff)
		}
		if diff := cmp.Diff([]string{"x-ratelimit-limit-tokens", "x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens"}, got.GetRemoveHeaders()); diff != "" {
			t.Errorf("%s: removed (-want +got):\n%s", name, diff)
		}
	}
}

func TestTheWaitThatAProviderAnnouncesReachesTheClientInBand(t *testing.T) {
	s, _ := inBand(t, one("tpm: 100000, rpm: 10"))
	w := play(t, s, nil, chat, answerHeaders(t, how{status: 429, details: "via_upstream"}, true, map[string]string{
		"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "6.5s",
	}))
	got := setHeaders(w.last().GetResponseHeaders().GetResponse().GetHeaderMutation())
	for name, want := range map[string]string{
		"retry-after": "7", "retry-after-ms": "6500", "x-ratelimit-remaining-tokens": "", "x-ratelimit-remaining-requests": "9",
		"llm_provider-x-ratelimit-remaining-tokens": "0",
	} {
		if got[name] != want {
			t.Errorf("%s is %q, want %q", name, got[name], want)
		}
	}
}

func TestARefusalNamesTheCall(t *testing.T) {
	s := fixture(t, one("rpm: 0"))
	for status, headers := range map[int32]map[string]string{
		401: {"authorization": "Bearer sk-wrong"},
		404: {":path": "/v1/nothing"},
		405: {":method": "GET"},
		429: nil,
	} {
		refusal := exchange(t, s, requestHeaders(headers), requestBody(chat)).last().GetImmediateResponse()
		if id := setHeaders(refusal.GetHeaders())["x-litellm-call-id"]; id != "request-1" || int32(refusal.GetStatus().GetCode()) != status {
			t.Errorf("%d, and got %v: the call is %q", status, refusal.GetStatus(), id)
		}
	}
	if id := setHeaders(exchange(t, s, requestHeaders(map[string]string{"x-nestor-request": ""}), requestBody(chat)).last().GetImmediateResponse().GetHeaders())["x-litellm-call-id"]; id == "" {
		t.Error("no id where Envoy gave none")
	}
}
