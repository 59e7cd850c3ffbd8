package manage

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/nestor-gateway/nestor/access/record"
	"github.com/nestor-gateway/nestor/access/store"
	"github.com/nestor-gateway/nestor/api/manage/form"
	"github.com/nestor-gateway/nestor/api/manage/row"
	"github.com/nestor-gateway/nestor/api/reply"
)

// newUser makes a user, lets it into teams, and makes a key for it unless auto_create_key is false.
func (h *Handler) newUser(c *call) (any, error) {
	var asked form.User
	if err := form.UserNew(h.now()).Apply(c.body, &asked); err != nil {
		return nil, err
	}
	asked.ID, asked.Role = cmp.Or(asked.ID, newID()), cmp.Or(asked.Role, record.RoleInternal)
	asked.Stamp = h.stamp(c)
	if team := asked.Key.TeamID; team != "" {
		asked.Teams = append(asked.Teams, form.Seat{Team: team, Role: "user"})
	}
	asked.Key.UserID, asked.Key.Models = asked.ID, asked.Models
	if err := h.checkUser(c, asked); err != nil {
		return nil, err
	}
	if err := h.insertUser(c, asked); err != nil {
		return nil, err
	}
	shown, err := h.userRow(c, asked.User)
	if err != nil || asked.WithoutKey {
		return shown, err
	}
	key, err := h.insertKey(c, asked.Key)
	if err != nil {
		return nil, err
	}
	return withKey(shown, key), nil
}

// withKey adds the new key to what is shown of its user.
func withKey(shown, key reply.Object) reply.Object {
	all := maps.Clone(shown)
	for _, name := range []string{"key", "key_name", "key_alias", "token", "token_id", "expires", "team_id", "aliases"} {
		all[name] = key[name]
	}
	return all
}

// checkUser checks what a new user is to be, and its key, before anything is written.
func (h *Handler) checkUser(c *call, asked form.User) error {
	if err := h.checkEmail(c, asked.Email); err != nil {
		return err
	}
	for _, s := range asked.Teams {
		if err := h.checkSeat(c, s); err != nil {
			return err
		}
	}
	if asked.WithoutKey {
		return nil
	}
	if _, err := h.keyByAlias(c, asked.Key.Alias); err == nil {
		return h.taken(c, store.ErrTaken, asked.Key.Alias, "")
	} else if !isNotFound(err) {
		return err
	}
	return h.checkKey(c, record.Key{}, asked.Key)
}

// checkEmail refuses an address that somebody has, in any case of its letters, as LiteLLM does.
func (h *Handler) checkEmail(ctx context.Context, email string) error {
	if email == "" {
		return nil
	}
	found, _, err := h.Store.Users(ctx, store.UserQuery{EmailPart: email})
	if slices.ContainsFunc(found, func(u record.User) bool { return strings.EqualFold(u.Email, email) }) {
		return reply.Bad("user_email", "User with email %.200s already exists in User table", email)
	}
	return err
}

func (h *Handler) checkSeat(ctx context.Context, s form.Seat) error {
	if s.Role != "user" && s.Role != "admin" {
		return reply.Bad("teams", "user_role must be user or admin, not %.100q", s.Role)
	}
	_, err := h.team(ctx, s.Team)
	return err
}

func (h *Handler) insertUser(c *call, asked form.User) error {
	err := h.Store.InsertUser(c, asked.User, c.audit())
	if errors.Is(err, store.ErrTaken) {
		return reply.Bad("user_id", "User with id %.200s already exists.", asked.ID)
	}
	if err != nil {
		return err
	}
	h.apply(c, record.OfUser, asked.ID)
	for _, s := range asked.Teams {
		m := record.Member{UserID: asked.ID, Email: asked.Email, Role: s.Role}
		if _, err := h.changeTeam(c, s.Team, func(t *record.Team) error { return take(t, m) }); err != nil {
			return err
		}
	}
	return nil
}

// take lets somebody into a team. One who is there by email alone gets the id.
func take(t *record.Team, m record.Member) error {
	for i, other := range t.Members {
		if same(m, other) {
			t.Members[i].UserID = m.UserID
			return nil
		}
	}
	return join(t, []record.Member{m})
}

// updateUser changes a user named by id or by email, or makes one where there is none, as LiteLLM does.
func (h *Handler) updateUser(c *call) (any, error) {
	id, err := h.userNamed(c)
	if err != nil {
		return nil, err
	}
	u, err := h.changeUser(c, id)
	if errors.Is(err, store.ErrNotFound) {
		u, err = h.makeUser(c, cmp.Or(id, newID()))
	}
	if err != nil {
		return nil, err
	}
	shown, err := h.userRow(c, u)
	if err != nil {
		return nil, err
	}
	return reply.Object{"user_id": u.ID, "data": shown}, nil
}

// makeUser makes a user without a key of what a body would change.
func (h *Handler) makeUser(c *call, id string) (record.User, error) {
	u, err := h.userUpdated(c, record.User{ID: id, Role: record.RoleInternal, Stamp: h.stamp(c)})
	if err != nil {
		return u, err
	}
	if err := h.checkEmail(c, u.Email); err != nil {
		return u, err
	}
	return u, h.insertUser(c, form.User{User: u})
}

func (h *Handler) changeUser(c *call, id string) (record.User, error) {
	u, err := h.Store.UpdateUser(c, id, c.audit(), func(u *record.User) (err error) {
		*u, err = h.userUpdated(c, *u)
		return err
	})
	if err == nil {
		h.apply(c, record.OfUser, id)
	}
	return u, err
}

// userUpdated is what a body makes of a user.
func (h *Handler) userUpdated(c *call, u record.User) (record.User, error) {
	asked := form.User{User: u}
	err := form.UserUpdate(h.now()).Apply(c.body, &asked)
	asked.ID, asked.UpdatedAt, asked.UpdatedBy = u.ID, h.now(), c.author()
	return asked.User, err
}

