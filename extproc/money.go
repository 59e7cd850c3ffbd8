package extproc

import (
	"cmp"
	"context"
	"encoding/hex"
	"encoding/json"
	"math"
	"time"

	"github.com/nestor-gateway/nestor/access"
	"github.com/nestor-gateway/nestor/access/budget"
	"github.com/nestor-gateway/nestor/access/record"
	"github.com/nestor-gateway/nestor/extproc/ending"
	"github.com/nestor-gateway/nestor/extproc/forward"
	"github.com/nestor-gateway/nestor/extproc/message"
	"github.com/nestor-gateway/nestor/extproc/openai"
	nestorv1 "github.com/nestor-gateway/nestor/proto/nestor/v1"
	"github.com/nestor-gateway/nestor/ratelimit"
	"github.com/nestor-gateway/nestor/routing/deployment"
)

// Budgets hold what attempts may cost. See budget.Ledger.
type Budgets interface {
	Reserve(ctx context.Context, r budget.Reservation) *budget.Denial
	Spent(a *budget.Account) record.Nano
}

// Till takes what attempts cost. It must not block.
type Till interface {
	// Charge settles what an attempt holds of budgets, once, and writes its row of the spend log, if it has one.
	Charge(id ratelimit.ID, cost record.Nano, row *record.Spend)
	// Renew has what it holds held for a time from now on at least.
	Renew(id ratelimit.ID, life time.Duration) bool
	// LogsAll says that requests have rows that no key pays for, too.
	LogsAll() bool
}

// charges reports whether requests of somebody go into the spend log.
func (s *Server) charges(who access.Principal) bool {
	return s.Till != nil && (who.Key != nil || s.Till.LogsAll())
}

// reserveMoney holds what the attempt may cost of the budgets of who asks. When it refuses, nothing is held any more.
func (s *Server) reserveMoney(ctx context.Context, d *decided) *openai.Error {
	if s.Budgets == nil || d.request.who.Key == nil {
		return nil
	}
	var room [3]*budget.Account
	accounts := d.request.who.Accounts(room[:0])
	d.keySpend = s.Budgets.Spent(accounts[0]).String()
	amount, least := d.price()
	denial := s.holdMoney(ctx, budget.Reservation{ID: d.request.hold, Accounts: accounts, Amount: amount, Least: least, Life: Life(s.Signs)})
	if denial == nil {
		return nil
	}
	s.giveBack(d)
	s.Metrics.overBudget.Inc()
	return overBudget(denial)
}

// holdMoney waits a little where what others hold is in the way: the request before may have ended already, and its log
// entry be on its way.
func (s *Server) holdMoney(ctx context.Context, r budget.Reservation) *budget.Denial {
	denial := s.Budgets.Reserve(ctx, r)
	if denial == nil || !denial.InFlight {
		return denial
	}
	s.waiters.Await(ctx, func() bool {
		denial = s.Budgets.Reserve(ctx, r)
		return denial != nil && denial.InFlight
	})
	return denial
}

// openOutput is the tokens that a completion is thought to have at least that the request sets no bound to. What it is
// longer than that may pass a budget, by every request that is in flight.
const openOutput = 4096

// price is what the attempt may cost: by the longest answer that the request allows, all of which has to be there, or else
// by a long one, for which a request that is alone makes do with less.
func (d *decided) price() (amount, least record.Nano) {
	tariff, input := d.pick.Deployment.Tariff, d.estimate.Input
	if most := d.mostOutput(); most > 0 {
		whole := record.Nano(tariff.Most(input, most))
		return whole, whole
	}
	long := max(d.estimate.Output, openOutput*d.completions())
	return record.Nano(tariff.Most(input, long)), record.Nano(tariff.Most(input, 0))
}

// mostOutput is how many tokens of output the request allows; 0 when it does not say.
func (d *decided) mostOutput() int64 {
	most, completions := d.fields.MostOutput(), max(1, d.completions())
	if most == nil {
		return 0
	}
	return min(*most, math.MaxInt64/completions) * completions
}

// overBudget says which budget stands in the way, with LiteLLM's words.
func overBudget(d *budget.Denial) *openai.Error {
	if d.Unsure {
		return openai.UnsureBudget(d.RetryAfter)
	}
	e := openai.OverBudget(string(record.KindOf(d.Account)), d.Spend.String(), d.Max.String(), d.RetryAfter)
	if d.RetryAfter == 0 {
		e.Headers = append(e.Headers, openai.Header{Name: "x-should-retry", Value: "false"})
	}
	return e
}

