package manage

import (
	"context"
	"errors"
	"strings"

	"github.com/nestor-gateway/nestor/access/record"
	"github.com/nestor-gateway/nestor/access/store"
	"github.com/nestor-gateway/nestor/api/manage/form"
	"github.com/nestor-gateway/nestor/api/manage/row"
	"github.com/nestor-gateway/nestor/api/reply"
)

func (h *Handler) newTeam(c *call) (any, error) {
	var t record.Team
	if err := form.TeamNew(h.now()).Apply(c.body, &t); err != nil {
		return nil, err
	}
	if err := checkTeam(t); err != nil {
		return nil, err
	}
	if t.ID == "" {
		t.ID = newID()
	}
	t.Stamp = h.stamp(c)
	if err := h.identify(c, t.Members); err != nil {
		return nil, err
	}
	t.Members = joined(nil, t.Members)
	if err := h.insertTeam(c, t); err != nil {
		return nil, err
	}
	return row.Team(t), nil
}

// insertTeam makes the users of the members first: where that fails, the same request can be sent again.
func (h *Handler) insertTeam(c *call, t record.Team) error {
	_, err := h.Store.Team(c, t.ID)
	if err == nil {
		return teamTaken(t.ID)
	}
	if ignoreMissing(err) != nil {
		return err
	}
	if err := h.makeUsers(c, t.Members); err != nil {
		return err
	}
	err = h.Store.InsertTeam(c, t, c.audit())
	if errors.Is(err, store.ErrTaken) {
		return teamTaken(t.ID)
	}
	if err != nil {
		return err
	}
	h.apply(c, record.OfTeam, t.ID)
	return nil
}

func teamTaken(id string) error {
	return reply.Bad("team_id", "Team id = %.200s already exists. Please use a different team id.", id)
}

func checkTeam(t record.Team) error {
	if strings.TrimSpace(t.ID) != t.ID || len(t.ID) > 255 {
		return reply.Bad("team_id", "team_id must be at most 255 bytes without spaces around it")
	}
	if t.SoftBudget != nil && t.MaxBudget != nil && *t.SoftBudget >= *t.MaxBudget {
		return reply.Bad("soft_budget", "soft_budget (%s) must be strictly lower than max_budget (%s)", t.SoftBudget, t.MaxBudget)
	}
	return nil
}

func (h *Handler) updateTeam(c *call) (any, error) {
	id, err := c.body.Text("team_id")
	if err != nil {
		return nil, err
	}
	t, err := h.changeTeam(c, id, func(t *record.Team) error {
		if err := form.TeamUpdate(h.now()).Apply(c.body, t); err != nil {
			return err
		}
		return checkTeam(*t)
	})
	if err != nil {
		return nil, err
	}
	return reply.Object{"team_id": t.ID, "data": row.Team(t)}, nil
}

func (h *Handler) changeTeam(c *call, id string, change func(*record.Team) error) (record.Team, error) {
	if id == "" {
		return record.Team{}, noTeamGiven()
	}
	t, err := h.Store.UpdateTeam(c, id, c.audit(), func(t *record.Team) error {
		t.UpdatedAt, t.UpdatedBy = h.now(), c.author()
		return change(t)
	})
	if errors.Is(err, store.ErrNotFound) {
		return t, noTeam(id)
	}
	if err == nil {
		h.apply(c, record.OfTeam, id)
	}
	return t, err
}

func (h *Handler) team(ctx context.Context, id string) (record.Team, error) {
	if id == "" {
		return record.Team{}, noTeamGiven()
	}
	t, err := h.Store.Team(ctx, id)
	if errors.Is(err, store.ErrNotFound) {
		return t, noTeam(id)
	}
	return t, err
}

func noTeamGiven() error { return reply.Bad("team_id", "team_id must be provided") }

func noTeam(id string) error {
	return reply.NotFound("team_id", "Team not found, passed team_id=%.200s", id)
}

func (h *Handler) blockTeam(c *call) (any, error)   { return h.setTeamBlocked(c, true) }
func (h *Handler) unblockTeam(c *call) (any, error) { return h.setTeamBlocked(c, false) }

func (h *Handler) setTeamBlocked(c *call, blocked bool) (any, error) {
	id, err := form.OnlyText(c.body, "team_id")
	if err != nil {
		return nil, err
	}
	t, err := h.changeTeam(c, id, func(t *record.Team) error { t.Blocked = blocked; return nil })
	if err != nil {
		return nil, err
	}
	return row.Team(t), nil
}

// deleteTeams deletes teams and their keys: all that are named, or none.
func (h *Handler) deleteTeams(c *call) (any, error) {
	ids, err := form.OnlyTexts(c.body, "team_ids")
	if err != nil {
		return nil, err
	}
	for _, id := range ids {
		if _, err := h.team(c, id); err != nil {
			return nil, err
		}
	}
	if _, err := h.Store.DeleteTeams(c, ids, c.audit()); err != nil {
		return nil, err
	}
	h.apply(c, record.OfTeam, ids...)
	return reply.Object{"deleted_teams": ids}, nil
}

// teamInfo answers about a team and its keys to viewers, to its members, and to its keys.
func (h *Handler) teamInfo(c *call) (any, error) {
	id := c.query.Get("team_id")
	if id == "" {
		return nil, reply.Bad("team_id", "name a team with ?team_id=")
	}
	t, err := h.Store.Team(c, id)
	known := err == nil
	if ignoreMissing(err) != nil {
		return nil, err
	}
	if !c.views() && !(known && c.belongsTo(t)) {
		return nil, reply.Forbidden("This key is not authorized to access this team=%.200s", id)
	}
	if !known {
		return nil, noTeam(id)
	}
	keys, err := h.keysOf(c, store.KeyQuery{TeamID: id})
	if err != nil {
		return nil, err
	}
	for _, shown := range keys {
		delete(shown, "token")
	}
	return reply.Object{"team_id": id, "team_info": row.Team(t), "keys": keys, "team_memberships": []any{}}, nil
}

// belongsTo: a key of the team, or of a user who is a member.
func (c *call) belongsTo(t record.Team) bool {
	return c.who.Key.TeamID == t.ID || c.user() != "" && isMember(t, c.user())
}

// listTeams answers with all teams, those of a user, or for who doesn't see everything those of the caller's user.
func (h *Handler) listTeams(c *call) (any, error) {
	user := c.query.Get("user_id")
	if err := c.without("organization_id"); err != nil {
		return nil, err
	}
	if !c.views() {
		if c.user() == "" || user != "" && user != c.user() {
			return nil, reply.Forbidden("Only admin users can query all teams/other teams. Your user_id=%.200s", c.user())
		}
		user = c.user()
	}
	teams, _, err := h.Store.Teams(c, store.TeamQuery{UserID: user, SortBy: "alias"})
	if err != nil {
		return nil, err
	}
	rows := make([]reply.Object, len(teams))
	for i, t := range teams {
		if rows[i], err = h.teamWithKeys(c, t); err != nil {
			return nil, err
		}
	}
	return rows, nil
}

func (h *Handler) teamWithKeys(ctx context.Context, t record.Team) (reply.Object, error) {
	keys, err := h.keysOf(ctx, store.KeyQuery{TeamID: t.ID})
	if err != nil {
		return nil, err
	}
	shown := row.Team(t)
	shown["keys"], shown["team_memberships"] = keys, []any{}
	return shown, nil
}
