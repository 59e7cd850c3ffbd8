// Package config reads LiteLLM's config.yaml, strictly and with the place of every value.
package config

import (
	"encoding/json"
	"strings"
	"time"

	"github.com/nestor-gateway/nestor/routing/config/tree"
)

// Position is a place in a config file. Line and Column count from 1; 0 means unknown.
type Position = tree.Position

// Config is a config.yaml as read, with its includes merged and its environment references resolved.
type Config struct {
	// Files are the paths that were read, the main file first.
	Files []string
	// Entries are those of model_list, in the order of the file.
	Entries []Entry
	Router  Router
	// Groups are the settings under model_groups, by group.
	Groups map[string]Group
	// MasterKey is empty when none is configured.
	MasterKey Secret
	Access    Access
	Redis     Redis
	// Warnings say what will not happen: LiteLLM's settings that Nestor does not support,
	// deployments that can't be used as they are.
	Warnings []Diagnostic
}

// Entry is one element of model_list.
type Entry struct {
	Position
	// Name is model_name.
	Name   string
	Params Params
	Info   ModelInfo
	// Problem is why no request can be sent to this entry: a variable that is not set,
	// a placeholder left in an address. Empty when there is none. Never holds a secret.
	Problem string
}

// Unidentified reports whether a variable that is not set or a placeholder stands where the provider or its model
// should be named. Params.Model or Params.Provider is then as written.
func (e *Entry) Unidentified() bool {
	return e.Problem != "" && (unresolved(e.Params.Model) || unresolved(e.Params.Provider))
}

func unresolved(text string) bool {
	return strings.HasPrefix(text, referencePrefix) || placeholder(text) != ""
}

// Params are the litellm_params of an entry. A nil pointer is a key that is absent or null.
type Params struct {
	// Model is as written, for example "groq/openai/gpt-oss-120b"; ModelAt is its place.
	Model   string
	ModelAt Position

	Provider     string // custom_llm_provider
	APIKey       Secret
	APIBase      string   // api_base or base_url
	APIBaseAt    Position // of the value
	APIVersion   string
	Organization string

	// RPM, TPM and MaxParallel are per minute, per minute, and at once.
	RPM, TPM, MaxParallel *int64
	Weight                *float64
	Order                 *int

	Timeout, StreamTimeout, CooldownTime *time.Duration
	NumRetries                           *int

	// Prices go before those of model_info.
	Prices Prices

	// ExtraHeaders are sent to the provider with every request.
	ExtraHeaders []Header
	// Defaults are request parameters merged into a body that lacks them, in the order of the file.
	Defaults []Field

	// Others are the keys that are present, not null, and none of model, order, weight, rpm, tpm and
	// max_parallel_requests. An entry that has any is a deployment, never a reference.
	Others []Key
}

// Key is a key of the file and its place.
type Key struct {
	Name string
	At   Position
}

// Header is one HTTP header.
type Header struct{ Name, Value string }

// Field is one JSON object member.
type Field struct {
	Name string
	JSON json.RawMessage
}

// ModelInfo is the model_info of an entry.
type ModelInfo struct {
	// ID names the deployment; empty when the file gives none.
	ID   string
	Mode string // "chat", "completion", "embedding", ...; empty when not given
	// AccessGroups are names by which keys, teams and users may be given the entry's group.
	AccessGroups []string
	// Prices are those that are numbers; model_info may hold anything.
	Prices Prices
	// All is model_info whole, as a JSON object, for /model/info; nil when absent.
	All json.RawMessage
}

// StrategyArgs tune latency-based-routing. A nil pointer means that the file does not say.
type StrategyArgs struct {
	// TTL is how long an answer's time counts.
	TTL *time.Duration
	// LowestLatencyBuffer is by which part of the lowest latency another one may exceed it.
	LowestLatencyBuffer *float64
	// MaxLatencyListSize is how many answers count.
	MaxLatencyListSize *int
}

// Router holds router_settings and what litellm_settings says about routing.
// A nil pointer means that the file does not say.
type Router struct {
	// Aliases is model_group_alias.
	Aliases  []Alias
	Strategy string // routing_strategy as written; empty when not given
	// StrategyArgs is routing_strategy_args.
	StrategyArgs StrategyArgs

	NumRetries    *int
	Timeout       *time.Duration
	StreamTimeout *time.Duration
	AllowedFails  *int
	CooldownTime  *time.Duration
	MaxFallbacks  *int
	// LimitsWithoutRedis is limits_without_redis: "share", "closed" or "open"; empty when not given.
	LimitsWithoutRedis string
	// DisableCooldowns is LiteLLM's disable_cooldowns.
	DisableCooldowns bool
	// RetryPolicy and AllowedFailsPolicy are by LiteLLM's names, for example "RateLimitErrorRetries".
	RetryPolicy        map[string]int
	AllowedFailsPolicy map[string]int
	// GroupRetryPolicy is model_group_retry_policy, by group or alias.
	GroupRetryPolicy map[string]RetryPolicy
	RetryBudget      *RetryBudget

	Fallbacks              []Fallback
	ContextWindowFallbacks []Fallback
	ContentPolicyFallbacks []Fallback
	DefaultFallbacks       []Key
}

// RetryPolicy is one entry of model_group_retry_policy. Retries are by LiteLLM's names.
type RetryPolicy struct {
	At      Position
	Retries map[string]int
}

// Alias is one entry of model_group_alias.
type Alias struct {
	Name   string
	Target string
	Hidden bool
	At     Position
}

// Fallback says which groups stand in for one, in order.
type Fallback struct {
	Group string
	To    []string
	At    Position
}

// Group is one entry of model_groups.
type Group struct {
	At         Position
	Strategy   string
	NumRetries *int
	Timeout    *time.Duration
	RPM, TPM   *int64
	// MaxParallel is max_parallel_requests.
	MaxParallel *int64
	// LimitsWithoutRedis is as in Router; empty is the router's.
	LimitsWithoutRedis string
	Fallbacks          []string
	Hidden             bool
}