// userNamed is the id of the user that a body is about; "" where nobody has the email address in it.
func (h *Handler) userNamed(c *call) (string, error) {
	id, err := c.body.Text("user_id")
	if err != nil || id != "" {
		return id, err
	}
	email, err := c.body.Text("user_email")
	switch {
	case err != nil:
		return "", err
	case email == "":
		return "", reply.Bad("user_id", "Either user id or user email must be provided")
	}
	found, _, err := h.Store.Users(c, store.UserQuery{Email: email, Limit: 2})
	switch {
	case err != nil:
		return "", err
	case len(found) > 1:
		return "", reply.NotFound("user_email", "several users have the email %.200s: name one by user_id", email)
	case len(found) == 0:
		return "", nil
	}
	return found[0].ID, nil
}

func (h *Handler) user(ctx context.Context, id string) (record.User, error) {
	u, err := h.Store.User(ctx, id)
	if errors.Is(err, store.ErrNotFound) {
		return u, noUser(id)
	}
	return u, err
}

func noUser(id string) error {
	return reply.NotFound("user_id", "User not found, passed user_id=%.200s", id)
}

// deleteUsers deletes users and their keys, and takes them out of their teams: all that are named, or none.
func (h *Handler) deleteUsers(c *call) (any, error) {
	ids, err := form.OnlyTexts(c.body, "user_ids")
	if err != nil {
		return nil, err
	}
	for _, id := range ids {
		if _, err := h.user(c, id); err != nil {
			return nil, err
		}
	}
	n, err := h.Store.DeleteUsers(c, ids, c.audit())
	if err != nil {
		return nil, err
	}
	h.apply(c, record.OfUser, ids...)
	return n, nil
}

// userInfo answers about a user with keys and teams: to viewers about all, to others about their own.
func (h *Handler) userInfo(c *call) (any, error) {
	id := cmp.Or(c.query.Get("user_id"), c.user())
	switch {
	case id == "":
		return nil, reply.Bad("user_id", "name a user with ?user_id=: the key that you call with has none")
	case !c.views() && id != c.user():
		return nil, reply.Forbidden("key not allowed to access this user's info. user_id=%.200s, key's user_id=%.200s", id, c.user())
	}
	u, err := h.user(c, id)
	if err != nil {
		return nil, err
	}
	return h.userWithAll(c, u)
}

func (h *Handler) userWithAll(ctx context.Context, u record.User) (any, error) {
	teams, _, err := h.Store.Teams(ctx, store.TeamQuery{UserID: u.ID, SortBy: "alias"})
	if err != nil {
		return nil, err
	}
	keys, err := h.keysOf(ctx, store.KeyQuery{UserID: u.ID})
	if err != nil {
		return nil, err
	}
	rows, ids, names := []reply.Object{}, []string{}, map[any]any{}
	for _, t := range teams {
		rows, ids = append(rows, row.Team(t)), append(ids, t.ID)
		names[t.ID] = row.OrNull(t.Alias)
	}
	for _, k := range keys {
		k["team_alias"] = names[k["team_id"]]
	}
	return reply.Object{"user_id": u.ID, "user_info": row.User(u, ids), "keys": keys, "teams": rows}, nil
}

// userRow is a user as it is shown, with its teams.
func (h *Handler) userRow(ctx context.Context, u record.User) (reply.Object, error) {
	rows, err := h.userRows(ctx, []record.User{u})
	if err != nil {
		return nil, err
	}
	return rows[0], nil
}

func (h *Handler) userRows(ctx context.Context, users []record.User) ([]reply.Object, error) {
	var q store.TeamQuery
	if len(users) == 1 {
		q.UserID = users[0].ID
	}
	teams, _, err := h.Store.Teams(ctx, q)
	of := map[string][]string{} // the teams of a user
	for _, t := range teams {
		for _, m := range t.Members {
			of[m.UserID] = append(of[m.UserID], t.ID)
		}
	}
	rows := make([]reply.Object, len(users))
	for i, u := range users {
		rows[i] = row.User(u, of[u.ID])
	}
	return rows, err
}

// listUsers answers with a page of users.
func (h *Handler) listUsers(c *call) (any, error) {
	p, err := c.page("page_size", 25)
	if err != nil {
		return nil, err
	}
	if err := c.without("sso_user_ids", "team", "organization_ids"); err != nil {
		return nil, err
	}
	q := store.UserQuery{
		Role: c.query.Get("role"), Search: c.query.Get("search"), EmailPart: c.query.Get("user_email"), Offset: p.offset(), Limit: p.size,
	}
	if ids := c.query.Get("user_ids"); ids != "" {
		q.IDs = strings.Split(ids, ",")
	}
	if q.SortBy, q.Descending, err = c.order(userColumns()); err != nil {
		return nil, err
	}
	found, total, err := h.Store.Users(c, q)
	if err != nil {
		return nil, err
	}
	rows, err := h.userRows(c, found)
	if err != nil {
		return nil, err
	}
	for i, u := range found {
		_, count, err := h.Store.Keys(c, store.KeyQuery{UserID: u.ID, Limit: 1})
		if err != nil {
			return nil, err
		}
		rows[i]["key_count"] = count
	}
	return reply.Object{"users": rows, "total": total, "page": p.number, "page_size": p.size, "total_pages": p.pages(total)}, nil
}

func userColumns() map[string]string {
	return map[string]string{
		"created_at": "created_at", "updated_at": "updated_at", "user_id": "id", "user_email": "email", "user_alias": "alias",
		"user_role": "role", "spend": "spend", "max_budget": "max_budget",
	}
}
