package row

import (
	"github.com/nestor-gateway/nestor/access/record"
	"github.com/nestor-gateway/nestor/api/reply"
)

// Spend is a row of the spend log. It has LiteLLM's columns; what Nestor knows beyond them is in metadata.
func Spend(s record.Spend) reply.Object {
	status := "failure"
	if s.Outcome == "success" {
		status = "success"
	}
	return reply.Object{
		"request_id": s.RequestID, "call_type": callType(s.Endpoint), "api_key": s.Token, "spend": s.Cost.USD(),
		"total_tokens": s.Total, "prompt_tokens": s.Prompt, "completion_tokens": s.Completion,
		"startTime": s.Start.UTC(), "endTime": s.Start.Add(s.Duration).UTC(), "completionStartTime": firstToken(s),
		"request_duration_ms": s.Duration.Milliseconds(), "model": s.ProviderModel, "model_id": s.Deployment, "model_group": s.Model,
		"custom_llm_provider": s.Provider, "api_base": s.APIBase, "user": s.UserID, "team_id": OrNull(s.TeamID), "end_user": s.EndUser,
		"request_tags": orEmpty(s.Tags), "status": status, "cache_hit": "False", "session_id": nil,
		"metadata": reply.Object{
			"id": s.ID, "user_api_key": s.Token, "user_api_key_team_id": OrNull(s.TeamID), "user_api_key_user_id": OrNull(s.UserID),
			"group": s.Group, "path": orEmpty(s.Path), "attempts": s.Attempts, "stream": s.Stream, "endpoint": s.Endpoint,
			"outcome": s.Outcome, "status_code": s.Status, "cached_tokens": s.Cached, "reasoning_tokens": s.Reasoning,
		},
	}
}

// callType is LiteLLM's word for an endpoint, which is named as in logs and metrics.
func callType(endpoint string) string {
	word, ok := map[string]string{
		"chat": "acompletion", "completions": "atext_completion", "embeddings": "aembedding",
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
