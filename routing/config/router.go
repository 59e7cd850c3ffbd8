package config

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

const anyNumber = math.MinInt64

// router reads router_settings.
func (d *decoder) router(v *node) {
	r := &d.cfg.Router
	for _, f := range d.fields("router_settings", v) {
		key, v := f.key.text, f.value
		if d.reliability(f, r) || d.redis(key, v) {
			continue
		}
		switch key {
		case "model_group_alias":
			d.aliases(v)
		case "routing_strategy":
			d.strategy(v, &r.Strategy)
		case "timeout":
			d.timeout(key, v, &r.Timeout)
		case "stream_timeout":
			d.timeout(key, v, &r.StreamTimeout)
		case "cooldown_time":
			d.timeout(key, v, &r.CooldownTime)
		case "disable_cooldowns":
			d.flag(key, v, &r.DisableCooldowns)
		case "retry_policy":
			r.RetryPolicy = d.policy(key, v, retryClasses)
		case "allowed_fails_policy":
			r.AllowedFailsPolicy = d.policy(key, v, failureClasses)
		case "model_group_retry_policy":
			r.GroupRetryPolicy = d.groupPolicies(key, v)
		default:
			d.unsupported(&d.known.router, f)
		}
	}
}

// reliability reads what router_settings and litellm_settings both have.
func (d *decoder) reliability(f pair, r *Router) bool {
	switch key, v := f.key.text, f.value; key {
	case "num_retries":
		whole(d, key, v, 0, &r.NumRetries)
	case "max_fallbacks":
		whole(d, key, v, 0, &r.MaxFallbacks)
	case "allowed_fails":
		whole(d, key, v, 0, &r.AllowedFails)
	case "fallbacks":
		r.Fallbacks = d.fallbacks(key, v, r)
	case "context_window_fallbacks":
		r.ContextWindowFallbacks = d.fallbacks(key, v, nil)
	case "content_policy_fallbacks":
		r.ContentPolicyFallbacks = d.fallbacks(key, v, nil)
	case "default_fallbacks":
		r.DefaultFallbacks = d.texts(key, v)
	default:
		return false
	}
	return true
}

// module reads litellm_settings. What router_settings says as well, it says with more weight; only a
// request_timeout beside a timeout of the router is the limit of one attempt, as in LiteLLM's Router.
func (d *decoder) module(v *node) {
	var m Router
	for _, f := range d.fields("litellm_settings", v) {
		switch key := f.key.text; {
		case d.reliability(f, &m), key == "telemetry":
		case key == "request_timeout":
			d.timeout(key, f.value, &m.Timeout)
		default:
			d.unsupported(&d.known.module, f)
		}
	}
	r := &d.cfg.Router
	orElse(&m.Timeout, r.Timeout)
	r.Timeout = m.Timeout
	orElse(&r.NumRetries, m.NumRetries)
	orElse(&r.MaxFallbacks, m.MaxFallbacks)
	orElse(&r.AllowedFails, m.AllowedFails)
	orElseList(&r.Fallbacks, m.Fallbacks)
	orElseList(&r.ContextWindowFallbacks, m.ContextWindowFallbacks)
	orElseList(&r.ContentPolicyFallbacks, m.ContentPolicyFallbacks)
	orElseList(&r.DefaultFallbacks, m.DefaultFallbacks)
}

func orElse[T any](to **T, other *T) {
	if *to == nil {
		*to = other
	}
}

func orElseList[T any](to *[]T, other []T) {
	if len(*to) == 0 {
		*to = other
	}
}

// redis reads the redis_* keys of router_settings.
func (d *decoder) redis(key string, v *node) bool {
	r := &d.cfg.Redis
	switch key {
	case "redis_url":
		d.secret(key, v, &r.URL)
	case "redis_host":
		d.text(key, v, &r.Host)
	case "redis_port":
		d.port(key, v, &r.Port)
	case "redis_password":
		d.secret(key, v, &r.Password)
	case "redis_db":
		var n *int
		if whole(d, key, v, 0, &n); n != nil {
			r.DB = *n
		}
	default:
		return false
	}
	return true
}

func (d *decoder) port(key string, v *node, to *int) {
	var n *int
	whole(d, key, v, 0, &n)
	switch {
	case n == nil:
	case *n == 0 || *n > 65535:
		d.report.problem(v.at, "write a number from 1 to 65535", "%s is no port", key)
	default:
		*to = *n
	}
}

// aliases reads model_group_alias: {name: group} or {name: {model: group, hidden: true}}.
func (d *decoder) aliases(v *node) {
	for _, f := range d.fields("model_group_alias", v) {
		a, before := Alias{Name: f.key.text, At: f.key.at}, len(d.report.problems)
		if f.value.kind == mapping {
			d.aliasItem(f.value, &a)
		} else {
			d.text("an alias", f.value, &a.Target)
		}
		if a.Name == "" || a.Target == "" {
			if len(d.report.problems) == before {
				d.report.problem(f.key.at, "write it as name: group", "the alias %s has no group", quoteKey(a.Name))
			}
			continue
		}
		d.cfg.Router.Aliases = append(d.cfg.Router.Aliases, a)
	}
}

