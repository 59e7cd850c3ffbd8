package extproc

import (
	"context"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/nestor-gateway/nestor/access"
	"github.com/nestor-gateway/nestor/access/budget"
	"github.com/nestor-gateway/nestor/access/record"
	"github.com/nestor-gateway/nestor/access/store"
	"github.com/nestor-gateway/nestor/ratelimit"
)

// priced is a group of a group with prices of 1 and 2 nano-dollars a token.
const priced = `
model_list:
  - {model_name: fast, litellm_params: {model: fast/a}}
  - model_name: fast/a
    litellm_params: {model: openai/a, api_key: sk-up}
    model_info: {id: d1, input_cost_per_token: 0.000000001, output_cost_per_token: 0.000000002}
`

// till remembers what it is given, and what was held by id.
type till struct {
	keysOnly bool
	deny     *budget.Denial
	held     map[ratelimit.ID]record.Nano
	charges  []record.Nano
	rows     []record.Spend
}

func (t *till) Reserve(_ context.Context, r budget.Reservation) *budget.Denial {
	if t.deny == nil {
		t.held[r.ID] = r.Amount
	}
	return t.deny
}

func (t *till) Spent(*budget.Account) record.Nano { return 1_500_000_000 }

func (t *till) Charge(id ratelimit.ID, cost record.Nano, row *record.Spend) {
	if row != nil || cost == 0 {
		delete(t.held, id)
	}
	t.charges = append(t.charges, cost)
	if row != nil {
		t.rows = append(t.rows, *row)
	}
}

func (t *till) LogsAll() bool { return !t.keysOnly }

func (t *till) Renew(id ratelimit.ID, _ time.Duration) bool { _, ok := t.held[id]; return ok }

// withKeys is a fixture with virtual keys, whose "sk-..." texts are the names.
func withKeys(t *testing.T, yaml string, keys map[string]record.Key) (*Server, *till) {
	t.Helper()
	s, limits := limited(t, yaml)
	return s, giveKeys(t, s, limits, keys)
}

