package manage

import (
	"maps"
	"time"

	"github.com/nestor-gateway/nestor/access/record"
	"github.com/nestor-gateway/nestor/access/store"
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
		return q, forbidden("Not authorized to view spend for another user.")
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
		logs[i] = rowOfSpend(s)
	}
	return logs, err
}

// rowOfSpend has LiteLLM's columns; what Nestor knows beyond them is in metadata.
func rowOfSpend(s record.Spend) reply.Object {
	status := "failure"
	if s.Outcome == "success" {
		status = "success"
	}
	return reply.Object{
		"request_id": s.RequestID, "call_type": callType(s.Endpoint), "api_key": s.Token, "spend": s.Cost.USD(),
		"total_tokens": s.Total, "prompt_tokens": s.Prompt, "completion_tokens": s.Completion,
		"startTime": s.Start.UTC(), "endTime": s.Start.Add(s.Duration).UTC(), "completionStartTime": firstToken(s),
		"request_duration_ms": s.Duration.Milliseconds(), "model": s.ProviderModel, "model_id": s.Deployment, "model_group": s.Model,
		"custom_llm_provider": s.Provider, "api_base": s.APIBase, "user": s.UserID, "team_id": orNull(s.TeamID), "end_user": s.EndUser,
		"request_tags": orEmpty(s.Tags), "status": status, "cache_hit": "False", "session_id": nil,
		"metadata": reply.Object{
			"id": s.ID, "user_api_key": s.Token, "user_api_key_team_id": orNull(s.TeamID), "user_api_key_user_id": orNull(s.UserID),
			"group": s.Group, "path": orEmpty(s.Path), "attempts": s.Attempts, "stream": s.Stream, "endpoint": s.Endpoint,
			"outcome": s.Outcome, "status_code": s.Status, "cached_tokens": s.Cached, "reasoning_tokens": s.Reasoning,
		},
	}
}

// callType is LiteLLM's word for an endpoint.
func callType(endpoint string) string {
	word, ok := map[string]string{
		"chat/completions": "acompletion", "completions": "atext_completion", "embeddings": "aembedding",
	}[endpoint]
	if !ok {
		return endpoint
	}
	return word
}

func firstToken(s record.Spend) any {
	if s.FirstToken == 0 {
		return nil
	}
	return s.Start.Add(s.FirstToken).UTC()
}

// spendByDay sums the days that have any spend, each by key, user and model.
func (h *Handler) spendByDay(c *call, q store.SpendQuery) (any, error) {
	all := []reply.Object{}
	err := h.eachDay(c, q, func(day string, q store.SpendQuery, total store.Sum) error {
		row := reply.Object{}
		for _, by := range []struct {
			dimension store.Dimension
			name      string
		}{{store.ByToken, ""}, {store.ByUser, "users"}, {store.ByModel, "models"}} {
			sums, err := h.Store.SpendBy(c, by.dimension, q)
			if err != nil {
				return err
			}
			if by.name == "" {
				maps.Copy(row, costs(sums))
			} else {
				row[by.name] = costs(sums)
			}
		}
		row["startTime"], row["spend"] = day, total.Cost.USD()
		all = append(all, row)
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
		return bad("end_date", "at most %d days can be summed up at a time", mostDays)
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
