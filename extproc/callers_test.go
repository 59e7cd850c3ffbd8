package extproc

import (
	"fmt"
	"strings"
	"testing"
	"time"

	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	"github.com/google/go-cmp/cmp"

	"github.com/nestor-gateway/nestor/access/budget"
	"github.com/nestor-gateway/nestor/access/record"
	"github.com/nestor-gateway/nestor/extproc/forward"
	nestorv1 "github.com/nestor-gateway/nestor/proto/nestor/v1"
	"github.com/nestor-gateway/nestor/ratelimit"
)

// steps are groups of one deployment each: first falls back to second, and that to third.
const steps = `
model_list:
  - {model_name: first, litellm_params: {model: openai/m, api_base: "http://127.0.0.1:9999/v1", api_key: k, rpm: 100, input_cost_per_token: 0.000000001, output_cost_per_token: 0.000000001}, model_info: {id: d1}}
  - {model_name: second, litellm_params: {model: openai/m, api_base: "http://127.0.0.1:9998/v1", api_key: k, rpm: 100}, model_info: {id: d2}}
  - {model_name: third, litellm_params: {model: openai/m, api_base: "http://127.0.0.1:9997/v1", api_key: k, rpm: 100}, model_info: {id: d3}}
router_settings:
  fallbacks: [{first: [second, third]}]
  num_retries: 1
  disable_cooldowns: true
`

const first = `{"model":"first","messages":[],"max_tokens":10}`

func limit(n int64) *int64 { return &n }

// stepping is a server with the key sk-k.
func stepping(t *testing.T, k record.Key) (*Server, *ledger, *till) {
	t.Helper()
	s, l := limited(t, steps)
	return s, l, giveKeys(t, s, l, map[string]record.Key{"sk-k": k})
}

func keyed(attempt int, request string) map[string]string {
	return map[string]string{"authorization": "Bearer sk-k", nestorv1.HeaderRequest: request, nestorv1.HeaderAttempt: fmt.Sprint(attempt)}
}

// plays makes attempts at a request that fail in turn; it returns the reply to the attempt after them.
func plays(t *testing.T, s *Server, request, body string, fails ...how) *extprocv3.ProcessingResponse {
	t.Helper()
	for i, how := range fails {
		a := begin(t, s, keyed(i+1, request), body)
		if reply := a.failed(t, s, how, nil); !isMarked(reply) {
			t.Fatalf("attempt %d is not followed by another: %v", i+1, reply)
		}
		how.retry = true
		a.ended(t, s, how)
	}
	return decideFor(t, s, keyed(len(fails)+1, request), body)
}

var (
	failed500 = how{status: 500, details: "via_upstream"}
	refused   = how{status: 503, details: reset + "remote_connection_failure}"}
	broken    = how{status: 503, details: reset + "connection_termination}"}
)

// keyName is how the limits of sk-k are called.
func keyName() string { return "key:" + record.TokenOf("sk-k") }

func TestARequestCountsOnceOnTheLimitsOfWhoAsks(t *testing.T) {
	for name, c := range map[string]struct {
		fails []how
		at    string
		want  map[string]int64 // requests
	}{
		"no failure":                 {nil, "d1", map[string]int64{"deployment:d1": 1}},
		"a retry":                    {[]how{failed500}, "d1", map[string]int64{"deployment:d1": 2}},
		"a fallback":                 {[]how{failed500, failed500}, "d2", map[string]int64{"deployment:d1": 2, "deployment:d2": 1}},
		"a retry in the fallback":    {[]how{failed500, failed500, failed500}, "d2", map[string]int64{"deployment:d1": 2, "deployment:d2": 2}},
		"a second fallback":          {[]how{failed500, failed500, failed500, failed500}, "d3", map[string]int64{"deployment:d1": 2, "deployment:d2": 2, "deployment:d3": 1}},
		"connections that failed":    {[]how{refused, refused}, "d2", map[string]int64{"deployment:d2": 1}},
		"one before a failure":       {[]how{refused, failed500}, "d2", map[string]int64{"deployment:d1": 1, "deployment:d2": 1}},
		"one after a failure":        {[]how{failed500, refused, refused}, "d2", map[string]int64{"deployment:d1": 1, "deployment:d2": 1}},
		"none but in a fallback":     {[]how{refused, refused, failed500}, "d2", map[string]int64{"deployment:d2": 2}},
		"what is broken off, and on": {[]how{broken, failed500}, "d2", map[string]int64{"deployment:d1": 2, "deployment:d2": 1}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, l, _ := stepping(t, record.Key{Terms: record.Terms{RPM: limit(1)},
				ModelRPM: map[string]int64{"first": 1, "second": 1, "th*": 1}})
			reply := plays(t, s, "r", first, c.fails...)
			if reply.GetImmediateResponse() != nil {
				t.Fatalf("refused: %s", reply.GetImmediateResponse().Body)
			}
			a := attempt{reply.DynamicMetadata}
			if d := decisionIn(t, reply); d.Deployment != c.at {
				t.Fatalf("goes to %s, want %s", d.Deployment, c.at)
			}
			a.ended(t, s, how{status: 200, usage: tokens(3, 4)})
			want := map[string]int64{keyName(): 1, keyName() + "/model:first": 1}
			switch c.at {
			case "d3":
				want[keyName()+"/model:th*"] = 1
				fallthrough
			case "d2":
				want[keyName()+"/model:second"] = 1
			}
			for _, name := range []string{"deployment:d1", "deployment:d2", "deployment:d3"} {
				want[name] = c.want[name]
			}
			got := map[string]int64{}
			for name := range want {
				used := l.used(t, name)
				got[name] = used[ratelimit.Requests]
				if used[ratelimit.Parallel] != 0 {
					t.Errorf("%s holds %d places", name, used[ratelimit.Parallel])
				}
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("requests (-want +got):\n%s", diff)
			}
			if r := decideFor(t, s, keyed(1, "another"), first).GetImmediateResponse(); r == nil || r.Status.Code != 429 {
				t.Errorf("a second request of a key with rpm 1: %v", r)
			}
		})
	}
}