func (d *decoder) aliasItem(v *node, a *Alias) {
	for _, f := range d.fields("an alias", v) {
		switch f.key.text {
		case "model":
			d.text("the alias's model", f.value, &a.Target)
		case "hidden":
			d.flag("hidden", f.value, &a.Hidden)
		default:
			d.report.problem(f.key.at, "an alias takes model and hidden", "%s is not known in an alias", quoteKey(f.key.text))
		}
	}
}

func (d *decoder) strategy(v *node, to *string) {
	if d.text("routing_strategy", v, to); *to == "" {
		return
	}
	names := strings.Fields(strategies)
	switch {
	case *to == "simple-shuffle":
	case slices.Contains(names, *to):
		d.report.warn(v.at, "", "routing_strategy %s is not supported yet: simple-shuffle is used", *to)
	default:
		hint := "the strategies are " + strings.Join(names, ", ")
		if meant := nearest(*to, names); meant != "" {
			hint = "write " + meant
		}
		d.report.problem(v.at, hint, "routing_strategy must be one of LiteLLM's, not %s", d.shown(v))
	}
}

// shown quotes a value of the file; what a variable holds is never shown.
func (d *decoder) shown(v *node) string {
	if _, isReference := reference(v); isReference {
		return d.found(v)
	}
	return quoteKey(v.text)
}

// policy reads a mapping of LiteLLM's error names to numbers.
func (d *decoder) policy(key string, v *node, classes string) map[string]int {
	s := section{name: key, names: strings.Fields(classes)}
	counts := map[string]int{}
	for _, f := range d.fields(key, v) {
		if !slices.Contains(s.names, f.key.text) {
			d.unknown(&s, f.key)
			continue
		}
		var n *int
		if whole(d, f.key.text, f.value, 0, &n); n != nil {
			counts[f.key.text] = *n
		}
	}
	return counts
}

func (d *decoder) groupPolicies(key string, v *node) map[string]map[string]int {
	groups := map[string]map[string]int{}
	for _, f := range d.fields(key, v) {
		groups[f.key.text] = d.policy(key, f.value, retryClasses)
	}
	return groups
}

// fallbacks reads a list of {group: [group, ...]}. "*" stands for every group: those are the default ones.
func (d *decoder) fallbacks(key string, v *node, defaults *Router) []Fallback {
	items, _ := d.list(key, v)
	var all []Fallback
	for _, item := range items {
		fields := d.fields("an item of "+key, item)
		if item.kind != mapping {
			continue
		}
		if len(fields) != 1 {
			d.report.problem(item.at, "write each item as {group: [group, ...]}", "an item of %s must have exactly one group, not %d", key, len(fields))
			continue
		}
		f := Fallback{Group: fields[0].key.text, At: fields[0].key.at}
		to := d.texts(fmt.Sprintf("%s of %s", key, quoteKey(f.Group)), fields[0].value)
		if f.Group == "*" && defaults != nil {
			orElseList(&defaults.DefaultFallbacks, to)
			continue
		}
		f.To = namesOf(to)
		all = append(all, f)
	}
	return all
}

func namesOf(keys []Key) []string {
	var names []string
	for _, k := range keys {
		names = append(names, k.Name)
	}
	return names
}

// groups reads model_groups, Nestor's own section.
func (d *decoder) groups(v *node) {
	d.cfg.Groups = map[string]Group{}
	for _, f := range d.fields("model_groups", v) {
		g := Group{At: f.key.at}
		for _, s := range d.fields("model_groups."+clip(f.key.text), f.value) {
			d.groupSetting(s, &g)
		}
		d.cfg.Groups[f.key.text] = g
	}
}

func (d *decoder) groupSetting(f pair, g *Group) {
	switch key, v := f.key.text, f.value; key {
	case "routing_strategy":
		d.strategy(v, &g.Strategy)
	case "num_retries":
		whole(d, key, v, 0, &g.NumRetries)
	case "timeout":
		d.timeout(key, v, &g.Timeout)
	case "rpm":
		whole(d, key, v, 0, &g.RPM)
	case "tpm":
		whole(d, key, v, 0, &g.TPM)
	case "max_parallel_requests":
		whole(d, key, v, 0, &g.MaxParallel)
	case "fallbacks":
		g.Fallbacks = namesOf(d.texts(key, v))
	case "hidden":
		d.flag(key, v, &g.Hidden)
	default:
		d.unknown(&d.known.group, f.key)
	}
}
