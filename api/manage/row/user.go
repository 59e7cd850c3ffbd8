package row

import (
	"maps"

	"github.com/nestor-gateway/nestor/access/record"
	"github.com/nestor-gateway/nestor/api/reply"
)

// User is a user, with the ids of its teams.
func User(u record.User, teams []string) reply.Object {
	columns := reply.Object{
		"user_id": u.ID, "user_alias": OrNull(u.Alias), "user_email": OrNull(u.Email), "user_role": OrNull(u.Role),
		"models": orEmpty(u.Models), "model_rpm_limit": orNil(u.ModelRPM), "model_tpm_limit": orNil(u.ModelTPM), "metadata": metadata(u.Metadata, u.ModelRPM, u.ModelTPM, nil),
		"spend": u.Spend.USD(), "teams": orEmpty(teams),
		"sso_user_id": nil, "organization_id": nil, "organization_memberships": nil, "allowed_cache_controls": []string{},
		"model_spend": reply.Object{}, "model_max_budget": reply.Object{},
	}
	maps.Copy(columns, terms(u.Terms))
	maps.Copy(columns, stamp(u.Stamp))
	return columns
}
