package form

import (
	"encoding/json"
	"errors"
	"slices"

	"github.com/nestor-gateway/nestor/access/record"
)

// Membership is the body of /team/member_add and /team/member_delete.
type Membership struct {
	Team string
	// Members are to be added, One is to be changed or deleted.
	Members []record.Member
	One     record.Member
}

// MemberAdd are the fields of /team/member_add.
func MemberAdd() Fields[Membership] {
	return slices.Concat(Fields[Membership]{
		id("team_id", func(m *Membership) *string { return &m.Team }),
		{"member", func(m *Membership, value json.RawMessage) error { return setMembers(&m.Members, value) }},
	}, unsupported[Membership]("max_budget_in_team", "budget_duration", "allowed_models"))
}

// MemberDelete are the fields of /team/member_delete.
func MemberDelete() Fields[Membership] {
	return Fields[Membership]{
		id("team_id", func(m *Membership) *string { return &m.Team }),
		id("user_id", func(m *Membership) *string { return &m.One.UserID }),
		id("user_email", func(m *Membership) *string { return &m.One.Email }),
	}
}

// MemberUpdate are the fields of /team/member_update. An empty list of models is no restriction.
func MemberUpdate() Fields[Membership] {
	return slices.Concat(MemberDelete(), Fields[Membership]{
		{"role", func(m *Membership, value json.RawMessage) error {
			if json.Unmarshal(value, &m.One.Role) != nil || m.One.Role != "" && !isSeatRole(m.One.Role) {
				return errors.New("must be admin or user")
			}
			return nil
		}},
	}, unsupported[Membership]("max_budget_in_team", "tpm_limit", "rpm_limit", "budget_duration", "allowed_models",
		"temp_budget_increase", "temp_budget_expiry"))
}

func isSeatRole(role string) bool { return role == "admin" || role == "user" }

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
	b, err := Parse(value)
	if err == nil {
		err = Fields[record.Member]{
			id("user_id", func(m *record.Member) *string { return &m.UserID }),
			id("user_email", func(m *record.Member) *string { return &m.Email }),
			text("role", func(m *record.Member) *string { return &m.Role }),
		}.Apply(b, &m)
	}
	switch {
	case err != nil:
		return m, errors.New("must be an object of user_id or user_email, and role, or a list of such")
	case m.UserID == "" && m.Email == "":
		return m, errors.New("has somebody with neither user_id nor user_email")
	case !isSeatRole(m.Role):
		return m, errors.New("has somebody whose role is neither admin nor user")
	}
	return m, nil
}
