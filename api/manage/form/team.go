package form

import (
	"encoding/json"
	"slices"
	"time"

	"github.com/nestor-gateway/nestor/access/record"
)

// TeamUpdate are the fields of /team/update, and most of /team/new's.
func TeamUpdate(now time.Time) Fields[record.Team] {
	terms := termFields(now, func(t *record.Team) *record.Terms { return &t.Terms })
	shared := describedFields(describedTeam)
	return slices.Concat(Fields[record.Team]{
		id("team_id", func(t *record.Team) *string { return &t.ID }),
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

// TeamNew are the fields of /team/new.
func TeamNew(now time.Time) Fields[record.Team] {
	return append(TeamUpdate(now), field[record.Team]{"members_with_roles", func(t *record.Team, value json.RawMessage) error {
		return setMembers(&t.Members, value)
	}})
}

func describedTeam(t *record.Team) described {
	return described{&t.Metadata, &t.ModelRPM, &t.ModelTPM, &t.Tags}
}