// delivered settles at the replica that holds what another one has heard of.
type delivered struct{ *Server }

func (d delivered) Settle(_, deployment string, id ratelimit.ID, used ratelimit.Amounts, _ forward.Bill) {
	d.Router.Settle(deployment, id, used)
}
func (d delivered) Refund(_, deployment string, id ratelimit.ID) { d.Router.Refund(deployment, id) }

func (delivered) Renew(string, ratelimit.ID, time.Duration) {}

// Replicas that share limits hear of each other's attempts, and decide what follows them.
func TestARequestCountsOnceWhicheverReplicaHearsOfItsAttempts(t *testing.T) {
	for name, c := range map[string]struct {
		how     how
		counted []string
	}{"a failure": {failed500, []string{"first"}}, "a connection that failed": {refused, nil}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLedger(time.Now)
			key := map[string]record.Key{"sk-k": {Terms: record.Terms{RPM: limit(1)}}}
			here, there := fixtureWith(t, steps, time.Now, l), fixtureWith(t, steps, time.Now, l)
			giveKeys(t, here, l, key)
			giveKeys(t, there, l, key)
			here.Replica, there.Replica = "here", "there"
			here.Elsewhere, there.Elsewhere = delivered{there}, delivered{here}
			a := begin(t, here, keyed(1, "r"), first)
			a.failed(t, there, c.how, nil)
			a.ended(t, here, c.how)
			again := begin(t, there, keyed(2, "r"), first)
			if got := decisionIn(t, &extprocv3.ProcessingResponse{DynamicMetadata: again.decision}).Counted; !cmp.Equal(got, c.counted) {
				t.Errorf("the request has counted at %q, want %q", got, c.counted)
			}
			again.ended(t, here, how{status: 200, usage: tokens(3, 4)})
			if got := l.used(t, keyName()); got != (ratelimit.Amounts{1, 7, 0}) {
				t.Errorf("the key has used %v, want one request", got)
			}
		})
	}
}

// What a failed attempt has cost in tokens counts, and the next one needs its own.
func TestTokensOfWhoAsksCountForEveryAttempt(t *testing.T) {
	s, l, _ := stepping(t, record.Key{Terms: record.Terms{TPM: limit(1000)}})
	reply := plays(t, s, "r", first, broken)
	d := decisionIn(t, reply)
	if got, want := l.used(t, keyName()), (ratelimit.Amounts{1, 2 * d.ReservedTokens, 1}); got != want {
		t.Errorf("the key has used %v, want %v", got, want)
	}
}

// says gives the server a failure of the provider's that tells how long it is.
func (a attempt) says(t *testing.T, s *Server, status, body string, headers map[string]string) *extprocv3.ProcessingResponse {
	t.Helper()
	if headers == nil {
		headers = map[string]string{}
	}
	if _, ok := headers["content-length"]; !ok {
		headers["content-length"] = fmt.Sprint(len(body))
	}
	m := failureOf(a.decision, status, false, headers)
	m.Attributes = codeDetails(t, "via_upstream")
	return exchange(t, s, m, responseBody(body)).last()
}

