package manage

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/nestor-gateway/nestor/access/record"
	"github.com/nestor-gateway/nestor/access/store"
	"github.com/nestor-gateway/nestor/api/manage/form"
	"github.com/nestor-gateway/nestor/api/reply"
)

// checkKey checks what a key is to be against what it refers to. before is the zero key for one that is to be made.
func (h *Handler) checkKey(ctx context.Context, before record.Key, planned form.Key) error {
	after := planned.Key
	if strings.ContainsFunc(after.Alias, func(r rune) bool { return r < ' ' }) || len(after.Alias) > 255 {
		return reply.Bad("key_alias", "Invalid key_alias: it must be at most 255 bytes without control characters.")
	}
	if err := h.checkBudget(ctx, before.BudgetID, after.BudgetID); err != nil {
		return err
	}
	if after.TeamID == "" {
		return nil
	}
	team, err := h.Store.Team(ctx, after.TeamID)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return reply.Bad("team_id", "Unable to find team object in database. Team ID: %.200s", after.TeamID)
	case err != nil:
		return err
	}
	if before.Token != "" && before.TeamID != after.TeamID {
		if err := checkMove(after, team); err != nil {
			return err
		}
	}
	if before.TeamID != after.TeamID || !slices.Equal(before.Models, after.Models) {
		if err := h.checkModels(after.Models, team); err != nil {
			return err
		}
	}
	if planned.Guaranteed {
		return h.checkGuarantee(ctx, before.Token, after, team)
	}
	return nil
}

func (h *Handler) checkBudget(ctx context.Context, before, after string) error {
	if after == "" || after == before {
		return nil
	}
	_, err := h.Store.Budget(ctx, after)
	if errors.Is(err, store.ErrNotFound) {
		return reply.Bad("budget_id", "no budget has the id %.200q; make it with /budget/new", after)
	}
	return err
}

// checkMove checks a key that comes to another team: its user must be a member, and its limits must fit.
func checkMove(k record.Key, team record.Team) error {
	if k.UserID != "" && !isMember(team, k.UserID) {
		return reply.Forbidden("User=%.200s is not a member of the team=%.200s. Check team members via `/team/info`.", k.UserID, team.ID)
	}
	for _, l := range []struct {
		name      string
		own, most *int64
	}{{"tpm_limit", k.TPM, team.TPM}, {"rpm_limit", k.RPM, team.RPM}} {
		if l.own != nil && l.most != nil && *l.own > *l.most {
			return reply.Forbidden("Key has a %s=%d which is greater than the team's %s=%d.", l.name, *l.own, l.name, *l.most)
		}
	}
	return nil
}

func isMember(team record.Team, user string) bool {
	return slices.ContainsFunc(team.Members, func(m record.Member) bool { return m.UserID == user })
}

// checkModels refuses a name that the team has not: the key could never call it.
func (h *Handler) checkModels(models []string, team record.Team) error {
	for _, m := range models {
		if m == "all-team-models" || h.allows(team.Models, m) {
			continue
		}
		p := reply.Failure(http.StatusForbidden, "team_model_access_denied", "models", "")
		p.Message = "Team=" + team.ID + " has no access to the model " + m + "; it may call: " + strings.Join(team.Models, ", ")
		return p
	}
	return nil
}

func (h *Handler) allows(models []string, name string) bool {
	if h.Allows != nil {
		return h.Allows(models, name)
	}
	return len(models) == 0 || slices.Contains(models, name)
}

// checkGuarantee refuses limits that, together with those of the team's other keys, are more than the team's. before is the
// token that the key has until now.
func (h *Handler) checkGuarantee(ctx context.Context, before string, k record.Key, team record.Team) error {
	others, _, err := h.Store.Keys(ctx, store.KeyQuery{TeamID: team.ID})
	if err != nil {
		return err
	}
	others = slices.DeleteFunc(others, func(o record.Key) bool { return o.Token == k.Token || o.Token == before })
	for _, l := range guarantees(k, team) {
		if l.own == nil || l.most == nil {
			continue
		}
		var allocated int64
		for _, o := range others {
			allocated += l.of(o)
		}
		if allocated+*l.own > *l.most {
			return reply.Bad(l.param, "Allocated %s limit=%d + Key %s limit=%d is greater than team %s limit=%d", l.unit, allocated, l.unit, *l.own, l.unit, *l.most)
		}
	}
	return nil
}

// guarantee is one limit of a key that must fit into its team's.
type guarantee struct {
	param, unit string
	own, most   *int64
	of          func(record.Key) int64
}

func guarantees(k record.Key, team record.Team) []guarantee {
	all := []guarantee{
		{"rpm_limit", "RPM", k.RPM, team.RPM, func(o record.Key) int64 { return orZero(o.RPM) }},
		{"tpm_limit", "TPM", k.TPM, team.TPM, func(o record.Key) int64 { return orZero(o.TPM) }},
	}
	for model, own := range k.ModelRPM {
		all = append(all, guarantee{"model_rpm_limit", "RPM", &own, ofModel(team.RPM, team.ModelRPM, model), func(o record.Key) int64 { return o.ModelRPM[model] }})
	}
	for model, own := range k.ModelTPM {
		all = append(all, guarantee{"model_tpm_limit", "TPM", &own, ofModel(team.TPM, team.ModelTPM, model), func(o record.Key) int64 { return o.ModelTPM[model] }})
	}
	return all
}

// ofModel is a team's limit for a model: its limit for all, as in LiteLLM, goes before.
func ofModel(whole *int64, models map[string]int64, model string) *int64 {
	if most, ok := models[model]; ok && whole == nil {
		return &most
	}
	return whole
}

func orZero(n *int64) int64 {
	if n == nil {
		return 0
	}
	return *n
}
