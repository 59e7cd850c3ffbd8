package access_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/nestor-gateway/nestor/access"
	"github.com/nestor-gateway/nestor/access/budget"
	"github.com/nestor-gateway/nestor/access/record"
)

// books is a ledger that notes what it is told.
type books struct {
	*budget.Ledger
	set     map[string]account
	dropped []string
}

type account struct {
	Terms budget.Terms
	Spend record.Nano
}

func newBooks() *books {
	return &books{Ledger: budget.New(budget.Options{}), set: map[string]account{}}
}

func (b *books) Set(a *budget.Account, t budget.Terms, spend record.Nano) {
	b.set[a.Name()] = account{t, spend}
}

func (b *books) Drop(name string) { b.dropped = append(b.dropped, name) }

func accountsOf(p access.Principal) []string {
	var out []string
	for _, a := range p.Accounts(nil) {
		out = append(out, a.Name())
	}
	return out
}

func TestWhatARequestCostsCountsOnItsKeyAndItsTeamOrUser(t *testing.T) {
	m := newMemory()
	m.teams["t"] = record.Team{ID: "t"}
	m.users["u"] = record.User{ID: "u"}
	team := m.addKey("team", record.Key{TeamID: "t", UserID: "u"}).Token
	user := m.addKey("user", record.Key{UserID: "u"}).Token
	alone := m.addKey("alone", record.Key{UserID: "unknown"}).Token
	x := loaded(t, m, access.Options{Accounts: newBooks()})
	got := map[string][]string{"master": accountsOf(access.Principal{Master: true})}
	for _, name := range []string{"team", "user", "alone"} {
		got[name] = accountsOf(as(t, x, name))
	}
	want := map[string][]string{"team": {"key:" + team, "team:t"}, "user": {"key:" + user, "user:u"}, "alone": {"key:" + alone}, "master": nil}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if got := accountsOf(as(t, loaded(t, m, access.Options{}), "team")); got != nil {
		t.Errorf("without a ledger: %q", got)
	}
}

func TestAccountsHaveTheTermsOfTheRecordsAndGoWithThem(t *testing.T) {
	m, b := newMemory(), newBooks()
	soft, most, budgets := record.Nano(1), record.Nano(2), record.Nano(3)
	reset := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	m.budgets["b"] = record.Budget{ID: "b", Terms: record.Terms{MaxBudget: &budgets, SoftBudget: &soft, BudgetDuration: "1d"}}
	m.teams["t"] = record.Team{ID: "t", Spend: 5, Terms: record.Terms{MaxBudget: &most, BudgetDuration: "30d", BudgetResetAt: reset}}
	m.users["u"] = record.User{ID: "u"}
	k := m.addKey("a", record.Key{TeamID: "t", BudgetID: "b", Spend: 4, Terms: record.Terms{MaxBudget: &most, BudgetResetAt: reset}})
	x := loaded(t, m, access.Options{Accounts: b})
	want := map[string]account{
		"key:" + k.Token: {budget.Terms{Max: &most, Soft: &soft, Duration: "1d", ResetAt: reset}, 4},
		"team:t":         {budget.Terms{Max: &most, Duration: "30d", ResetAt: reset}, 5},
		"user:u":         {},
	}
	if diff := cmp.Diff(want, b.set); diff != "" {
		t.Error(diff)
	}
	m.change(func() { clear(m.keys); clear(m.teams) })
	for _, c := range []record.Change{{Kind: record.OfTeam, ID: "t"}, {Kind: record.OfUser, ID: "u"}} {
		if err := x.Apply(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff([]string{"team:t", "key:" + k.Token}, b.dropped); diff != "" {
		t.Error(diff)
	}
}
