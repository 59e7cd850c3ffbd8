package form

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/nestor-gateway/nestor/access/record"
)

// RoleViewer may see what everybody has and did; roleInternalViewer is LiteLLM's, and a user like others here.
const (
	RoleViewer         = "proxy_admin_viewer"
	roleInternalViewer = "internal_user_viewer"
)

// User is a user with what only requests about it have.
type User struct {
	record.User
	// Key is the key that /user/new makes, unless WithoutKey is set.
	Key        Key
	WithoutKey bool
	// Teams are those that the user comes into, each with the role in it.
	Teams []Seat
}

// Seat is a place in a team.
type Seat struct{ Team, Role string }

// userFields are most of the fields of /user/update and /user/new.
func userFields(now time.Time) Fields[User] {
	terms := termFields(now, func(u *User) *record.Terms { return &u.Terms })
	shared := describedFields(func(u *User) described { return describedUser(&u.User) })
	return slices.Concat(Fields[User]{
		id("user_id", func(u *User) *string { return &u.ID }),
		text("user_alias", func(u *User) *string { return &u.Alias }),
		id("user_email", func(u *User) *string { return &u.Email }),
		{"user_role", func(u *User, value json.RawMessage) error { return setRole(&u.Role, value) }},
		texts("models", func(u *User) *[]string { return &u.Models }),
		spent("spend", func(u *User) *record.Nano { return &u.Spend }),
	}, terms, shared,
		unsupported[User]("password", "organizations", "permissions", "config", "model_max_budget", "budget_limits", "budget_fallbacks",
			"guardrails", "policies", "prompts", "object_permission", "agent_id", "tag_rpm_limit", "blocked"),
		ignored[User]("send_invite_email", "sso_user_id", "allowed_cache_controls", "mcp_rpm_limit"))
}

// UserNew are the fields of /user/new.
func UserNew(now time.Time) Fields[User] {
	return append(userFields(now),
		text("key_alias", func(u *User) *string { return &u.Key.Alias }),
		id("team_id", func(u *User) *string { return &u.Key.TeamID }),
		aliases("aliases", func(u *User) *map[string]string { return &u.Key.Aliases }),
		unlessEmpty(field[User]{"duration", func(u *User, value json.RawMessage) error { return setExpiry(&u.Key.Expires, value, now) }}),
		field[User]{"teams", func(u *User, value json.RawMessage) error { return u.setTeams(value) }},
		field[User]{"auto_create_key", func(u *User, value json.RawMessage) error {
			make := true // for null, too
			if json.Unmarshal(value, &make) != nil {
				return errors.New("must be true or false")
			}
			u.WithoutKey = !make
			return nil
		}})
}

// UserUpdate are the fields of /user/update: they refuse what /user/new takes for other records.
func UserUpdate(now time.Time) Fields[User] {
	return slices.Concat(userFields(now), unsupported[User]("team_id", "teams", "aliases", "duration", "key_alias"),
		ignored[User]("auto_create_key"))
}

func describedUser(u *record.User) described {
	return described{&u.Metadata, &u.ModelRPM, &u.ModelTPM, nil}
}

func setRole(to *string, value json.RawMessage) error {
	roles := []string{record.RoleAdmin, RoleViewer, record.RoleInternal, roleInternalViewer}
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
func (u *User) setTeams(value json.RawMessage) error {
	var ids []string
	if json.Unmarshal(value, &ids) == nil {
		for _, id := range ids {
			u.Teams = append(u.Teams, Seat{id, "user"})
		}
		return nil
	}
	var many []json.RawMessage
	if json.Unmarshal(value, &many) != nil {
		return errors.New("must be a list of ids, or of objects with team_id and user_role")
	}
	for _, one := range many {
		s, err := seatFrom(one)
		if err != nil {
			return fmt.Errorf("has an entry that can't be meant: %w", err)
		}
		u.Teams = append(u.Teams, s)
	}
	return nil
}

func seatFrom(value json.RawMessage) (Seat, error) {
	s := Seat{Role: "user"}
	b, err := Parse(value)
	if err == nil {
		err = slices.Concat(Fields[Seat]{
			id("team_id", func(s *Seat) *string { return &s.Team }),
			text("user_role", func(s *Seat) *string { return &s.Role }),
		}, unsupported[Seat]("max_budget_in_team")).Apply(b, &s)
	}
	return s, err
}
