package row

import (
	"encoding/json"
	"maps"
	"slices"

	"github.com/nestor-gateway/nestor/api/reply"
)

// metadata is as LiteLLM shows it: with what is in places of their own here. It is never nil.
func metadata(stored json.RawMessage, rpm, tpm map[string]int64, tags []string) reply.Object {
	members := reply.Object{}
	var own map[string]json.RawMessage
	_ = json.Unmarshal(stored, &own) // nothing where there is none
	for name, v := range own {
		members[name] = v
	}
	if len(rpm) > 0 {
		members["model_rpm_limit"] = rpm
	}
	if len(tpm) > 0 {
		members["model_tpm_limit"] = tpm
	}
	if len(tags) > 0 {
		members["tags"] = tags
	}
	return members
}

// orEmpty is a list that is never null in JSON.
func orEmpty(list []string) []string {
	if list == nil {
		return []string{}
	}
	return slices.Clone(list)
}

// orNone is an object that is never null in JSON.
func orNone[V any](m map[string]V) map[string]V {
	if m == nil {
		return map[string]V{}
	}
	return maps.Clone(m)
}
