package row

import (
	"maps"

	"github.com/nestor-gateway/nestor/access/record"
	"github.com/nestor-gateway/nestor/api/reply"
)

// Budget is a budget.
func Budget(b record.Budget) reply.Object {
	columns := reply.Object{"budget_id": b.ID, "model_max_budget": nil}
	maps.Copy(columns, terms(b.Terms))
	maps.Copy(columns, stamp(b.Stamp))
	return columns
}