// giveKeys lets a server know virtual keys, whose limits a ledger keeps.
func giveKeys(t *testing.T, s *Server, limits *ledger, keys map[string]record.Key) *till {
	t.Helper()
	db, err := store.Open(t.Context(), store.Options{File: filepath.Join(t.TempDir(), "keys.db"), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	for text, key := range keys {
		key.Token = record.TokenOf(text)
		if err := db.InsertKey(t.Context(), key, record.Audit{}); err != nil {
			t.Fatal(err)
		}
	}
	index := access.New(access.Options{Store: db, NotFound: store.ErrNotFound, Entities: limits,
		Accounts: budget.New(budget.Options{})})
	if err := index.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	index.SetMaster(masterKey)
	index.SetCatalog(s.Router.View().Snapshot())
	s.Auth = func() Authenticator { return index }
	money := &till{held: map[ratelimit.ID]record.Nano{}}
	s.Budgets, s.Till = money, money
	return money
}

func bearer(key string) map[string]string { return map[string]string{"authorization": "Bearer " + key} }

func TestAKeyMayCallWhatItWasGiven(t *testing.T) {
	s, _ := withKeys(t, priced, map[string]record.Key{"sk-fast": {Models: []string{"fast"}}})
	if r := decideFor(t, s, bearer("sk-fast"), chat); r.GetRequestBody() == nil {
		t.Fatalf("refused: %v", r)
	}
	for body, want := range map[string]string{
		`{"model":"fast/a","messages":[]}`:                           "key_model_access_denied",
		`{"model":"d1","messages":[]}`:                               "key_model_access_denied",
		`{"model":"nothing","messages":[]}`:                          "key_model_access_denied",
		`{"model":"fast","messages":[],"fallbacks":["fast/a"]}`:      "key_model_access_denied",
		`{"model":"fast","messages":[],"fallbacks":["fast","none"]}`: "key_model_access_denied",
	} {
		r := decideFor(t, s, bearer("sk-fast"), body).GetImmediateResponse()
		if r == nil || r.Status.Code != 403 || !strings.Contains(string(r.Body), want) {
			t.Errorf("%s: %v, want 403 with %s", body, r, want)
		}
	}
	r := exchange(t, s, requestHeaders(bearer("sk-other"))).last().GetImmediateResponse()
	if r == nil || r.Status.Code != 401 {
		t.Errorf("another key: %v, want a 401 before the body", r)
	}
}

func TestALargeBodyOfAKeyWithALimitIsRefused(t *testing.T) {
	most := int64(len(chat))
	s, _ := withKeys(t, priced, map[string]record.Key{"sk-small": {MaxRequestBytes: &most}})
	if r := decideFor(t, s, bearer("sk-small"), chat); r.GetRequestBody() == nil {
		t.Fatalf("refused: %v", r)
	}
	if r := decideFor(t, s, bearer("sk-small"), chat+" ").GetImmediateResponse(); r == nil || r.Status.Code != 413 {
		t.Errorf("one byte more: %v", r)
	}
	headers := bearer("sk-small")
	headers["content-length"] = "31"
	if r := exchange(t, s, requestHeaders(headers)).last().GetImmediateResponse(); r == nil || r.Status.Code != 413 {
		t.Errorf("announced: %v", r)
	}
}

func TestWhatAKeySpendsIsReservedAndCharged(t *testing.T) {
	s, money := withKeys(t, priced, map[string]record.Key{"sk-fast": {TeamID: "", UserID: "ann", Tags: []string{"batch"}}})
	a := begin(t, s, bearer("sk-fast"), `{"model":"fast","max_tokens":10,"messages":[]}`)
	fields := a.decision.GetFields()["nestor.v1"].GetStructValue().GetFields()
	d := decode([]byte(fields["decision"].GetStringValue()))
	if len(money.held) != 1 {
		t.Fatalf("held: %v", money.held)
	}
	for _, amount := range money.held {
		if want := record.Nano(d.InputTokens + 2*10); amount != want {
			t.Errorf("%d nano-dollars are held, want %d", amount, want)
		}
	}
	if got := fields["key_spend"].GetStringValue(); got != "1.5" {
		t.Errorf("the client is told that the key has spent %q", got)
	}
	a.ended(t, s, how{status: 200, usage: tokens(7, 9)})
	if len(money.held) != 0 || len(money.rows) != 1 {
		t.Fatalf("held %v, rows %v", money.held, money.rows)
	}
	row := money.rows[0]
	got := record.Spend{Token: row.Token, UserID: row.UserID, Model: row.Model, Path: row.Path, Deployment: row.Deployment,
		Prompt: row.Prompt, Completion: row.Completion, Cost: row.Cost, Accounts: row.Accounts, Tags: row.Tags, Attempts: row.Attempts}
	token := record.TokenOf("sk-fast")
	want := record.Spend{Token: token, UserID: "ann", Model: "fast", Path: []string{"fast", "fast/a"}, Deployment: "d1",
		Prompt: 7, Completion: 9, Cost: 7 + 2*9, Accounts: []string{"key:" + token, "user:ann"}, Tags: []string{"batch"}, Attempts: 1}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestTheLogSaysWhomAClientAskedFor(t *testing.T) {
	s, money := withKeys(t, priced, nil)
	begin(t, s, nil, `{"model":"fast","user":"dora","messages":[]}`).ended(t, s, how{status: 200, usage: tokens(1, 1)})
	if len(money.rows) != 1 || money.rows[0].EndUser != "dora" {
		t.Errorf("rows: %+v", money.rows)
	}
}

func TestAnEmptyBudgetKeepsRequestsFromProviders(t *testing.T) {
	s, money := withKeys(t, priced, map[string]record.Key{"sk-fast": {}})
	money.deny = &budget.Denial{Account: "team:core", Spend: 2e9, Max: 1e9, RetryAfter: time.Minute}
	r := decideFor(t, s, bearer("sk-fast"), chat).GetImmediateResponse()
	if r == nil || r.Status.Code != 429 || !strings.Contains(string(r.Body), `"type":"budget_exceeded"`) || !strings.Contains(string(r.Body), "Current cost: 2, Max budget: 1") {
		t.Fatalf("%v", r)
	}
	if used := s.Router.View().LiveAll().Deployments[0].Limits[0].Used; used != 0 {
		t.Errorf("%d requests are reserved of the deployment", used)
	}
	if r := decideFor(t, s, nil, chat); r.GetRequestBody() == nil {
		t.Errorf("the master key is refused: %v", r)
	}
}

// An attempt that is tried again has no row of its own unless it cost something.
func TestARequestHasOneRow(t *testing.T) {
	s, money := withKeys(t, priced, nil)
	for i, c := range []struct {
		how  how
		rows int
	}{
		{how{status: 500, details: "via_upstream", retry: true}, 0},
		{how{status: 200, usage: tokens(1, 1)}, 1},
		{how{status: 500, details: "via_upstream"}, 1},
		{how{status: 504, details: "upstream_response_timeout", retry: true}, 1},
		{how{status: 0, abort: true, unsent: true}, 1},
	} {
		money.rows = nil
		begin(t, s, map[string]string{"x-nestor-request": string(rune('a' + i))}, chat).ended(t, s, c.how)
		if len(money.rows) != c.rows {
			t.Errorf("%+v: %d rows, want %d", c.how, len(money.rows), c.rows)
		}
		for _, row := range money.rows {
			if row.Token != record.MasterToken || len(row.Accounts) != 0 {
				t.Errorf("%+v: a row of %q that is paid by %v", c.how, row.Token, row.Accounts)
			}
		}
	}
}

func TestWithoutALogOnlyWhatAKeyPaysForHasARow(t *testing.T) {
	s, money := withKeys(t, priced, map[string]record.Key{"sk-fast": {}})
	money.keysOnly = true
	begin(t, s, nil, chat).ended(t, s, how{status: 200, usage: tokens(1, 1)})
	if len(money.rows) != 0 {
		t.Errorf("the master key's request has a row: %+v", money.rows)
	}
	begin(t, s, bearer("sk-fast"), chat).ended(t, s, how{status: 200, usage: tokens(1, 1)})
	if len(money.rows) != 1 {
		t.Errorf("%d rows, want that of the key", len(money.rows))
	}
}

// What a key's alias stands for is checked, so it must be what is called.
func TestAFallbackThatIsAnAliasOfTheKeyLeadsToWhatWasChecked(t *testing.T) {
	s, _ := withKeys(t, priced, map[string]record.Key{"sk-fast": {Models: []string{"fast"}, Aliases: map[string]string{"fast/a": "fast"}}})
	d := decisionIn(t, decideFor(t, s, bearer("sk-fast"), `{"model":"fast","messages":[],"fallbacks":["fast/a"]}`))
	if diff := cmp.Diff([]string{"fast"}, d.FallbackGroups); diff != "" {
		t.Error(diff)
	}
}

// 2^31 tokens of each of 2^16 choices for each of 2^17 prompts are more than an int64 holds.
func TestOutputBeyondAllNumbersIsReservedAsTheMostThereIs(t *testing.T) {
	s, money := withKeys(t, priced, map[string]record.Key{"sk-fast": {}})
	prompts := strings.Repeat(`"",`, 1<<17-1) + `""`
	body := `{"model":"fast","max_tokens":2147483647,"n":65536,"prompt":[` + prompts + `]}`
	headers := bearer("sk-fast")
	headers[":path"] = "/v1/completions"
	d := decisionIn(t, decideFor(t, s, headers, body))
	if d.MostOutput < 1<<62 {
		t.Errorf("the request allows %d tokens of output", d.MostOutput)
	}
	for _, amount := range money.held {
		if amount < record.FromUSD(1000) {
			t.Errorf("%v USD are held", amount)
		}
	}
}
