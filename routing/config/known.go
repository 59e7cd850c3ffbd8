package config

import (
	"maps"
	"slices"
	"strings"
)

// supported keys, section by section. The decoders of the sections read exactly these.
const (
	topSupported    = "model_list router_settings litellm_settings general_settings model_groups environment_variables include credential_list"
	topOthers       = "guardrails mcp_servers mcp_tools callback_settings search_tools sandbox_tools vector_store_registry files_settings finetune_settings assistant_settings default_vertex_config prompts agent_list agents policies policy_attachments worker_registry pass_through_endpoints plugins classifier_plugin"
	entrySupported  = "model_name litellm_params model_info"
	routerSupported = "model_group_alias routing_strategy num_retries timeout stream_timeout allowed_fails cooldown_time max_fallbacks disable_cooldowns retry_policy allowed_fails_policy model_group_retry_policy fallbacks default_fallbacks context_window_fallbacks content_policy_fallbacks redis_url redis_host redis_port redis_password redis_db"
	moduleSupported = "num_retries request_timeout fallbacks default_fallbacks context_window_fallbacks content_policy_fallbacks max_fallbacks allowed_fails telemetry"
	proxySupported  = "master_key database_url"
	groupSupported  = "routing_strategy num_retries timeout rpm tpm max_parallel_requests fallbacks hidden"
	paramSupported  = "model custom_llm_provider api_key api_base base_url api_version organization rpm tpm max_parallel_requests weight order timeout request_timeout stream_timeout cooldown_time num_retries extra_headers headers extra_body litellm_credential_name"

	// requestParams are what OpenAI's endpoints, and providers that follow them, take in a request body.
	requestParams = "functions function_call temperature top_p n stream stream_options stop max_completion_tokens modalities prediction audio max_tokens presence_penalty frequency_penalty logit_bias user response_format seed tools tool_choice parallel_tool_calls logprobs top_logprobs reasoning_effort reasoning thinking web_search_options service_tier prompt_cache_key prompt_cache_retention safety_identifier verbosity store dimensions encoding_format input suffix echo best_of prompt messages"
	// providerParams are well known too, but near enough to other keys to look like mistakes.
	providerParams = "top_k top_a min_p typical_p tfs_z mirostat repetition_penalty truncate provider models route transforms safe_prompt random_seed think options format keep_alive"

	strategies     = "simple-shuffle least-busy usage-based-routing usage-based-routing-v2 latency-based-routing cost-based-routing provider-budget-routing lar1"
	retryClasses   = "BadRequestErrorRetries AuthenticationErrorRetries TimeoutErrorRetries RateLimitErrorRetries ContentPolicyViolationErrorRetries InternalServerErrorRetries ServiceUnavailableErrorRetries NotFoundErrorRetries DefaultRetries"
	failureClasses = "BadRequestErrorAllowedFails AuthenticationErrorAllowedFails TimeoutErrorAllowedFails RateLimitErrorAllowedFails ContentPolicyViolationErrorAllowedFails InternalServerErrorAllowedFails ServiceUnavailableErrorAllowedFails BadGatewayErrorAllowedFails NotFoundErrorAllowedFails"
)

// section is what is known about the keys of one mapping of the file.
type section struct {
	// name is how messages call it.
	name string
	// ignored says, for LiteLLM's keys that are not acted upon, what will not happen; empty: nothing is lost.
	ignored map[string]string
	// names are all known keys, for suggestions.
	names []string
}

// catalog is every section.
type catalog struct {
	top, entry, router, module, proxy, group, param section
	request, provider                               map[string]bool
}

func newCatalog() *catalog {
	c := &catalog{
		top:      newSection("the file", topSupported, "it is not read: "+topOthers),
		entry:    newSection("an entry of model_list", entrySupported, ""),
		router:   newSection("router_settings", routerSupported, routerKeys),
		module:   newSection("litellm_settings", moduleSupported, litellmKeys),
		proxy:    newSection("general_settings", proxySupported, generalKeys),
		group:    newSection("a group of model_groups", groupSupported, ""),
		param:    newSection("litellm_params", paramSupported, paramKeys),
		request:  set(requestParams),
		provider: set(providerParams),
	}
	c.param.names = append(c.param.names, strings.Fields(requestParams)...)
	return c
}

// newSection reads lines of "what will not happen: key key ..."; a line that begins with spaces goes on with the one before.
func newSection(name, supported, ignored string) section {
	s := section{name: name, ignored: map[string]string{}}
	lost := ""
	for line := range strings.Lines(ignored) {
		if words, keys, found := strings.Cut(line, ": "); found && !strings.HasPrefix(line, " ") {
			lost, line = words, keys
		}
		for _, key := range strings.Fields(line) {
			s.ignored[key] = lost
		}
	}
	s.names = slices.Concat(strings.Fields(supported), slices.Sorted(maps.Keys(s.ignored)))
	return s
}

func set(words string) map[string]bool {
	m := map[string]bool{}
	for _, w := range strings.Fields(words) {
		m[w] = true
	}
	return m
}

// isPrice reports whether a key of litellm_params tells LiteLLM what a model costs.
func isPrice(key string) bool {
	return strings.Contains(key, "cost_per_") || strings.Contains(key, "_token_cost")
}

func (s *section) isKnown(key string) bool { return slices.Contains(s.names, key) }

// isSupported reports whether a key is acted upon.
func (s *section) isSupported(key string) bool {
	_, ignored := s.ignored[key]
	return !ignored && s.isKnown(key)
}
