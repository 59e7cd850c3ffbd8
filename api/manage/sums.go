package manage

import (
	"cmp"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/nestor-gateway/nestor/access/record"
	"github.com/nestor-gateway/nestor/access/store"
	"github.com/nestor-gateway/nestor/api/manage/row"
	"github.com/nestor-gateway/nestor/api/reply"
)

// usual is how far LiteLLM's sums go back when no date is given.
const usual = 30 * 24 * time.Hour

// recent is the span asked for, or the last 30 days.
func (h *Handler) recent(c *call) (q store.SpendQuery, err error) {
	q.From, q.To, err = c.span()
	if q.From.IsZero() && q.To.IsZero() {
		q.From = h.now().Truncate(24 * time.Hour).Add(-usual)
	}
	return q, err
}

// spendKeys answers with keys, those that have spent most first; with dates, with what was spent between them.
func (h *Handler) spendKeys(c *call) (any, error) {
	if c.query.Get("start_date") != "" || c.query.Get("end_date") != "" {
		q, err := h.spendQuery(c)
		if err != nil {
			return nil, err
		}
		return h.topKeys(c, q)
	}
	limit, err := c.whole("limit", 1000, mostLogs)
	if err != nil {
		return nil, err
	}
	q := store.KeyQuery{SortBy: "spend", Descending: true, Limit: limit}
	if !c.views() {
		if q.UserID = c.user(); q.UserID == "" {
			q.Tokens = []string{c.who.Key.Token}
		}
	}
	keys, _, err := h.Store.Keys(c, q)
	if err != nil {
		return nil, err
	}
	return h.keyRows(c, keys)
}

// spendUsers answers with users, those that have spent most first.
func (h *Handler) spendUsers(c *call) (any, error) {
	limit, err := c.whole("limit", 1000, mostLogs)
	if err != nil {
		return nil, err
	}
	q := store.UserQuery{SortBy: "spend", Descending: true, Limit: limit}
	id := c.query.Get("user_id")
	if !c.views() {
		if id != "" && id != c.user() {
			return nil, reply.Forbidden("Not authorized to view spend for another user.")
		}
		q.IDs = []string{c.user()}
	} else if id != "" {
		q.IDs = []string{id}
	}
	users, _, err := h.Store.Users(c, q)
	if err != nil {
		return nil, err
	}
	return h.userRows(c, users)
}

// globalSpend answers with the sum of all that was spent. There is no budget of the whole: LiteLLM has 0 for none.
func (h *Handler) globalSpend(c *call) (any, error) {
	q, err := h.recent(c)
	if err != nil {
		return nil, err
	}
	days, err := h.Store.SpendBy(c, store.ByDay, q)
	var all record.Nano
	for _, d := range days {
		all += d.Cost
	}
	return reply.Object{"spend": all.USD(), "max_budget": 0.0}, err
}

// globalDays answers with what was spent by day, by all or by one key.
func (h *Handler) globalDays(c *call) (any, error) {
	q, err := h.recent(c)
	if err != nil {
		return nil, err
	}
	if key := c.query.Get("api_key"); key != "" {
		q.Token = tokenOf(key)
	}
	days, err := h.Store.SpendBy(c, store.ByDay, q)
	rows := make([]reply.Object, len(days))
	for i, d := range days {
		rows[i] = reply.Object{"date": d.Name, "spend": d.Cost.USD()}
		if q.Token != "" {
			rows[i]["api_key"] = q.Token
		}
	}
	return rows, err
}

func (h *Handler) globalKeys(c *call) (any, error) {
	q, err := h.recent(c)
	if err != nil {
		return nil, err
	}
	return h.topKeys(c, q)
}

