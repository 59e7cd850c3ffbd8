package manage

import (
	"context"
	"maps"
	"time"

	"github.com/nestor-gateway/nestor/access/record"
	"github.com/nestor-gateway/nestor/access/store"
	"github.com/nestor-gateway/nestor/api/reply"
)

// Rows have LiteLLM's columns. Those that Nestor has no use for are there with what they are when unused.

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
		rows[i] = rowOfKey(k, h.now())
		if b, ok := budgets[k.BudgetID]; ok {
			rows[i]["litellm_budget_table"] = rowOfBudget(b)
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

func rowOfKey(k record.Key, now time.Time) reply.Object {
	d := describedKey(&k)
	row := reply.Object{
		"token": k.Token, "key_name": k.Name, "key_alias": orNull(k.Alias), "team_id": orNull(k.TeamID), "user_id": orNull(k.UserID),
		"budget_id": orNull(k.BudgetID), "models": orEmpty(k.Models), "aliases": orNone(k.Aliases),
		"model_rpm_limit": orNil(k.ModelRPM), "model_tpm_limit": orNil(k.ModelTPM), "tags": orEmpty(k.Tags), "metadata": d.shown(),
		"allowed_routes": orEmpty(k.AllowedRoutes), "max_request_size_mb": sizeOf(k.MaxRequestBytes), "blocked": k.Blocked,
		"expires": orNever(k.Expires), "status": statusOf(k, now), "spend": k.Spend.USD(),
		"config": reply.Object{}, "permissions": reply.Object{}, "allowed_cache_controls": []string{}, "model_spend": reply.Object{},
		"model_max_budget": reply.Object{}, "organization_id": nil, "litellm_budget_table": nil,
	}
	maps.Copy(row, rowOfTerms(k.Terms))
	maps.Copy(row, rowOfStamp(k.Stamp))
	return row
}

func rowOfTerms(t record.Terms) reply.Object {
	return reply.Object{
		"rpm_limit": t.RPM, "tpm_limit": t.TPM, "max_parallel_requests": t.MaxParallel,
		"max_budget": usd(t.MaxBudget), "soft_budget": usd(t.SoftBudget),
		"budget_duration": orNull(t.BudgetDuration), "budget_reset_at": orNever(t.BudgetResetAt),
	}
}

func rowOfStamp(s record.Stamp) reply.Object {
	return reply.Object{
		"created_at": orNever(s.CreatedAt), "created_by": orNull(s.CreatedBy),
		"updated_at": orNever(s.UpdatedAt), "updated_by": orNull(s.UpdatedBy),
	}
}

// statusOf is LiteLLM's word for how a key stands.
func statusOf(k record.Key, now time.Time) string {
	switch {
	case k.Blocked:
		return "revoked"
	case !k.Expires.IsZero() && k.Expires.Before(now):
		return "expired"
	}
	return "active"
}

func orNull(s string) any {
	if s == "" {
		return nil
	}
	return s
}

func orNever(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.UTC()
}

func orNil(m map[string]int64) any {
	if len(m) == 0 {
		return nil
	}
	return m
}

func usd(n *record.Nano) any {
	if n == nil {
		return nil
	}
	return n.USD()
}

func sizeOf(bytes *int64) any {
	if bytes == nil {
		return nil
	}
	return float64(*bytes) / mib
}
