package config

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/nestor-gateway/nestor/routing/config/known"
	"github.com/nestor-gateway/nestor/routing/config/tree"
)

const anyNumber = math.MinInt64

// router reads router_settings.
func (d *decoder) router(v *tree.Node) {
	r := &d.cfg.Router
	for _, f := range d.fields("router_settings", v) {
		key, v := f.Key.Text, f.Value
		if d.reliability(f, r) || d.routerRedis(f) {
			continue
		}
		switch key {
		case "model_group_alias":
			d.aliases(v)
		case "routing_strategy":
			d.strategy(v, &r.Strategy)
		case "routing_strategy_args":
			d.strategyArgs(v, &r.StrategyArgs)
		case "timeout":
			d.timeout(key, v, &r.Timeout)
		case "stream_timeout":
			d.streamTimeout(key, v, &r.StreamTimeout)
		case "cooldown_time":
			d.timeout(key, v, &r.CooldownTime)
		case "disable_cooldowns":
			d.flag(key, v, &r.DisableCooldowns)
		case "retry_policy":
			r.RetryPolicy = d.policy(v, &d.known.Retries)
		case "allowed_fails_policy":
			r.AllowedFailsPolicy = d.policy(v, &d.known.Failures)
		case "model_group_retry_policy":
			r.GroupRetryPolicy = d.groupPolicies(key, v)
		case "limits_without_redis":
			d.choice(key, v, known.WithoutRedis, &r.LimitsWithoutRedis)
		case "retry_budget":
			r.RetryBudget = d.retryBudget(key, v)
		default:
			d.unsupported(&d.known.Router, f)
		}
	}
	d.routerKwargs()
}

// reliability reads what router_settings and litellm_settings both have.
func (d *decoder) reliability(f tree.Pair, r *Router) bool {
	switch key, v := f.Key.Text, f.Value; key {
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
func (d *decoder) module(v *tree.Node) {
	var m Router
	for _, f := range d.fields("litellm_settings", v) {
		d.caching(f)
		switch key := f.Key.Text; {
		case d.reliability(f, &m), key == "telemetry":
		case key == "request_timeout":
			d.timeout(key, f.Value, &m.Timeout)
		default:
			d.unsupported(&d.known.Module, f)
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

// aliases reads model_group_alias: {name: group} or {name: {model: group, hidden: true}}.
func (d *decoder) aliases(v *tree.Node) {
	for _, f := range d.fields("model_group_alias", v) {
		a, before := Alias{Name: f.Key.Text, At: f.Key.At}, d.report.Found()
		if f.Value.Kind == tree.Mapping {
			d.aliasItem(f.Value, &a)
		} else {
			d.text("an alias", f.Value, &a.Target)
		}
		if a.Name == "" || a.Target == "" {
			if d.report.Found() == before {
				d.report.Problem(f.Key.At, "write it as name: group", "the alias %s has no group", tree.QuoteKey(a.Name))
			}
			continue
		}
		d.cfg.Router.Aliases = append(d.cfg.Router.Aliases, a)
	}
}

func (d *decoder) aliasItem(v *tree.Node, a *Alias) {
	for _, f := range d.fields("an alias", v) {
		switch f.Key.Text {
		case "model":
			d.text("the alias's model", f.Value, &a.Target)
		case "hidden":
			d.flag("hidden", f.Value, &a.Hidden)
		default:
			d.report.Problem(f.Key.At, "an alias takes model and hidden", "%s is not known in an alias", tree.QuoteKey(f.Key.Text))
		}
	}
}

// choice reads one of some words.
func (d *decoder) choice(key string, v *tree.Node, words string, to *string) {
	var word string
	if d.text(key, v, &word); word == "" {
		return
	}
	all := strings.Fields(words)
	if slices.Contains(all, word) {
		*to = word
		return
	}
	hint := "write one of them"
	if meant := known.Nearest(strings.ToLower(word), all); meant != "" {
		hint = "write " + meant
	}
	d.report.Problem(v.At, hint, "%s must be one of %s, not %s", key, strings.Join(all, ", "), d.shown(v))
}

// shown quotes a value of the file; what a variable holds is never shown.
func (d *decoder) shown(v *tree.Node) string {
	if _, isReference := reference(v); isReference {
		return d.found(v)
	}
	return tree.QuoteKey(v.Text)
}

// policy reads a mapping of LiteLLM's error names to numbers.
func (d *decoder) policy(v *tree.Node, s *known.Section) map[string]int {
	counts := map[string]int{}
	for _, f := range d.fields(s.Name, v) {
		if !s.IsSupported(f.Key.Text) {
			d.unsupported(s, f)
			continue
		}
		var n *int
		if whole(d, f.Key.Text, f.Value, 0, &n); n != nil {
			counts[f.Key.Text] = *n
		}
	}
	return counts
}

func (d *decoder) groupPolicies(key string, v *tree.Node) map[string]RetryPolicy {
	s, groups := d.known.Retries, map[string]RetryPolicy{}
	s.Name = key
	for _, f := range d.fields(key, v) {
		groups[f.Key.Text] = RetryPolicy{At: f.Key.At, Retries: d.policy(f.Value, &s)}
	}
	return groups
}

// fallbacks reads a list of {group: [group, ...]}. "*" stands for every group: those are the default ones.
func (d *decoder) fallbacks(key string, v *tree.Node, defaults *Router) []Fallback {
	items, _ := d.list(key, v)
	var all []Fallback
	for _, item := range items {
		fields := d.fields("an item of "+key, item)
		if item.Kind != tree.Mapping {
			continue
		}
		if len(fields) != 1 {
			d.report.Problem(item.At, "write each item as {group: [group, ...]}", "an item of %s must have exactly one group, not %d", key, len(fields))
			continue
		}
		f := Fallback{Group: fields[0].Key.Text, At: fields[0].Key.At}
		to := d.texts(fmt.Sprintf("%s of %s", key, tree.QuoteKey(f.Group)), fields[0].Value)
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
func (d *decoder) groups(v *tree.Node) {
	d.cfg.Groups = map[string]Group{}
	for _, f := range d.fields("model_groups", v) {
		g := Group{At: f.Key.At}
		for _, s := range d.fields("model_groups."+tree.Clip(f.Key.Text), f.Value) {
			d.groupSetting(s, &g)
		}
		d.cfg.Groups[f.Key.Text] = g
	}
}

func (d *decoder) groupSetting(f tree.Pair, g *Group) {
	switch key, v := f.Key.Text, f.Value; key {
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
	case "limits_without_redis":
		d.choice(key, v, known.WithoutRedis, &g.LimitsWithoutRedis)
	case "fallbacks":
		g.Fallbacks = namesOf(d.texts(key, v))
	case "hidden":
		d.flag(key, v, &g.Hidden)
	default:
		d.unknown(&d.known.Group, f.Key)
	}
}
