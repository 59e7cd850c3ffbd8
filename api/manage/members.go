package manage

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/nestor-gateway/nestor/access/record"
	"github.com/nestor-gateway/nestor/access/store"
	"github.com/nestor-gateway/nestor/api/manage/form"
	"github.com/nestor-gateway/nestor/api/manage/row"
	"github.com/nestor-gateway/nestor/api/reply"
)

// addMembers adds people to a team. Users that are not there yet are made.
func (h *Handler) addMembers(c *call) (any, error) {
	var m form.Membership
	if err := form.MemberAdd().Apply(c.body, &m); err != nil {
		return nil, err
	}
	if len(m.Members) == 0 {
		return nil, reply.Bad("member", "member must be provided")
	}
	if err := h.identify(c, m.Members); err != nil {
		return nil, err
	}
	t, err := h.letIn(c, m)
	if err != nil {
		return nil, err
	}
	users, err := h.usersOf(c, m.Members)
	if err != nil {
		return nil, err
	}
	shown := row.Team(t)
	shown["updated_users"], shown["updated_team_memberships"] = users, []any{}
	return shown, nil
}

// letIn makes the users of the members first: where that fails, the same request can be sent again.
func (h *Handler) letIn(c *call, m form.Membership) (record.Team, error) {
	t, err := h.team(c, m.Team)
	if err == nil {
		err = join(&t, m.Members)
	}
	if err == nil {
		err = h.makeUsers(c, m.Members)
	}
	if err != nil {
		return t, err
	}
	return h.changeTeam(c, m.Team, func(t *record.Team) error { return join(t, m.Members) })
}

// join adds those who are not members yet. It refuses where all are, as LiteLLM does.
func join(t *record.Team, members []record.Member) error {
	before := len(t.Members)
	if t.Members = joined(t.Members, members); len(t.Members) > before {
		return nil
	}
	first := members[0]
	return reply.Failure(400, "team_member_already_in_team", "member",
		fmt.Sprintf("User=%.200s is already in team %.200s", cmp.Or(first.UserID, first.Email), t.ID))
}

// joined has everybody once.
func joined(there, more []record.Member) []record.Member {
	for _, m := range more {
		if !slices.ContainsFunc(there, func(other record.Member) bool { return same(m, other) }) {
			there = append(there, m)
		}
	}
	return there
}

// same: by id where both have one, else by email.
func same(a, b record.Member) bool {
	if a.UserID != "" && b.UserID != "" {
		return a.UserID == b.UserID
	}
	return a.Email != "" && a.Email == b.Email
}

// identify gives members that are named by email the id of the user who has it.
func (h *Handler) identify(ctx context.Context, members []record.Member) error {
	for i := range members {
		if members[i].UserID != "" {
			continue
		}
		found, _, err := h.Store.Users(ctx, store.UserQuery{Email: members[i].Email, Limit: 1})
		if err != nil {
			return err
		}
		if len(found) > 0 {
			members[i].UserID = found[0].ID
		}
	}
	return nil
}

// makeUsers makes the users of members that are named by id and not there yet, as LiteLLM does.
func (h *Handler) makeUsers(c *call, members []record.Member) error {
	for _, m := range members {
		if m.UserID == "" {
			continue
		}
		u := record.User{ID: m.UserID, Email: m.Email, Role: record.RoleInternal, Stamp: h.stamp(c)}
		switch err := h.Store.InsertUser(c, u, c.audit()); {
		case err == nil:
			h.apply(c, record.OfUser, u.ID)
		case !errors.Is(err, store.ErrTaken):
			return err
		}
	}
	return nil
}

// usersOf are the users that members are, as they are shown.
func (h *Handler) usersOf(ctx context.Context, members []record.Member) ([]reply.Object, error) {
	var users []record.User
	for _, m := range members {
		if m.UserID == "" {
			continue
		}
		u, err := h.user(ctx, m.UserID)
		if err != nil {
			return nil, err
		}
		users = append(users, u)
	}
	return h.userRows(ctx, users)
}

func (h *Handler) stamp(c *call) record.Stamp {
	now := h.now()
	return record.Stamp{CreatedAt: now, UpdatedAt: now, CreatedBy: c.author(), UpdatedBy: c.author()}
}

// updateMember changes the role of a member, and with user_id also the email address that the team has of it.
func (h *Handler) updateMember(c *call) (any, error) {
	var m form.Membership
	if err := form.MemberUpdate().Apply(c.body, &m); err != nil {
		return nil, err
	}
	if m.One.UserID == "" && m.One.Email == "" {
		return nil, noMemberNamed()
	}
	var changed record.Member
	_, err := h.changeTeam(c, m.Team, func(t *record.Team) error {
		at := slices.IndexFunc(t.Members, func(other record.Member) bool { return same(m.One, other) })
		if at < 0 {
			return reply.NotFound("user_id", "User %.200s is not a member of team %.200s", cmp.Or(m.One.UserID, m.One.Email), t.ID)
		}
		changed = t.Members[at]
		if m.One.Role != "" {
			changed.Role, changed.Email = m.One.Role, cmp.Or(m.One.Email, changed.Email)
		}
		t.Members[at] = changed
		return nil
	})
	if err != nil {
		return nil, err
	}
	return reply.Object{
		"team_id": m.Team, "user_id": row.OrNull(changed.UserID), "user_email": row.OrNull(m.One.Email),
		"max_budget_in_team": nil, "tpm_limit": nil, "rpm_limit": nil, "budget_duration": nil, "allowed_models": c.body.Values["allowed_models"],
		"temp_budget_increase": nil, "temp_budget_expiry": nil,
	}, nil
}

func noMemberNamed() error {
	return reply.Bad("user_id", "Either user_id or user_email needs to be passed in")
}

// deleteMember takes somebody out of a team, once the keys that they have in it are deleted: where that fails they are
// members still, and can be taken out again.
func (h *Handler) deleteMember(c *call) (any, error) {
	var m form.Membership
	if err := form.MemberDelete().Apply(c.body, &m); err != nil {
		return nil, err
	}
	if m.One.UserID == "" && m.One.Email == "" {
		return nil, noMemberNamed()
	}
	t, err := h.team(c, m.Team)
	if err != nil {
		return nil, err
	}
	gone, _ := leave(t.Members, m.One)
	if len(gone) == 0 {
		return nil, notInTeam()
	}
	for _, g := range gone {
		if err := h.deleteKeysIn(c, t.ID, g.UserID); err != nil {
			return nil, err
		}
	}
	t, err = h.changeTeam(c, m.Team, func(t *record.Team) error {
		_, t.Members = leave(t.Members, m.One)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return row.Team(t), nil
}

func notInTeam() error { return reply.Bad("user_id", "User not found in team") }

// leave parts members into those that somebody's id or email names, and the others.
func leave(members []record.Member, who record.Member) (gone, left []record.Member) {
	for _, m := range members {
		if who.UserID != "" && m.UserID == who.UserID || who.Email != "" && m.Email == who.Email {
			gone = append(gone, m)
		} else {
			left = append(left, m)
		}
	}
	return gone, left
}

func (h *Handler) deleteKeysIn(c *call, team, user string) error {
	if user == "" {
		return nil
	}
	keys, _, err := h.Store.Keys(c, store.KeyQuery{TeamID: team, UserID: user})
	if err != nil || len(keys) == 0 {
		return err
	}
	var tokens []string
	for _, k := range keys {
		tokens = append(tokens, k.Token)
	}
	if _, err := h.Store.DeleteKeys(c, tokens, c.audit()); err != nil {
		return err
	}
	h.apply(c, record.OfKey, tokens...)
	return nil
}
