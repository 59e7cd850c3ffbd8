package manage

import (
	"github.com/nestor-gateway/nestor/access/record"
	"github.com/nestor-gateway/nestor/api/manage/form"
	"github.com/nestor-gateway/nestor/api/manage/row"
	"github.com/nestor-gateway/nestor/api/reply"
)

// resetSpend sets what a key has spent in its period to less, and says what it was.
func (h *Handler) resetSpend(c *call) (any, error) {
	to, err := form.OnlyAmount(c.body, "reset_to")
	if err != nil {
		return nil, err
	}
	named, _, _ := keyInPath(c.path)
	k, err := h.key(c, tokenOf(named))
	if err != nil {
		return nil, err
	}
	budgets, err := h.budgetsOf(c, []record.Key{k})
	if err != nil {
		return nil, err
	}
	var before record.Nano
	k, err = h.Store.UpdateKey(c, k.Token, c.audit(), func(k *record.Key) error {
		before = k.Spend
		k.Spend, k.UpdatedAt, k.UpdatedBy = to, h.now(), c.author()
		return checkReset(to, before, k.MaxBudget, budgets[k.BudgetID].MaxBudget)
	})
	if err != nil {
		return nil, err
	}
	h.apply(c, record.OfKey, k.Token)
	shown := row.Key(k, h.now())
	return reply.Object{
		"key_hash": k.Token, "spend": to.USD(), "previous_spend": before.USD(),
		"max_budget": shown["max_budget"], "budget_reset_at": shown["budget_reset_at"],
	}, nil
}

// checkReset is LiteLLM's rule: a reset to more would be a charge, and to more than a budget a block.
func checkReset(to, spend record.Nano, budgets ...*record.Nano) error {
	if to > spend {
		return reply.Bad("reset_to", "reset_to (%s) must be <= current spend (%s)", to, spend)
	}
	for _, most := range budgets {
		if most != nil && to > *most {
			return reply.Bad("reset_to", "reset_to (%s) must be <= budget (%s)", to, *most)
		}
	}
	return nil
}
