package manage

import (
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/nestor-gateway/nestor/access/record"
	"github.com/nestor-gateway/nestor/api/reply"
)

// teamFields are those of /team/new and /team/update.
func teamFields(now time.Time) fields[record.Team] {
	terms := termFields(now, func(t *record.Team) *record.Terms { return &t.Terms })
	shared := describedFields(describedTeam)
	return slices.Concat(fields[record.Team]{
		text("team_id", func(t *record.Team) *string { return &t.ID }),
		text("team_alias", func(t *record.Team) *string { return &t.Alias }),
		texts("models", func(t *record.Team) *[]string { return &t.Models }),
		aliases("model_aliases", func(t *record.Team) *map[string]string { return &t.Aliases }),
		flag("blocked", func(t *record.Team) *bool { return &t.Blocked }),
		spent("spend", func(t *record.Team) *record.Nano { return &t.Spend }),
	}, terms, shared,
		unsupported[record.Team]("organization_id", "admins", "members", "guardrails", "policies", "prompts", "object_permission",
			"team_member_budget", "team_member_rpm_limit", "team_member_tpm_limit", "team_member_key_duration", "team_member_budget_duration",
			"secret_manager_settings", "router_settings", "access_group_ids", "budget_limits", "default_team_member_models", "model_max_budget",
			"tpd_limit", "allowed_vector_store_indexes", "enforced_batch_output_expires_after", "enforced_file_expires_after"),
		ignored[record.Team]("team_member_permissions", "allowed_passthrough_routes", "denied_passthrough_routes", "disable_global_guardrails",
			"rpm_limit_type", "tpm_limit_type", "mcp_rpm_limit", "default_estimated_output_tokens", "default_estimated_output_tokens_per_model"))
}

func describedTeam(t *record.Team) described {
	return described{&t.Metadata, &t.ModelRPM, &t.ModelTPM, &t.Tags}
}

// setMembers takes one member, or a list of them.
func setMembers(to *[]record.Member, value json.RawMessage) error {
	var many []json.RawMessage
	if json.Unmarshal(value, &many) != nil {
		many = []json.RawMessage{value}
	}
	members := []record.Member{}
	for _, one := range many {
		m, err := memberFrom(one)
		if err != nil {
			return err
		}
		members = append(members, m)
	}
	*to = members
	return nil
}

func memberFrom(value json.RawMessage) (record.Member, error) {
	var m record.Member
	b, err := parse(value)
	if err == nil {
		err = fields[record.Member]{
			text("user_id", func(m *record.Member) *string { return &m.UserID }),
			text("user_email", func(m *record.Member) *string { return &m.Email }),
			text("role", func(m *record.Member) *string { return &m.Role }),
		}.apply(b, &m)
	}
	switch {
	case err != nil:
		return m, errors.New("must be an object of user_id or user_email, and role, or a list of such")
	case m.UserID == "" && m.Email == "":
		return m, errors.New("has somebody with neither user_id nor user_email")
	case m.Role != "admin" && m.Role != "user":
		return m, errors.New("has somebody whose role is neither admin nor user")
	}
	return m, nil
}

func rowOfTeam(t record.Team) reply.Object {
	d := describedTeam(&t)
	row := reply.Object{
		"team_id": t.ID, "team_alias": orNull(t.Alias), "models": orEmpty(t.Models), "model_aliases": orNone(t.Aliases),
		"model_rpm_limit": orNil(t.ModelRPM), "model_tpm_limit": orNil(t.ModelTPM), "tags": orEmpty(t.Tags), "metadata": d.shown(),
		"blocked": t.Blocked, "members_with_roles": membersIn(t.Members), "spend": t.Spend.USD(),
		"admins": []string{}, "members": []string{}, "organization_id": nil, "model_id": nil, "model_spend": reply.Object{},
		"model_max_budget": reply.Object{}, "litellm_model_table": nil,
	}
	if len(t.Aliases) > 0 {
		row["litellm_model_table"] = reply.Object{"model_aliases": t.Aliases}
	}
	maps.Copy(row, rowOfTerms(t.Terms))
	maps.Copy(row, rowOfStamp(t.Stamp))
	return row
}

func membersIn(members []record.Member) []reply.Object {
	rows := make([]reply.Object, len(members))
	for i, m := range members {
		rows[i] = reply.Object{"user_id": orNull(m.UserID), "user_email": orNull(m.Email), "role": m.Role}
	}
	return rows
}