// Who asks may have nothing more: the client then gets what the provider said, as if nothing could be tried.
func TestWhoMayNotTryAgainIsToldOfTheFailure(t *testing.T) {
	const provider = `{"error":{"message":"out of order","type":"server_error","param":null,"code":"e7"}}`
	small := record.Key{Terms: record.Terms{TPM: limit(20)}}
	deny := func(money *till) { money.deny = &budget.Denial{Account: "key:k", Spend: 2e9, Max: 1e9} }
	for name, c := range map[string]struct {
		key           record.Key
		after         func(*till)
		status, body  string
		headers       map[string]string
		want, message string
		told          map[string]string
	}{
		"by a limit": {key: small, status: "500", body: provider, headers: map[string]string{"content-type": "application/json; charset=utf-8", "x-litellm-model-id": "d1"},
			message: provider, told: map[string]string{"content-type": "application/json; charset=utf-8", "x-litellm-model-id": "d1"}},
		"by a budget": {after: deny, status: "503", body: provider, message: provider},
		"with a foreign body": {after: deny, status: "502", body: "<html>", headers: map[string]string{"content-type": "text/html"},
			message: "status 502 Bad Gateway from the provider", told: map[string]string{"content-type": "application/json"}},
		"with the time to wait": {after: deny, status: "429", body: provider, headers: map[string]string{"retry-after": "1"}, message: provider, told: map[string]string{"retry-after": "1"}},
		"with nothing left at the provider": {after: deny, status: "429", body: provider,
			headers: map[string]string{"llm_provider-x-ratelimit-remaining-requests": "0", "llm_provider-x-ratelimit-reset-requests": "1s", "x-ratelimit-remaining-requests": "98", "x-ratelimit-remaining-tokens": "97"},
			message: provider, told: map[string]string{"retry-after": "1", "x-ratelimit-remaining-requests": "", "x-ratelimit-remaining-tokens": "97"}},
		"with a body of unknown length": {after: deny, status: "500", body: provider, headers: map[string]string{"content-length": ""},
			message: "status 500 Internal Server Error from the provider"},
		"with a long body": {after: deny, status: "500", body: strings.Replace(provider, "order", strings.Repeat("x", mostKept), 1),
			message: "status 500 Internal Server Error from the provider"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, _, money := stepping(t, c.key)
			a := begin(t, s, keyed(1, "r"), first)
			if reply := a.says(t, s, c.status, c.body, c.headers); !isMarked(reply) {
				t.Fatalf("not tried again: %v", reply)
			}
			if c.after != nil {
				c.after(money)
			} else {
				// Another request takes what the failure gave back.
				begin(t, s, keyed(1, "p"), `{"model":"second","messages":[],"max_tokens":1}`)
			}
			r := decideFor(t, s, keyed(2, "r"), first).GetImmediateResponse()
			if r == nil || fmt.Sprint(int(r.Status.Code)) != c.status || !strings.Contains(string(r.Body), c.message) {
				t.Fatalf("answered %v, want the %s", r, c.status)
			}
			for name, want := range c.told {
				if got := setHeaders(r.Headers)[name]; got != want {
					t.Errorf("%s is %q, want %q", name, got, want)
				}
			}
			if money.deny == nil {
				return
			}
			if r := decideFor(t, s, keyed(1, "new"), first).GetImmediateResponse(); r == nil || !strings.Contains(string(r.Body), "budget_exceeded") {
				t.Errorf("a first attempt is answered %v", r)
			}
		})
	}
}

func TestTheProvidersLastAnswerPassesThroughWhereItsBodyWasReadEarly(t *testing.T) {
	s, _, _ := stepping(t, record.Key{})
	plays(t, s, "r", `{"model":"third","messages":[]}`, failed500)
	a := attempt{decideFor(t, s, keyed(2, "r"), `{"model":"third","messages":[]}`).DynamicMetadata}
	reply := a.says(t, s, "429", `{"error":{"message":"no"}}`, map[string]string{"llm_provider-x-ratelimit-remaining-requests": "0", "llm_provider-x-ratelimit-reset-requests": "90s"})
	m := reply.GetResponseBody().GetResponse()
	if isMarked(reply) || m.GetBodyMutation() != nil || setHeaders(m.GetHeaderMutation())["retry-after"] != "90" {
		t.Errorf("answered %v, want the provider's body, and to come back in 90 s", reply)
	}
}

// Who breaks off after them is left alone like who does not.
func TestAFailureThatBreaksOffCountsAgainstItsDeployment(t *testing.T) {
	s, l := limited(t, strings.Replace(steps, "  disable_cooldowns: true\n", "", 1))
	giveKeys(t, s, l, map[string]record.Key{"sk-k": {}})
	a := begin(t, s, keyed(1, "r"), first)
	exchange(t, s, failureOf(a.decision, "401", false, map[string]string{"content-length": "100"}))
	if _, cooling := s.Router.CoolingUntil("d1"); !cooling {
		t.Error("the deployment is not left alone")
	}
}

