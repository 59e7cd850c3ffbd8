// Package known lists the keys of LiteLLM's config, and finds the one that a user most likely meant.
package known

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
	routerSupported = "model_group_alias routing_strategy routing_strategy_args num_retries timeout stream_timeout allowed_fails cooldown_time max_fallbacks disable_cooldowns retry_policy allowed_fails_policy model_group_retry_policy retry_budget limits_without_redis fallbacks default_fallbacks context_window_fallbacks content_policy_fallbacks redis_url redis_host redis_port redis_password redis_db cache_kwargs"
	moduleSupported = "num_retries request_timeout fallbacks default_fallbacks context_window_fallbacks content_policy_fallbacks max_fallbacks allowed_fails telemetry"
	proxySupported  = "master_key database_url allowed_ips management_allowed_ips maximum_spend_logs_retention_period disable_spend_logs coordination_redis"
	groupSupported  = "routing_strategy num_retries timeout rpm tpm max_parallel_requests limits_without_redis fallbacks hidden"
	paramSupported  = "model custom_llm_provider api_key api_base base_url api_version organization rpm tpm max_parallel_requests weight order timeout request_timeout stream_timeout cooldown_time num_retries " + prices + " extra_headers headers extra_body litellm_credential_name"

	// prices are those that count, in litellm_params and in model_info.
	prices = "input_cost_per_token output_cost_per_token cache_read_input_token_cost cache_creation_input_token_cost output_cost_per_reasoning_token input_cost_per_request input_cost_per_query"

	// requestParams are what OpenAI's endpoints, and providers that follow them, take in a request body.
	requestParams = "functions function_call temperature top_p n stream stream_options stop max_completion_tokens modalities prediction audio max_tokens presence_penalty frequency_penalty logit_bias user response_format seed tools tool_choice parallel_tool_calls logprobs top_logprobs reasoning_effort reasoning thinking web_search_options service_tier prompt_cache_key prompt_cache_retention safety_identifier verbosity store dimensions encoding_format input suffix echo best_of prompt messages"
	// providerParams are well known too, but near enough to other keys to look like mistakes.
	providerParams = "top_k top_a min_p typical_p tfs_z mirostat repetition_penalty truncate provider models route transforms safe_prompt random_seed think options format keep_alive"

	Strategies = "simple-shuffle least-busy usage-based-routing usage-based-routing-v2 latency-based-routing cost-based-routing balanced"
	// OtherStrategies are LiteLLM's too, and not supported.
	OtherStrategies = "provider-budget-routing lar1"

	strategyArgsSupported = "ttl lowest_latency_buffer max_latency_list_size"
	strategyArgsOthers    = "the mean counts: ttft_percentile"

	WithoutRedis = "share closed open"
	BudgetKeys   = "percent min_per_second"

	retryClasses   = "AuthenticationErrorRetries TimeoutErrorRetries RateLimitErrorRetries InternalServerErrorRetries ServiceUnavailableErrorRetries DefaultRetries"
	retryOthers    = "a request that its provider refuses as wrong (400, 404, 422) is not tried again, its fallbacks follow at once: BadRequestErrorRetries ContentPolicyViolationErrorRetries NotFoundErrorRetries"
	failureClasses = "AuthenticationErrorAllowedFails TimeoutErrorAllowedFails RateLimitErrorAllowedFails InternalServerErrorAllowedFails ServiceUnavailableErrorAllowedFails BadGatewayErrorAllowedFails NotFoundErrorAllowedFails"
	failureOthers  = "a request that its provider refuses as wrong cools no deployment down, as in LiteLLM: BadRequestErrorAllowedFails ContentPolicyViolationErrorAllowedFails"
)

// Section is what is known about the keys of one mapping of the file.
type Section struct {
	// Name is how messages call it.
	Name string
	// Ignored says, for LiteLLM's keys that are not acted upon, what will not happen; empty: nothing is lost.
	Ignored map[string]string
	// Names are all known keys, for suggestions.
	Names []string
}

// Catalog is every section.
type Catalog struct {
	Top, Entry, Router, StrategyArgs, Module, Proxy, Group, Param, Redis, CacheParams Section
	// Retries and Failures are the keys of retry_policy and of allowed_fails_policy.
	Retries, Failures Section
	Request, Provider map[string]bool
	// Prices are the keys of the prices that count.
	Prices []string
}

func NewCatalog() *Catalog {
	c := &Catalog{
		Top:          newSection("the file", topSupported, "it is not read: "+topOthers),
		Entry:        newSection("an entry of model_list", entrySupported, ""),
		Router:       newSection("router_settings", routerSupported, routerKeys),
		StrategyArgs: newSection("routing_strategy_args", strategyArgsSupported, strategyArgsOthers),
		Module:       newSection("litellm_settings", moduleSupported, litellmKeys),
		Proxy:        newSection("general_settings", proxySupported, generalKeys),
		Group:        newSection("a group of model_groups", groupSupported, ""),
		Param:        newSection("litellm_params", paramSupported, paramKeys),
		Redis:        newSection("a Redis", redisSupported, redisKeys),
		CacheParams:  newSection("cache_params", cacheParamsSupported, cacheParamsKeys),
		Retries:      newSection("retry_policy", retryClasses, retryOthers),
		Failures:     newSection("allowed_fails_policy", failureClasses, failureOthers),
		Request:      set(requestParams),
		Provider:     set(providerParams),
		Prices:       strings.Fields(prices),
	}
	c.Param.Names = append(c.Param.Names, strings.Fields(requestParams)...)
	return c
}

// newSection reads lines of "what will not happen: key key ..."; a line that begins with spaces goes on with the one before.
func newSection(name, supported, ignored string) Section {
	s := Section{Name: name, Ignored: map[string]string{}}
	lost := ""
	for line := range strings.Lines(ignored) {
		if words, keys, found := strings.Cut(line, ": "); found && !strings.HasPrefix(line, " ") {
			lost, line = words, keys
		}
		for _, key := range strings.Fields(line) {
			s.Ignored[key] = lost
		}
	}
	s.Names = slices.Concat(strings.Fields(supported), slices.Sorted(maps.Keys(s.Ignored)))
	return s
}

func set(words string) map[string]bool {
	m := map[string]bool{}
	for _, w := range strings.Fields(words) {
		m[w] = true
	}
	return m
}

// IsPrice reports whether a key of litellm_params tells LiteLLM what a model costs.
func IsPrice(key string) bool {
	return strings.Contains(key, "cost_per_") || strings.Contains(key, "_token_cost")
}

func (s *Section) IsKnown(key string) bool { return slices.Contains(s.Names, key) }

// IsSupported reports whether a key is acted upon.
func (s *Section) IsSupported(key string) bool {
	_, ignored := s.Ignored[key]
	return !ignored && s.IsKnown(key)
}
