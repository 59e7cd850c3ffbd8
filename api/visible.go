package api

import (
	"bytes"
	"encoding/json"
	"net/url"
	"strings"
)

// decode reads JSON without rounding numbers; nil for what is no JSON.
func decode(raw json.RawMessage) any {
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber()
	var v any
	if decoder.Decode(&v) != nil {
		return nil
	}
	return v
}

// visible takes out of a decoded JSON value, at any depth, the members whose names say
// that they hold a secret, and the user part of addresses.
func visible(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for name, member := range v {
			if secretive(name) {
				delete(v, name)
				continue
			}
			v[name] = visible(member)
		}
	case []any:
		for i, member := range v {
			v[i] = visible(member)
		}
	case string:
		return withoutUser(v)
	}
	return v
}

func secretive(name string) bool {
	name = strings.ReplaceAll(strings.ToLower(name), "-", "_")
	for _, word := range []string{
		"api_key", "apikey", "secret", "password", "credential", "authorization", "private_key", "access_key",
		"access_token", "auth_token", "headers",
	} {
		if strings.Contains(name, word) {
			return true
		}
	}
	return false
}

func withoutUser(text string) string {
	if !strings.Contains(text, "://") || !strings.Contains(text, "@") {
		return text
	}
	u, err := url.Parse(text)
	if err != nil {
		return ""
	}
	if u.User == nil {
		return text
	}
	u.User = nil
	return u.String()
}
