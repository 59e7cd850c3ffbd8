package manage

import (
	"cmp"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/nestor-gateway/nestor/access/record"
	"github.com/nestor-gateway/nestor/access/store"
	"github.com/nestor-gateway/nestor/api/reply"
)

// budgetFields are those of /budget/new and /budget/update.
func budgetFields(now time.Time) fields[record.Budget] {
	return slices.Concat(fields[record.Budget]{
		text("budget_id", func(b *record.Budget) *string { return &b.ID }),
	}, termFields(now, func(b *record.Budget) *record.Terms { return &b.Terms }), fields[record.Budget]{
		{"budget_reset_at", func(b *record.Budget, value json.RawMessage) error { return setReset(&b.Terms, value) }},
	}, unsupported[record.Budget]("model_max_budget", "tpd_limit"))
}

// setReset ends the current period at a time of its own; null leaves it.
func setReset(t *record.Terms, value json.RawMessage) error {
	var at *time.Time
	if json.Unmarshal(value, &at) != nil {
		return errors.New("must be a time such as 2026-01-31T00:00:00Z")
	}
	if at != nil {
		t.BudgetResetAt = at.UTC()
	}
	return nil
}

func (h *Handler) newBudget(c *call) (any, error) {
	b := record.Budget{Stamp: h.stamp(c)}
	if err := budgetFields(h.now()).apply(c.body, &b); err != nil {
		return nil, err
	}
	b.ID = cmp.Or(b.ID, newID())
	err := h.Store.InsertBudget(c, b, c.audit())
	if errors.Is(err, store.ErrTaken) {
		return nil, bad("budget_id", "Budget with id '%.200s' already exists.", b.ID)
	}
	if err != nil {
		return nil, err
	}
	h.apply(c, record.OfBudget, b.ID)
	return rowOfBudget(b), nil
}

func (h *Handler) updateBudget(c *call) (any, error) {
	id, err := c.body.text("budget_id")
	switch {
	case err != nil:
		return nil, err
	case id == "":
		return nil, bad("budget_id", "budget_id is required")
	}
	b, err := h.Store.UpdateBudget(c, id, c.audit(), func(b *record.Budget) error {
		b.UpdatedAt, b.UpdatedBy = h.now(), c.author()
		return budgetFields(h.now()).apply(c.body, b)
	})
	if errors.Is(err, store.ErrNotFound) {
		return nil, noBudget(id)
	}
	if err != nil {
		return nil, err
	}
	h.apply(c, record.OfBudget, id)
	return rowOfBudget(b), nil
}

func noBudget(id string) error {
	return notFound("budget_id", "Budget not found, passed budget_id=%.200s", id)
}

// deleteBudget refuses to delete a budget that keys refer to: they would have no limits any more.
func (h *Handler) deleteBudget(c *call) (any, error) {
	var id string
	if err := (fields[string]{text("id", func(to *string) *string { return to })}).apply(c.body, &id); err != nil {
		return nil, err
	}
	b, err := h.Store.Budget(c, id)
	if errors.Is(err, store.ErrNotFound) {
		return nil, noBudget(id)
	}
	if err != nil {
		return nil, err
	}
	_, used, err := h.Store.Keys(c, store.KeyQuery{BudgetID: id, Limit: 1})
	switch {
	case err != nil:
		return nil, err
	case used > 0:
		return nil, bad("id", "%d keys refer to the budget %.200q and would have no limits without it: change them first", used, id)
	}
	if _, err := h.Store.DeleteBudgets(c, []string{id}, c.audit()); err != nil {
		return nil, err
	}
	h.apply(c, record.OfBudget, id)
	return rowOfBudget(b), nil
}

func (h *Handler) budgetInfo(c *call) (any, error) {
	ids, err := c.ids("budgets")
	if err != nil {
		return nil, err
	}
	return h.budgetRows(c, store.BudgetQuery{IDs: ids})
}

func (h *Handler) listBudgets(c *call) (any, error) { return h.budgetRows(c, store.BudgetQuery{}) }

func (h *Handler) budgetRows(c *call, q store.BudgetQuery) (any, error) {
	found, _, err := h.Store.Budgets(c, q)
	rows := []reply.Object{}
	for _, b := range found {
		rows = append(rows, rowOfBudget(b))
	}
	return rows, err
}

func rowOfBudget(b record.Budget) reply.Object {
	row := reply.Object{"budget_id": b.ID, "model_max_budget": nil}
	maps.Copy(row, rowOfTerms(b.Terms))
	maps.Copy(row, rowOfStamp(b.Stamp))
	return row
}