// A limit for the name of a fallback passes that one over, and counts what goes there, whoever named it.
func TestAFallbackCountsOnTheLimitForItsName(t *testing.T) {
	bodies := map[string]string{
		"of the config": first,
		"of the body":   `{"model":"first","messages":[],"max_tokens":10,"fallbacks":["mine"]}`,
	}
	for name, body := range bodies {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, l, _ := stepping(t, record.Key{Aliases: map[string]string{"mine": "second"}, ModelRPM: map[string]int64{"second": 2, "first": 9}})
			var got []string
			for i := range 4 {
				reply := plays(t, s, fmt.Sprint("r", i), body, failed500, failed500)
				got = append(got, decisionIn(t, reply).Deployment)
				attempt{reply.DynamicMetadata}.ended(t, s, how{status: 200, usage: tokens(3, 4)})
			}
			if diff := cmp.Diff([]string{"d2", "d2", "d3", "d3"}, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			want := []ratelimit.Amounts{{4, 28, 0}, {2, 14, 0}}
			if diff := cmp.Diff(want, []ratelimit.Amounts{l.used(t, keyName()+"/model:first"), l.used(t, keyName()+"/model:second")}); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestWhereTheOnlyFallbackIsUsedUpTheFailureIsShown(t *testing.T) {
	s, _, _ := stepping(t, record.Key{ModelRPM: map[string]int64{"th*": 0, "sec*": 0}})
	reply := plays(t, s, "r", first, failed500, failed500).GetImmediateResponse()
	if reply == nil || reply.Status.Code != 500 {
		t.Errorf("answered %v, want the provider's 500", reply)
	}
}

// Also a first attempt goes on to the next fallback, and takes nothing of the one that it passes.
func TestAFullGroupPassesOverAFallbackThatIsUsedUp(t *testing.T) {
	s, l := limited(t, strings.Replace(steps, "rpm: 100", "rpm: 1", 1))
	giveKeys(t, s, l, map[string]record.Key{"sk-k": {Terms: record.Terms{RPM: limit(9)}, ModelRPM: map[string]int64{"second": 1}}})
	var got []string
	for i := range 3 {
		reply := decideFor(t, s, keyed(1, fmt.Sprint("r", i)), first)
		got = append(got, decisionIn(t, reply).Deployment)
	}
	if diff := cmp.Diff([]string{"d1", "d2", "d3"}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for name, want := range map[string]int64{keyName(): 3, keyName() + "/model:second": 1} {
		if used := l.used(t, name)[ratelimit.Requests]; used != want {
			t.Errorf("%s has counted %d requests, want %d", name, used, want)
		}
	}
}

// Names that share a limit count on it once, however many of them a request goes to.
func TestALimitThatFallbacksShareCountsARequestOnce(t *testing.T) {
	s, l, _ := stepping(t, record.Key{ModelRPM: map[string]int64{"*": 9}, ModelTPM: map[string]int64{"*": 10_000}})
	plays(t, s, "r", first, failed500, failed500, failed500, failed500)
	if got := l.used(t, keyName()+"/model:*"); got[ratelimit.Requests] != 1 || got[ratelimit.Parallel] != 1 {
		t.Errorf("used %v, want one request", got)
	}
	s, l, _ = stepping(t, record.Key{ModelRPM: map[string]int64{"*d": 9}})
	plays(t, s, "r", first, failed500, failed500, failed500, failed500)
	if got := l.used(t, keyName()+"/model:*d"); got[ratelimit.Requests] != 1 || got[ratelimit.Parallel] != 1 {
		t.Errorf("of the fallbacks alone: used %v, want one request", got)
	}
}

// Who got no byte of an answer pays nothing; the tokens that the provider may have counted stay.
func TestWhatNeverBeganToAnswerCostsNothing(t *testing.T) {
	for name, c := range map[string]struct {
		how   how
		costs bool
	}{
		"a connection that failed":     {refused, false},
		"a reset before the headers":   {broken, false},
		"an answer that took too long": {how{status: 504, details: "response_timeout"}, true},
		"a reset after the headers":    {how{status: 200, sent: 64, details: "upstream_reset_after_response_started{remote_reset}"}, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, l, money := stepping(t, record.Key{Terms: record.Terms{RPM: limit(9)}})
			a := begin(t, s, keyed(1, "r"), first)
			if c.how.status >= 300 {
				a.failed(t, s, c.how, nil)
			}
			a.ended(t, s, c.how)
			for _, cost := range money.charges {
				if cost > 0 != c.costs {
					t.Errorf("%d nano-dollars are charged", cost)
				}
			}
			for _, row := range money.rows {
				if row.Cost > 0 != c.costs {
					t.Errorf("the row of the log says %d", row.Cost)
				}
			}
			if used := l.used(t, keyName())[ratelimit.Tokens]; used == 0 != (name == "a connection that failed") {
				t.Errorf("%d tokens are counted", used)
			}
			if len(money.charges) == 0 || len(money.held) != 0 {
				t.Errorf("charged %v, held %v", money.charges, money.held)
			}
		})
	}
}
