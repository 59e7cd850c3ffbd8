package envoy

import (
	jsonv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/json_to_metadata/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"

	nestorv1 "github.com/nestor-gateway/nestor/proto/nestor/v1"
)

const jsonFilterName = "envoy.filters.http.json_to_metadata"

// jsonUsage reads the token counts of a whole answer. Those of streams filter.lua reads.
func jsonUsage() *hcmv3.HttpFilter {
	return httpFilter(jsonFilterName, &jsonv3.JsonToMetadata{ResponseRules: &jsonv3.JsonToMetadata_MatchRules{
		Rules: usageRules(),
		// With parameters too: the filter's own list matches the whole header.
		AllowContentTypesRegex: regex(`application/(.*\+)?json(\s*;.*)?`),
	}})
}

// usageRules say where the OpenAI API has its token counts, and where they go, as COUNTS of filter.lua do.
func usageRules() []*jsonv3.JsonToMetadata_Rule {
	return []*jsonv3.JsonToMetadata_Rule{
		usageRule(nestorv1.KeyPromptTokens, "usage", "prompt_tokens"),
		usageRule(nestorv1.KeyCompletionTokens, "usage", "completion_tokens"),
		usageRule(nestorv1.KeyTotalTokens, "usage", "total_tokens"),
		usageRule(nestorv1.KeyCachedTokens, "usage", "prompt_tokens_details", "cached_tokens"),
		usageRule(nestorv1.KeyReasoningTokens, "usage", "completion_tokens_details", "reasoning_tokens"),
		// OpenRouter's name and Anthropic's.
		usageRule(nestorv1.KeyCacheCreationTokens, "usage", "prompt_tokens_details", "cache_write_tokens"),
		usageRule(nestorv1.KeyCacheCreationTokens, "usage", "cache_creation_input_tokens"),
	}
}

// usageRule copies one number. It says nothing about a missing one: those rules also write
// for what is not JSON at all.
func usageRule(key string, path ...string) *jsonv3.JsonToMetadata_Rule {
	selectors := make([]*jsonv3.JsonToMetadata_Selector, len(path))
	for i, p := range path {
		selectors[i] = &jsonv3.JsonToMetadata_Selector{Selector: &jsonv3.JsonToMetadata_Selector_Key{Key: p}}
	}
	return &jsonv3.JsonToMetadata_Rule{
		Selectors: selectors,
		OnPresent: &jsonv3.JsonToMetadata_KeyValuePair{
			MetadataNamespace: nestorv1.UsageNamespace,
			Key:               key,
			Type:              jsonv3.JsonToMetadata_NUMBER,
		},
	}
}
