package row

import (
	"maps"

	"github.com/nestor-gateway/nestor/access/record"
	"github.com/nestor-gateway/nestor/api/reply"
)

// Team is a team.
func Team(t record.Team) reply.Object {
	columns := reply.Object{
		"team_id": t.ID, "team_alias": OrNull(t.Alias), "models": orEmpty(t.Models), "model_aliases": orNone(t.Aliases),
		"model_rpm_limit": orNil(t.ModelRPM), "model_tpm_limit": orNil(t.ModelTPM), "tags": orEmpty(t.Tags), "metadata": metadata(t.Metadata, t.ModelRPM, t.ModelTPM, t.Tags),
		"blocked": t.Blocked, "members_with_roles": membersIn(t.Members), "spend": t.Spend.USD(),
		"admins": []string{}, "members": []string{}, "organization_id": nil, "model_id": nil, "model_spend": reply.Object{},
		"model_max_budget": reply.Object{}, "litellm_model_table": nil,
	}
	if len(t.Aliases) > 0 {
		columns["litellm_model_table"] = reply.Object{"model_aliases": t.Aliases}
	}
	maps.Copy(columns, terms(t.Terms))
	maps.Copy(columns, stamp(t.Stamp))
	return columns
}

func membersIn(members []record.Member) []reply.Object {
	rows := make([]reply.Object, len(members))
	for i, m := range members {
		rows[i] = reply.Object{"user_id": OrNull(m.UserID), "user_email": OrNull(m.Email), "role": m.Role}
	}
	return rows
}
