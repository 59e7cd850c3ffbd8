package manage

import (
	"context"

	"github.com/nestor-gateway/nestor/access/record"
	"github.com/nestor-gateway/nestor/access/store"
	"github.com/nestor-gateway/nestor/api/manage/row"
	"github.com/nestor-gateway/nestor/api/reply"
)

// keyRow is a key as it is shown, with the budget that it refers to.
func (h *Handler) keyRow(ctx context.Context, k record.Key) (reply.Object, error) {
	rows, err := h.keyRows(ctx, []record.Key{k})
	if err != nil {
		return nil, err
	}
	return rows[0], nil
}

func (h *Handler) keyRows(ctx context.Context, keys []record.Key) ([]reply.Object, error) {
	budgets, err := h.budgetsOf(ctx, keys)
	if err != nil {
		return nil, err
	}
	rows := make([]reply.Object, len(keys))
	for i, k := range keys {
		rows[i] = row.Key(k, h.now())
		if b, ok := budgets[k.BudgetID]; ok {
			rows[i]["litellm_budget_table"] = row.Budget(b)
		}
	}
	return rows, nil
}

// budgetsOf finds the budgets that keys refer to, by id.
func (h *Handler) budgetsOf(ctx context.Context, keys []record.Key) (map[string]record.Budget, error) {
	ids := map[string]bool{}
	for _, k := range keys {
		if k.BudgetID != "" {
			ids[k.BudgetID] = true
		}
	}
	budgets := map[string]record.Budget{}
	if len(ids) == 0 {
		return budgets, nil
	}
	q := store.BudgetQuery{}
	for id := range ids {
		q.IDs = append(q.IDs, id)
	}
	found, _, err := h.Store.Budgets(ctx, q)
	for _, b := range found {
		budgets[b.ID] = b
	}
	return budgets, err
}