// tellCaller has the Decision tell who asked and what it costs, so that any replica can write the spend log.
func (d *decided) tellCaller(m *nestorv1.Decision) {
	m.Prices, m.MostOutput = ending.Prices(d.pick.Deployment.Tariff), d.mostOutput()
	if !d.charged {
		return
	}
	m.Endpoint, m.Path = d.request.route.Endpoint.String(), d.pick.Path
	m.Master, m.EndUser = d.request.who.Master, d.fields.User
	if k := d.request.who.Key; k != nil {
		m.Key, _ = hex.DecodeString(k.Token) // a token that is not hex is in no store
		m.Team, m.User, m.Tags = k.TeamID, k.UserID, k.Tags
		if k.Origin != k.Token {
			m.Origin = k.Origin
		}
	}
}

// addMoney is what Envoy tells the client of costs.
func (d *decided) addMoney(m *message.Metadata) {
	if chosen := d.pick.Deployment; chosen.Tariff != (deployment.Tariff{}) { // what is free needs no list
		m.Add(nestorv1.KeyPrices, chosen.PriceList)
	}
	if d.keySpend != "" {
		m.Add(nestorv1.KeyKeySpend, d.keySpend)
	}
}

// charge settles what is held here of budgets.
func (s *Server) charge(id ratelimit.ID, cost int64, row *record.Spend) {
	if s.Till != nil {
		s.Till.Charge(id, record.Nano(cost), row)
	}
}

// bill is what the end of an attempt costs: a row of the spend log, unless another attempt follows and this one cost
// nothing.
func (s *Server) bill(e ending.Entry, tokens int64) (cost int64, row *record.Spend) {
	cost = e.Cost(tokens)
	if s.Till == nil || e.Decision.Endpoint == "" || e.Decision.Probe || e.Retried && cost == 0 {
		return cost, nil
	}
	return cost, s.row(e, tokens, record.Nano(cost))
}

func (s *Server) row(e ending.Entry, tokens int64, cost record.Nano) *record.Spend {
	d := e.Decision
	row := &record.Spend{
		ID: record.SpendID(d.RequestId, d.Attempt), RequestID: d.RequestId,
		Start: time.Unix(0, d.DecidedUnixNano), Duration: e.Duration, FirstToken: e.First,
		Token: tokenOf(d), TeamID: d.Team, UserID: d.User, EndUser: d.EndUser, Tags: d.Tags,
		Model: d.Model, Group: d.Group, Path: d.Path, Deployment: d.Deployment, Endpoint: d.Endpoint,
		Prompt: e.Usage.Prompt, Completion: e.Usage.Completion, Total: max(e.Usage.Sum(), tokens),
		Cached: e.Usage.Cached, Reasoning: e.Usage.Reasoning,
		Cost: cost, Status: e.Status, Outcome: string(e.Outcome()), Attempts: int(d.Retries+d.Fallbacks) + 1, Stream: d.Stream,
		Accounts: accountsOf(d),
	}
	if known, ok := s.views.At(d.Snapshot).Snapshot().Deployment(d.Deployment); ok {
		row.Provider, row.ProviderModel, row.APIBase = known.Provider, known.Written, known.Base.String()
	}
	return row
}

// tokenOf is who asked, as the spend log has it.
func tokenOf(d *nestorv1.Decision) string {
	switch {
	case d.Master:
		return record.MasterToken
	case len(d.Key) > 0:
		return hex.EncodeToString(d.Key)
	}
	return ""
}

// originOf is the first token of the key; "" for other callers.
func originOf(d *nestorv1.Decision) string { return cmp.Or(d.Origin, hex.EncodeToString(d.Key)) }

// accountsOf are the budget accounts that an attempt is paid from.
func accountsOf(d *nestorv1.Decision) []string {
	if len(d.Key) == 0 {
		return nil
	}
	accounts := []string{record.AccountOf(record.OfKey, originOf(d))}
	if payer, id := record.Payer(d.Team, d.User); id != "" {
		accounts = append(accounts, record.AccountOf(payer, id))
	}
	return accounts
}

// sent is a bill on its way to another replica.
func sent(cost int64, row *record.Spend) forward.Bill {
	if row == nil {
		return forward.Bill{Nano: cost}
	}
	text, err := json.Marshal(row)
	if err != nil {
		text = nil // nothing in a row can't be written
	}
	return forward.Bill{Nano: cost, Row: text}
}
