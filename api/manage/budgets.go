package manage

import (
	"cmp"
	"errors"

	"github.com/nestor-gateway/nestor/access/record"
	"github.com/nestor-gateway/nestor/access/store"
	"github.com/nestor-gateway/nestor/api/manage/form"
	"github.com/nestor-gateway/nestor/api/manage/row"
	"github.com/nestor-gateway/nestor/api/reply"
)

func (h *Handler) newBudget(c *call) (any, error) {
	b := record.Budget{Stamp: h.stamp(c)}
	if err := form.Budget(h.now()).Apply(c.body, &b); err != nil {
		return nil, err
	}
	b.ID = cmp.Or(b.ID, newID())
	err := h.Store.InsertBudget(c, b, c.audit())
	if errors.Is(err, store.ErrTaken) {
		return nil, reply.Bad("budget_id", "Budget with id '%.200s' already exists.", b.ID)
	}
	if err != nil {
		return nil, err
	}
	h.apply(c, record.OfBudget, b.ID)
	return row.Budget(b), nil
}

func (h *Handler) updateBudget(c *call) (any, error) {
	id, err := c.body.Text("budget_id")
	switch {
	case err != nil:
		return nil, err
	case id == "":
		return nil, reply.Bad("budget_id", "budget_id is required")
	}
	b, err := h.Store.UpdateBudget(c, id, c.audit(), func(b *record.Budget) error {
		b.UpdatedAt, b.UpdatedBy = h.now(), c.author()
		return form.Budget(h.now()).Apply(c.body, b)
	})
	if errors.Is(err, store.ErrNotFound) {
		return nil, noBudget(id)
	}
	if err != nil {
		return nil, err
	}
	h.apply(c, record.OfBudget, id)
	return row.Budget(b), nil
}

func noBudget(id string) error {
	return reply.NotFound("budget_id", "Budget not found, passed budget_id=%.200s", id)
}

// deleteBudget refuses to delete a budget that keys refer to: they would have no limits any more.
func (h *Handler) deleteBudget(c *call) (any, error) {
	id, err := form.OnlyText(c.body, "id")
	if err != nil {
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
		return nil, reply.Bad("id", "%d keys refer to the budget %.200q and would have no limits without it: change them first", used, id)
	}
	if _, err := h.Store.DeleteBudgets(c, []string{id}, c.audit()); err != nil {
		return nil, err
	}
	h.apply(c, record.OfBudget, id)
	return row.Budget(b), nil
}

func (h *Handler) budgetInfo(c *call) (any, error) {
	ids, err := form.OnlyTexts(c.body, "budgets")
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
		rows = append(rows, row.Budget(b))
	}
	return rows, err
}
