package manage

import (
	"context"
	"slices"
	"sync"

	"github.com/nestor-gateway/nestor/access/record"
	"github.com/nestor-gateway/nestor/access/store"
	"github.com/nestor-gateway/nestor/api/reply"
)

// keyInfo answers about one key, the caller's own where none is named: {"key": as named, "info": the key without token}.
func (h *Handler) keyInfo(c *call) (any, error) {
	named := c.query.Get("key")
	switch {
	case named != "":
	case c.who.Master:
		return nil, reply.NotFound("key", "Key not found in database: the master key is none. Name one with ?key=")
	default:
		named = c.who.Key.Token
	}
	k, err := h.key(c, tokenOf(named))
	if err != nil {
		return nil, err
	}
	visible, err := h.visible(c, []record.Key{k})
	if err != nil {
		return nil, err
	}
	if len(visible) == 0 {
		return nil, reply.Forbidden("You are not allowed to access this key's info. Your role=%s", c.role())
	}
	shown, err := h.keyRow(c, k)
	if err != nil {
		return nil, err
	}
	delete(shown, "token")
	return reply.Object{"key": named, "info": shown}, nil
}

// mostNamed bounds how many keys can be asked about at a time, as everybody who has a key may ask.
const mostNamed = 1000

// keysInfo answers about several keys; those that the caller may not see are left out, as are those that are not there.
func (h *Handler) keysInfo(c *call) (any, error) {
	names, err := namesIn(c)
	if err != nil {
		return nil, err
	}
	if n := len(names.Keys) + len(names.Aliases); n > mostNamed {
		return nil, reply.Bad("keys", "%d keys are named; at most %d can be asked about at a time", n, mostNamed)
	}
	_, found, err := h.keysNamed(c, names)
	if err != nil {
		return nil, err
	}
	visible, err := h.visible(c, found)
	if err != nil {
		return nil, err
	}
	shown, err := h.keyRows(c, visible)
	for _, row := range shown {
		delete(row, "token")
	}
	return reply.Object{"key": c.body.Values["keys"], "info": shown}, err
}

// visible are those keys that the caller may see, each once.
func (h *Handler) visible(c *call, keys []record.Key) (visible []record.Key, err error) {
	seen := map[string]bool{}
	reach := sync.OnceValues(func() (*store.Reach, error) { return h.reach(c) })
	for _, k := range keys {
		may, err := maySee(c, k, reach)
		if err != nil {
			return nil, err
		}
		if may && !seen[k.Token] {
			visible = append(visible, k)
		}
		seen[k.Token] = true
	}
	return visible, nil
}

// maySee is LiteLLM's rule: viewers see all keys, others their own, those of their user, and those of its teams.
func maySee(c *call, k record.Key, reach func() (*store.Reach, error)) (bool, error) {
	switch user := c.user(); {
	case c.views() || k.Token == c.who.Key.Token || user != "" && k.UserID == user:
		return true, nil
	case user == "" || k.TeamID == "":
		return false, nil
	}
	within, err := reach()
	return err == nil && slices.Contains(within.TeamIDs, k.TeamID), err
}

// listKeys answers with a page of keys: their tokens, or with return_full_object=true all about them.
func (h *Handler) listKeys(c *call) (any, error) {
	p, err := c.page("size", 10)
	if err != nil {
		return nil, err
	}
	if err := c.without("organization_id", "project_id", "access_group_id", "agent_id", "status", "expires", "expand"); err != nil {
		return nil, err
	}
	q := store.KeyQuery{
		Alias: c.query.Get("key_alias"), TeamID: c.query.Get("team_id"), UserID: c.query.Get("user_id"), Search: c.query.Get("search"),
		Offset: p.offset(), Limit: p.size,
	}
	if token := c.query.Get("key_hash"); token != "" {
		q.Tokens = []string{token}
	}
	if q.SortBy, q.Descending, err = c.order(keyColumns()); err != nil {
		return nil, err
	}
	if err := h.scope(c, &q); err != nil {
		return nil, err
	}
	found, total, err := h.Store.Keys(c, q)
	if err != nil {
		return nil, err
	}
	keys, err := h.listed(c, found)
	if err != nil {
		return nil, err
	}
	return reply.Object{"keys": keys, "total_count": total, "current_page": p.number, "total_pages": p.pages(total)}, nil
}

func keyColumns() map[string]string {
	return map[string]string{
		"created_at": "created_at", "updated_at": "updated_at", "key_alias": "alias", "token": "token", "key_name": "name",
		"team_id": "team_id", "user_id": "user_id", "expires": "expires", "spend": "spend", "max_budget": "max_budget",
	}
}

// scope leaves those who don't see everything the keys of their user.
func (h *Handler) scope(c *call, q *store.KeyQuery) error {
	user := c.user()
	switch {
	case c.views():
		return nil
	case user == "":
		return reply.Forbidden("You are not authorized to access this endpoint. No 'user_id' is associated with your API key.")
	case q.UserID != "" && q.UserID != user:
		return reply.Forbidden("You are not authorized to check another user's keys")
	}
	q.UserID = user
	return nil
}

// keyAliases answers with a page of the aliases of keys, in order: those of everybody to viewers, to others those of their
// user and of its teams.
func (h *Handler) keyAliases(c *call) (any, error) {
	p, err := c.page("size", 50)
	if err != nil {
		return nil, err
	}
	q := store.KeyQuery{
		Named: true, Search: c.query.Get("search"), TeamID: c.query.Get("team_id"), SortBy: "alias", Offset: p.offset(), Limit: p.size,
	}
	if !c.views() {
		if q.Within, err = h.reach(c); err != nil {
			return nil, err
		}
	}
	found, total, err := h.Store.Keys(c, q)
	names := make([]string, len(found))
	for i, k := range found {
		names[i] = k.Alias
	}
	return reply.Object{"aliases": names, "total_count": total, "current_page": p.number, "total_pages": p.pages(total), "size": p.size}, err
}

// reach is the keys of the caller's user and of its teams; none for a key that has no user.
func (h *Handler) reach(c *call) (*store.Reach, error) {
	reach := &store.Reach{UserID: c.user()}
	if reach.UserID == "" {
		return reach, nil
	}
	teams, _, err := h.Store.Teams(c, store.TeamQuery{UserID: reach.UserID})
	for _, t := range teams {
		reach.TeamIDs = append(reach.TeamIDs, t.ID)
	}
	return reach, err
}

func (h *Handler) listed(c *call, keys []record.Key) (any, error) {
	if full, err := c.truth("return_full_object"); full || err != nil {
		if err != nil {
			return nil, err
		}
		return h.keyRows(c, keys)
	}
	tokens := make([]string, len(keys))
	for i, k := range keys {
		tokens[i] = k.Token
	}
	return tokens, nil
}

// keysOf are the rows of all keys of a team, or of a user.
func (h *Handler) keysOf(ctx context.Context, q store.KeyQuery) ([]reply.Object, error) {
	q.SortBy, q.Descending = "created_at", true
	keys, _, err := h.Store.Keys(ctx, q)
	if err != nil {
		return nil, err
	}
	return h.keyRows(ctx, keys)
}
