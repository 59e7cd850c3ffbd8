package manage

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/nestor-gateway/nestor/access/record"
	"github.com/nestor-gateway/nestor/api/reply"
)

const (
	roleViewer         = "proxy_admin_viewer"
	roleInternalViewer = "internal_user_viewer"
)

// userForm is a user with what only its requests have.
type userForm struct {
	record.User
	// key is the key that /user/new makes, unless without is set.
	key     keyForm
	without bool
	// teams are those that the user comes into, each with the role in it.
	teams []seat
}

// seat is a place in a team.
type seat struct{ team, role string }

// userFields are those of /user/update, and most of /user/new's.
func userFields(now time.Time) fields[userForm] {
	terms := termFields(now, func(u *userForm) *record.Terms { return &u.Terms })
	shared := describedFields(func(u *userForm) described { return describedUser(&u.User) })
	return slices.Concat(fields[userForm]{
		text("user_id", func(u *userForm) *string { return &u.ID }),
		text("user_alias", func(u *userForm) *string { return &u.Alias }),
		text("user_email", func(u *userForm) *string { return &u.Email }),
		{"user_role", func(u *userForm, value json.RawMessage) error { return setRole(&u.Role, value) }},
		texts("models", func(u *userForm) *[]string { return &u.Models }),
		spent("spend", func(u *userForm) *record.Nano { return &u.Spend }),
	}, terms, shared,
		unsupported[userForm]("password", "organizations", "permissions", "config", "model_max_budget", "budget_limits", "budget_fallbacks",
			"guardrails", "policies", "prompts", "object_permission", "agent_id", "tag_rpm_limit", "blocked"),
		ignored[userForm]("send_invite_email", "sso_user_id", "allowed_cache_controls", "mcp_rpm_limit"))
}

// newUserFields are those of /user/new.
func newUserFields(now time.Time) fields[userForm] {
	return append(userFields(now),
		text("key_alias", func(u *userForm) *string { return &u.key.Alias }),
		text("team_id", func(u *userForm) *string { return &u.key.TeamID }),
		aliases("aliases", func(u *userForm) *map[string]string { return &u.key.Aliases }),
		field[userForm]{"duration", func(u *userForm, value json.RawMessage) error { return setExpiry(&u.key.Expires, value, now) }},
		field[userForm]{"teams", func(u *userForm, value json.RawMessage) error { return u.setTeams(value) }},
		field[userForm]{"auto_create_key", func(u *userForm, value json.RawMessage) error {
			var make bool
			if json.Unmarshal(value, &make) != nil {
				return errors.New("must be true or false")
			}
			u.without = !make
			return nil
		}})
}

// updateUserFields refuse what /user/new takes for other records.
func updateUserFields(now time.Time) fields[userForm] {
	return slices.Concat(userFields(now), unsupported[userForm]("team_id", "teams", "aliases", "duration", "key_alias"),
		ignored[userForm]("auto_create_key"))
}

func describedUser(u *record.User) described {
	return described{&u.Metadata, &u.ModelRPM, &u.ModelTPM, nil}
}

func setRole(to *string, value json.RawMessage) error {
	roles := []string{record.RoleAdmin, roleViewer, record.RoleInternal, roleInternalViewer}
	var role string
	if isNull(value) {
		return nil
	}
	if json.Unmarshal(value, &role) != nil || !slices.Contains(roles, role) {
		return fmt.Errorf("must be one of %v", roles)
	}
	*to = role
	return nil
}

// setTeams takes ids, or objects with team_id and user_role.
func (u *userForm) setTeams(value json.RawMessage) error {
	var ids []string
	if json.Unmarshal(value, &ids) == nil {
		for _, id := range ids {
			u.teams = append(u.teams, seat{id, "user"})
		}
		return nil
	}
	var many []json.RawMessage
	if json.Unmarshal(value, &many) != nil {
		return errors.New("must be a list of ids, or of objects with team_id and user_role")
	}
	for _, one := range many {
		s := seat{role: "user"}
		b, err := parse(one)
		if err == nil {
			err = slices.Concat(fields[seat]{
				text("team_id", func(s *seat) *string { return &s.team }),
				text("user_role", func(s *seat) *string { return &s.role }),
			}, unsupported[seat]("max_budget_in_team")).apply(b, &s)
		}
		if err != nil {
			return fmt.Errorf("has an entry that can't be meant: %w", err)
		}
		u.teams = append(u.teams, s)
	}
	return nil
}

func rowOfUser(u record.User, teams []string) reply.Object {
	d := describedUser(&u)
	row := reply.Object{
		"user_id": u.ID, "user_alias": orNull(u.Alias), "user_email": orNull(u.Email), "user_role": orNull(u.Role),
		"models": orEmpty(u.Models), "model_rpm_limit": orNil(u.ModelRPM), "model_tpm_limit": orNil(u.ModelTPM), "metadata": d.shown(),
		"spend": u.Spend.USD(), "teams": orEmpty(teams),
		"sso_user_id": nil, "organization_id": nil, "organization_memberships": nil, "allowed_cache_controls": []string{},
		"model_spend": reply.Object{}, "model_max_budget": reply.Object{},
	}
	maps.Copy(row, rowOfTerms(u.Terms))
	maps.Copy(row, rowOfStamp(u.Stamp))
	return row
}
