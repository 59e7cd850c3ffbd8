package form

import (
	"encoding/json"
	"errors"
	"slices"
	"time"

	"github.com/nestor-gateway/nestor/access/record"
)

// Budget are the fields of /budget/new and /budget/update.
func Budget(now time.Time) Fields[record.Budget] {
	return slices.Concat(Fields[record.Budget]{
		id("budget_id", func(b *record.Budget) *string { return &b.ID }),
	}, termFields(now, func(b *record.Budget) *record.Terms { return &b.Terms }), Fields[record.Budget]{
		{"budget_reset_at", func(b *record.Budget, value json.RawMessage) error { return setReset(&b.Terms, value, now) }},
	}, unsupported[record.Budget]("model_max_budget", "tpd_limit"))
}

// setReset ends the current period at a time of its own, within a hundred years, as every period does; null leaves it.
func setReset(t *record.Terms, value json.RawMessage, now time.Time) error {
	var at *time.Time
	if json.Unmarshal(value, &at) != nil {
		return errors.New("must be a time such as 2026-01-31T00:00:00Z")
	}
	if at != nil && (at.Before(now.AddDate(-100, 0, 0)) || at.After(now.AddDate(100, 0, 0))) {
		return errors.New("must be a time within a hundred years from now")
	}
	if at != nil {
		t.BudgetResetAt = at.UTC()
	}
	return nil
}
