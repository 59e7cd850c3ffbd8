package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// generous are limits and a budget that no load comes near to.
const generous = `"rpm_limit": 90000000, "tpm_limit": 900000000000, "max_parallel_requests": 10000, "max_budget": 1000000`

// newKey makes a key of a new team.
func newKey(ctx context.Context, address string) (string, error) {
	team, err := manage(ctx, address, "/team/new", "{"+generous+"}")
	if err != nil {
		return "", err
	}
	key, err := manage(ctx, address, "/key/generate", fmt.Sprintf(`{"team_id": %q, "models": ["fast"], %s}`, team["team_id"], generous))
	text, _ := key["key"].(string)
	return text, err
}

// manage calls a management route.
func manage(ctx context.Context, address, path, body string) (map[string]any, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+address+path, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Authorization", "Bearer "+masterKey)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: status %d: %.300s", path, response.StatusCode, text)
	}
	var answer map[string]any
	return answer, json.Unmarshal(text, &answer)
}
