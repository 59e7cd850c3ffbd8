package manage

import (
	"maps"
	"time"

	"github.com/nestor-gateway/nestor/access/store"
	"github.com/nestor-gateway/nestor/api/manage/row"
	"github.com/nestor-gateway/nestor/api/reply"
)

// mostLogs bounds an answer of /spend/logs, as in LiteLLM.
const mostLogs = 10_000

// mostDays bounds what is summed up by the day.
const mostDays = 366

// spendQuery reads whose spend is asked for. Those who don't see everything get that of their user, or of their key
// where it has none.
func (h *Handler) spendQuery(c *call) (q store.SpendQuery, err error) {
	q = store.SpendQuery{
		UserID: c.query.Get("user_id"), TeamID: c.query.Get("team_id"), RequestID: c.query.Get("request_id"), Model: c.query.Get("model"),
	}
	if key := c.query.Get("api_key"); key != "" {
		q.Token = tokenOf(key)
	}
	if q.From, q.To, err = c.span(); err != nil || c.views() {
		return q, err
	}
	switch user := c.user(); {
	case user != "" && (q.UserID == "" || q.UserID == user):
		q.UserID = user
	case user == "" && (q.Token == "" || q.Token == c.who.Key.Token):
		q.Token = c.who.Key.Token
	default:
		return q, reply.Forbidden("Not authorized to view spend for another user.")
	}
	return q, nil
}

// spendLogs answers with rows, the latest first, or, when both dates are given and summarize is not false, with sums by day.
func (h *Handler) spendLogs(c *call) (any, error) {
	q, err := h.spendQuery(c)
	if err != nil {
		return nil, err
	}
	rows := q.From.IsZero() || q.To.IsZero()
	if c.query.Get("summarize") != "" {
		summarize, err := c.truth("summarize")
		if err != nil {
			return nil, err
		}
		rows = rows || !summarize
	}
	if !rows {
		return h.spendByDay(c, q)
	}
	q.Limit = mostLogs
	found, err := h.Store.SpendRows(c, q)
	logs := make([]reply.Object, len(found))
	for i, s := range found {
		logs[i] = row.Spend(s)
	}
	return logs, err
}

// spendByDay sums the days that have any spend, each by key, user and model.
func (h *Handler) spendByDay(c *call, q store.SpendQuery) (any, error) {
	all := []reply.Object{}
	err := h.eachDay(c, q, func(day string, q store.SpendQuery, total store.Sum) error {
		shown := reply.Object{}
		for _, by := range []struct {
			dimension store.Dimension
			name      string
		}{{store.ByToken, ""}, {store.ByUser, "users"}, {store.ByModel, "models"}} {
			sums, err := h.Store.SpendBy(c, by.dimension, q)
			if err != nil {
				return err
			}
			if by.name == "" {
				maps.Copy(shown, costs(sums))
			} else {
				shown[by.name] = costs(sums)
			}
		}
		shown["startTime"], shown["spend"] = day, total.Cost.USD()
		all = append(all, shown)
		return nil
	})
	return all, err
}

func costs(sums []store.Sum) reply.Object {
	by := reply.Object{}
	for _, s := range sums {
		by[s.Name] = s.Cost.USD()
	}
	return by
}

// eachDay calls f, in order, for the days of a span that have any spend.
func (h *Handler) eachDay(c *call, q store.SpendQuery, f func(day string, q store.SpendQuery, total store.Sum) error) error {
	if q.To.Sub(q.From) > mostDays*24*time.Hour {
		return reply.Bad("end_date", "at most %d days can be summed up at a time", mostDays)
	}
	days, err := h.Store.SpendBy(c, store.ByDay, q)
	if err != nil {
		return err
	}
	for _, d := range days {
		day, err := time.Parse(time.DateOnly, d.Name)
		if err != nil {
			return err
		}
		one := q
		one.From, one.To = day, day.AddDate(0, 0, 1)
		if err := f(d.Name, one, d); err != nil {
			return err
		}
	}
	return nil
}
