package main

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/nestor-gateway/nestor/access/budget"
	"github.com/nestor-gateway/nestor/access/record"
	"github.com/nestor-gateway/nestor/ratelimit"
)

func TestWhatNobodyToldTheEndOfIsInTheLogOfWhoPays(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	for name, want := range map[string]record.Spend{
		"of a team":                       {Token: "t", TeamID: "a:b", Accounts: []string{"key:t", "team:a:b"}},
		"of a user":                       {Token: "t", UserID: "u", Accounts: []string{"key:t", "user:u"}},
		"of a key made of a former token": {Token: "t", Accounts: []string{"key:t/x1"}},
	} {
		want.ID, want.Start, want.Cost, want.Outcome = "01000000000000000000000000000000", now, 5, "unknown"
		got := unheard(budget.Expired{ID: ratelimit.ID{1}, Cost: 5, Accounts: want.Accounts}, now)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}
