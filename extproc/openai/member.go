package openai

import (
	"encoding/json"
	"fmt"
	"strings"
)

// member is a member of the body that means something to Nestor.
type member uint8

const (
	other member = iota
	model
	stream
	streamOptions
	maxTokens
	maxCompletionTokens
	choices
	bestOf
	prompt
	user
	// From here on they are LiteLLM's own and not sent on.
	fallbacks
	numRetries
	timeout
	disableFallbacks
	// litellms are those that LiteLLM's proxy would consume and that Nestor only leaves out.
	litellms
)

func (m member) cut() bool { return m >= fallbacks }

// memberOf knows the members by name. What LiteLLM takes for itself is from its list
// of request fields (litellm/types/litellm_params.py, all_litellm_params), without those that a provider has
// under the same name: metadata, ttl (LM Studio), headers, id.
func memberOf(name string) member {
	switch name {
	case "model":
		return model
	case "stream":
		return stream
	case "stream_options":
		return streamOptions
	case "max_tokens":
		return maxTokens
	case "max_completion_tokens":
		return maxCompletionTokens
	case "n":
		return choices
	case "best_of":
		return bestOf
	case "prompt":
		return prompt
	case "user":
		return user
	case "fallbacks":
		return fallbacks
	case "num_retries":
		return numRetries
	case "timeout":
		return timeout
	case "disable_fallbacks":
		return disableFallbacks
	case "api_key", "api_base", "base_url", "api_version", "custom_llm_provider", "region_name", "ssl_verify",
		"cache", "caching", "no-log", "tags", "guardrails", "guardrail_config", "policies", "user_config",
		"model_list", "model_info", "proxy_server_request", "secret_fields", "provider_specific_header",
		"max_retries", "max_fallbacks", "context_window_fallbacks", "content_policy_fallbacks",
		"request_timeout", "stream_timeout", "retry_policy", "retry_strategy", "routing_strategy", "cooldown_time",
		"rpm", "tpm", "specific_deployment", "fastest_response", "use_litellm_proxy",
		"allowed_openai_params", "additional_drop_params", "drop_params", "merge_reasoning_content_in_choices",
		"prompt_id", "prompt_label", "prompt_variables", "prompt_version", "turn_off_message_logging":
		return litellms
	}
	if strings.HasPrefix(name, "litellm_") || strings.HasPrefix(name, "mock_") {
		return litellms
	}
	return other
}

// identify finds the member that a key as written means, and refuses one that another reader
// could take for a member that Nestor reads.
func (r *reader) identify(key []byte) (member, *Error) {
	if !ordinary(key) {
		return identifyOdd(key)
	}
	m := memberOf(string(key))
	if m == other || m == litellms {
		return m, nil
	}
	if r.seen&(1<<m) != 0 {
		return m, Invalid(string(key), fmt.Sprintf("the request body has %q twice", key))
	}
	r.seen |= 1 << m
	return m, nil
}

// identifyOdd is for a key that is no ordinary one. One of LiteLLM's is left out however it is written.
func identifyOdd(key []byte) (member, *Error) {
	if name, _ := unquote(key); memberOf(name) == litellms {
		return litellms, nil
	}
	return other, lookalike(key, func(name string) bool { m := memberOf(name); return m != other && m != litellms })
}

// ordinary keys are written as OpenAI writes its own.
func ordinary(key []byte) bool {
	for _, c := range key {
		if (c < 'a' || c > 'z') && c != '_' && c != '-' && !isDigit(c) {
			return false
		}
	}
	return true
}

// lookalike refuses a key that is no ordinary one, but decoded and in lower case is one that is read.
func lookalike(key []byte, isRead func(string) bool) *Error {
	name, ok := unquote(key)
	if !ok {
		return nil
	}
	lower := fold(name)
	if !isRead(lower) {
		return nil
	}
	return Invalid(lower, fmt.Sprintf("the request body has a member named %q; write it as %q, without escapes and in lower case", key, lower))
}

// fold gives the lower-case form under which Go's encoding/json would find a name: it takes
// the long s and the Kelvin sign for the letters.
func fold(name string) string {
	return strings.NewReplacer("\u017f", "s", "\u212a", "k").Replace(strings.ToLower(name))
}

// unquote decodes the inside of a JSON string. It is false for half a surrogate pair.
func unquote(raw []byte) (string, bool) {
	var s string
	quoted := append(append([]byte{'"'}, raw...), '"')
	if json.Unmarshal(quoted, &s) != nil {
		return "", false
	}
	return s, !strings.ContainsRune(s, '\ufffd')
}