// topKeys are those that have spent most in a span. One that is gone has no name any more.
func (h *Handler) topKeys(c *call, q store.SpendQuery) (any, error) {
	sums, err := h.top(c, store.ByToken, q, mostLogs)
	if err != nil {
		return nil, err
	}
	names, err := h.keyNames(c, sums)
	rows := make([]reply.Object, len(sums))
	for i, s := range sums {
		k := names[s.Name]
		rows[i] = reply.Object{"api_key": s.Name, "key_alias": row.OrNull(k.Alias), "key_name": row.OrNull(k.Name), "total_spend": s.Cost.USD()}
	}
	return rows, err
}

func (h *Handler) keyNames(c *call, sums []store.Sum) (map[string]record.Key, error) {
	q := store.KeyQuery{Tokens: []string{}}
	for _, s := range sums {
		q.Tokens = append(q.Tokens, s.Name)
	}
	return h.keysBy(c, q, func(k record.Key) string { return k.Token })
}

// top are the sums of a span, the largest first.
func (h *Handler) top(c *call, d store.Dimension, q store.SpendQuery, most int) (sums []store.Sum, err error) {
	if q.Limit, err = c.whole("limit", most, mostLogs); err != nil {
		return nil, err
	}
	return h.Store.SpendBy(c, d, q)
}

func (h *Handler) globalModels(c *call) (any, error) {
	q, err := h.recent(c)
	if err != nil {
		return nil, err
	}
	sums, err := h.top(c, store.ByModel, q, 10)
	rows := make([]reply.Object, len(sums))
	for i, s := range sums {
		rows[i] = reply.Object{"model": s.Name, "total_spend": s.Cost.USD()}
	}
	return rows, err
}

// unassigned is LiteLLM's name for the spend of keys without a team.
const unassigned = "Unassigned"

// globalTeams answers with the spend of teams by day, and that of the ten that spent most.
func (h *Handler) globalTeams(c *call) (any, error) {
	q, err := h.recent(c)
	if err != nil {
		return nil, err
	}
	if q.To.IsZero() {
		q.To = h.now()
	}
	names, err := h.teamNames(c)
	if err != nil {
		return nil, err
	}
	daily, totals := []reply.Object{}, map[string]record.Nano{}
	err = h.eachDay(c, q, func(day string, q store.SpendQuery, _ store.Sum) error {
		sums, err := h.Store.SpendBy(c, store.ByTeam, q)
		shown := reply.Object{}
		for name, cost := range named(sums, names) {
			shown[name] = cents(cost)
			totals[name] += cost
		}
		shown["date"] = day
		daily = append(daily, shown)
		return err
	})
	return reply.Object{"daily_spend": daily, "teams": slices.Sorted(maps.Keys(totals)), "total_spend_per_team": topTeams(totals)}, err
}

// teamNames are the names of teams for people, by id.
func (h *Handler) teamNames(c *call) (map[string]string, error) {
	teams, _, err := h.Store.Teams(c, store.TeamQuery{})
	names := map[string]string{"": unassigned}
	for _, t := range teams {
		names[t.ID] = t.Alias
	}
	return names, err
}

// named adds up what has one name. A team without an alias, and one that is gone, goes by its id.
func named(sums []store.Sum, names map[string]string) map[string]record.Nano {
	by := map[string]record.Nano{}
	for _, s := range sums {
		name := names[s.Name]
		if name == "" {
			name = s.Name
		}
		by[name] += s.Cost
	}
	return by
}

func topTeams(totals map[string]record.Nano) []reply.Object {
	names := slices.SortedFunc(maps.Keys(totals), func(a, b string) int {
		if totals[a] != totals[b] {
			return -cmp.Compare(totals[a], totals[b])
		}
		return cmp.Compare(a, b)
	})
	rows := []reply.Object{}
	for _, name := range names[:min(10, len(names))] {
		rows = append(rows, reply.Object{"team_id": name, "total_spend": cents(totals[name])})
	}
	return rows
}

// cents rounds to two places, as LiteLLM does here.
func cents(n record.Nano) float64 { return math.Round(n.USD()*100) / 100 }
