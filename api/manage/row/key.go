// Package row shows records as LiteLLM's answers do. Columns that Nestor has no use for are there with what they are
// when unused.
package row

import (
	"maps"
	"time"

	"github.com/nestor-gateway/nestor/access/record"
	"github.com/nestor-gateway/nestor/api/reply"
)

// Key is a key as it stands now.
func Key(k record.Key, now time.Time) reply.Object {
	columns := reply.Object{
		"token": k.Token, "key_name": k.Name, "key_alias": OrNull(k.Alias), "team_id": OrNull(k.TeamID), "user_id": OrNull(k.UserID),
		"budget_id": OrNull(k.BudgetID), "models": orEmpty(k.Models), "aliases": orNone(k.Aliases),
		"model_rpm_limit": orNil(k.ModelRPM), "model_tpm_limit": orNil(k.ModelTPM), "tags": orEmpty(k.Tags), "metadata": metadata(k.Metadata, k.ModelRPM, k.ModelTPM, k.Tags),
		"allowed_routes": orEmpty(k.AllowedRoutes), "max_request_size_mb": sizeOf(k.MaxRequestBytes), "blocked": k.Blocked,
		"expires": orNever(k.Expires), "status": statusOf(k, now), "spend": k.Spend.USD(),
		"config": reply.Object{}, "permissions": reply.Object{}, "allowed_cache_controls": []string{}, "model_spend": reply.Object{},
		"model_max_budget": reply.Object{}, "organization_id": nil, "litellm_budget_table": nil,
	}
	maps.Copy(columns, terms(k.Terms))
	maps.Copy(columns, stamp(k.Stamp))
	return columns
}

func terms(t record.Terms) reply.Object {
	return reply.Object{
		"rpm_limit": t.RPM, "tpm_limit": t.TPM, "max_parallel_requests": t.MaxParallel,
		"max_budget": usd(t.MaxBudget), "soft_budget": usd(t.SoftBudget),
		"budget_duration": OrNull(t.BudgetDuration), "budget_reset_at": orNever(t.BudgetResetAt),
	}
}

func stamp(s record.Stamp) reply.Object {
	return reply.Object{
		"created_at": orNever(s.CreatedAt), "created_by": OrNull(s.CreatedBy),
		"updated_at": orNever(s.UpdatedAt), "updated_by": OrNull(s.UpdatedBy),
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

// OrNull is null for an empty text.
func OrNull(s string) any {
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
	return float64(*bytes) / (1 << 20)
}
