package form

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/nestor-gateway/nestor/access/budget"
	"github.com/nestor-gateway/nestor/access/record"
	"github.com/nestor-gateway/nestor/access/routes"
	"github.com/nestor-gateway/nestor/api/reply"
)

// Key is a key with what only requests about it have.
type Key struct {
	record.Key
	// Named is `key`: the key to change, or one that the caller made; Renamed is `new_key`.
	Named, Renamed string
	// Guaranteed is set when the key's limits must fit into what its team has left of its own.
	Guaranteed bool
}

// mib is a unit of max_request_size_mb.
const mib = 1 << 20

// KeyUpdate are the fields of /key/update, and most of the other requests'.
func KeyUpdate(now time.Time) Fields[Key] {
	terms := termFields(now, func(k *Key) *record.Terms { return &k.Terms })
	shared := describedFields(func(k *Key) described { return describedKey(&k.Key) })
	return slices.Concat(Fields[Key]{
		text("key", func(k *Key) *string { return &k.Named }),
		text("key_alias", func(k *Key) *string { return &k.Alias }),
		unlessEmpty(id("team_id", func(k *Key) *string { return &k.TeamID })),
		id("user_id", func(k *Key) *string { return &k.UserID }),
		unlessEmpty(id("budget_id", func(k *Key) *string { return &k.BudgetID })),
		texts("models", func(k *Key) *[]string { return &k.Models }),
		aliases("aliases", func(k *Key) *map[string]string { return &k.Aliases }),
		{"allowed_routes", func(k *Key, value json.RawMessage) error { return setRoutes(&k.AllowedRoutes, value) }},
		flag("blocked", func(k *Key) *bool { return &k.Blocked }),
		spent("spend", func(k *Key) *record.Nano { return &k.Spend }),
		unlessEmpty(field[Key]{"duration", func(k *Key, value json.RawMessage) error { return setExpiry(&k.Expires, value, now) }}),
		{"max_request_size_mb", func(k *Key, value json.RawMessage) error { return setSize(&k.MaxRequestBytes, value) }},
		{"rpm_limit_type", func(k *Key, value json.RawMessage) error { return k.setLimitType(value) }},
		{"tpm_limit_type", func(k *Key, value json.RawMessage) error { return k.setLimitType(value) }},
	}, terms, shared,
		unsupported[Key]("permissions", "config", "model_max_budget", "budget_limits", "budget_fallbacks", "guardrails", "policies",
			"prompts", "object_permission", "allowed_vector_store_indexes", "enforced_params", "router_settings", "access_group_ids",
			"organization_id", "project_id", "agent_id", "end_user_budget_id", "tpd_limit", "tag_rpm_limit", "auto_rotate",
			"temp_budget_increase", "temp_budget_expiry"),
		ignored[Key]("send_invite_email", "allowed_cache_controls", "disable_global_guardrails", "enable_prompt_caching",
			"allowed_passthrough_routes", "denied_passthrough_routes", "mcp_rpm_limit", "default_estimated_output_tokens",
			"default_estimated_output_tokens_per_model", "throttle_on_budget_exceeded", "rotation_interval"))
}

// KeyGenerate are the fields of /key/generate.
func KeyGenerate(now time.Time) Fields[Key] {
	return append(KeyUpdate(now),
		field[Key]{"key_type", func(k *Key, value json.RawMessage) error { return setKeyType(&k.AllowedRoutes, value) }})
}

// KeyRegenerate are the fields of /key/regenerate.
func KeyRegenerate(now time.Time) Fields[Key] {
	return slices.Concat(KeyGenerate(now), Fields[Key]{text("new_key", func(k *Key) *string { return &k.Renamed })},
		unsupported[Key]("new_master_key", "grace_period"))
}

func describedKey(k *record.Key) described {
	return described{&k.Metadata, &k.ModelRPM, &k.ModelTPM, &k.Tags}
}

// setExpiry takes null, and "-1", for a key that never expires.
func setExpiry(to *time.Time, value json.RawMessage, now time.Time) error {
	var duration string
	if json.Unmarshal(value, &duration) != nil {
		return errors.New("must be a text, for example \"30d\"")
	}
	if isNull(value) || duration == "-1" {
		*to = time.Time{}
		return nil
	}
	d, err := budget.ParseDuration(duration)
	if err != nil {
		return err
	}
	*to = d.After(now)
	return nil
}

// setSize reads a number of MiB, which may be a fraction.
func setSize(to **int64, value json.RawMessage) error {
	n, err := number(value)
	if err != nil || n == nil {
		*to = nil
		return err
	}
	bytes := int64(min(*n, 1<<20) * mib)
	if bytes == 0 {
		return fmt.Errorf("must be more than %s", value)
	}
	*to = &bytes
	return nil
}

// setLimitType: guaranteed limits are checked against the team's when they are set; "dynamic" would allow more.
func (k *Key) setLimitType(value json.RawMessage) error {
	var kind string
	if json.Unmarshal(value, &kind) != nil {
		return errors.New("must be a text")
	}
	switch kind {
	case "guaranteed_throughput":
		k.Guaranteed = true
	case "", "best_effort_throughput":
	default:
		return fmt.Errorf("must be best_effort_throughput or guaranteed_throughput, not %.100q", kind)
	}
	return nil
}

// setRoutes refuses names that would allow nothing. LiteLLM keeps them: the key then may call less than was meant.
func setRoutes(to *[]string, value json.RawMessage) error {
	var given []string
	if json.Unmarshal(value, &given) != nil {
		return errors.New("must be a list of texts")
	}
	for _, name := range given {
		near, ok := routes.Means(name)
		switch {
		case near != "":
			return fmt.Errorf("has %.100q, which is no path and no group of routes; did you mean %s?", name, near)
		case !ok:
			return fmt.Errorf("has %.100q, which is no path and no group of routes; a path begins with /", name)
		}
	}
	*to = given
	return nil
}

// setKeyType sets the routes that LiteLLM's types of keys stand for.
func setKeyType(to *[]string, value json.RawMessage) error {
	var kind string
	if json.Unmarshal(value, &kind) != nil {
		return errors.New("must be a text")
	}
	preset, ok := map[string][]string{"llm_api": {"llm_api_routes"}, "management": {"management_routes"}, "read_only": {"info_routes"}}[kind]
	switch {
	case ok:
		*to = preset
	case kind != "" && kind != "default":
		return fmt.Errorf("must be llm_api, management, read_only or default, not %.100q", kind)
	}
	return nil
}

// Names is the body of a request about several keys.
type Names struct{ Keys, Aliases []string }

// KeyNames are its fields.
func KeyNames() Fields[Names] {
	return Fields[Names]{
		texts("keys", func(n *Names) *[]string { return &n.Keys }),
		texts("key_aliases", func(n *Names) *[]string { return &n.Aliases }),
	}
}

// OnlyAmount reads a body that has one amount of USD, and nothing else.
func OnlyAmount(b Body, name string) (record.Nano, error) {
	var v *record.Nano
	err := Fields[*record.Nano]{money(name, func(to **record.Nano) **record.Nano { return to })}.Apply(b, &v)
	if err == nil && v == nil {
		err = reply.Bad(name, "%s must be provided", name)
	}
	if err != nil {
		return 0, err
	}
	return *v, nil
}
