package config

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/nestor-gateway/nestor/routing/config/known"
	"github.com/nestor-gateway/nestor/routing/config/tree"
)

// entryOf reads one element of model_list.
func (d *decoder) entryOf(v *tree.Node) {
	e := Entry{Position: v.At}
	d.entry = &e
	defer func() { d.entry = nil }()
	var params *tree.Node
	for _, p := range d.fields("an entry of model_list", v) {
		switch p.Key.Text {
		case "model_name":
			d.modelName(p.Value, &e)
		case "litellm_params":
			params = p.Value
		case "model_info":
			d.modelInfo(p.Value, &e.Info)
		default:
			d.misplaced(p.Key)
		}
	}
	if v.Kind != tree.Mapping {
		return
	}
	d.required(v, "model_name")
	if d.required(v, "litellm_params") {
		d.params(params, &e.Params)
	}
	if e.Name == "" {
		d.nameless = true
		return
	}
	d.cfg.Entries = append(d.cfg.Entries, e)
}

// modelName reads the name of an entry's group. An entry whose name is in a variable that is not set belongs to no group.
func (d *decoder) modelName(v *tree.Node, e *Entry) {
	if name, isReference := reference(v); isReference && d.variable(name) == "" {
		d.report.Warn(v.At, "set "+tree.Clip(name), "%s; the entry is left out", unset("model_name", name))
		return
	}
	d.text("model_name", v, &e.Name)
}

// required reports a key that is not there. One that is empty text is as good as not there.
func (d *decoder) required(v *tree.Node, key string) bool {
	value := v.Get(key)
	if value != nil && (value.Kind != tree.Scalar || value.Text != "" || value.Broken) {
		return true
	}
	d.report.Problem(v.At, fmt.Sprintf("add %s to it", key), "this %s has no %s", place(key), key)
	return false
}

func place(key string) string {
	if key == "model" {
		return "litellm_params"
	}
	return "entry of model_list"
}

// misplaced reports a key that an entry can't have; most come of wrong indentation.
func (d *decoder) misplaced(key *tree.Node) {
	if k := d.known.Param.IsKnown(key.Text); k {
		d.report.Problem(key.At, "indent it under litellm_params", "%s stands in the entry, not in its litellm_params", tree.QuoteKey(key.Text))
		return
	}
	d.unknown(&d.known.Entry, key)
}

func (d *decoder) params(v *tree.Node, p *Params) {
	fields := d.fields("litellm_params", v)
	if v.Kind == tree.Mapping {
		d.required(v, "model")
	}
	for _, f := range fields {
		if f.Key.Text == "model" || !d.limit(f, p) {
			p.Others = append(p.Others, Key{Name: f.Key.Text, At: f.Key.At})
		}
	}
	p.Others = withoutModel(p.Others)
	own := len(fields)
	fields = append(fields, d.credential(v)...)
	for i, f := range fields {
		if i >= own && v.Get(f.Key.Text) != nil {
			continue
		}
		d.param(f, p)
	}
}

func withoutModel(keys []Key) []Key {
	out := keys[:0]
	for _, k := range keys {
		if k.Name != "model" {
			out = append(out, k)
		}
	}
	if len(out) == 0 {
		return nil
	}
	return out
}

// limit reads the keys that a reference may carry too.
func (d *decoder) limit(f tree.Pair, p *Params) bool {
	switch key := f.Key.Text; key {
	case "rpm":
		whole(d, key, f.Value, 0, &p.RPM)
	case "tpm":
		whole(d, key, f.Value, 0, &p.TPM)
	case "max_parallel_requests":
		whole(d, key, f.Value, 0, &p.MaxParallel)
	case "weight":
		d.weight(key, f.Value, &p.Weight)
	case "order":
		whole(d, key, f.Value, anyNumber, &p.Order)
	default:
		return false
	}
	return true
}

// param reads one key of litellm_params that is not about its group.
func (d *decoder) param(f tree.Pair, p *Params) {
	key, v := f.Key.Text, f.Value
	switch key {
	case "rpm", "tpm", "max_parallel_requests", "weight", "order", "litellm_credential_name":
	case "model":
		p.ModelAt = v.At
		d.identifier(key, v, &p.Model)
	case "custom_llm_provider":
		d.identifier(key, v, &p.Provider)
	case "api_key":
		d.secret(key, v, &p.APIKey)
		d.checkPlaceholder(key, v, true)
		d.checkSendable(key, v, p.APIKey)
	case "api_base", "base_url":
		if key == "api_base" || p.APIBase == "" {
			p.APIBaseAt = v.At
			d.text(key, v, &p.APIBase)
			d.checkPlaceholder(key, v, false)
		}
	case "api_version":
		d.text(key, v, &p.APIVersion)
	case "organization":
		d.text(key, v, &p.Organization)
	case "extra_headers", "headers":
		d.headers(key, v, p)
	case "extra_body":
		for _, member := range d.fields(key, v) {
			d.defaultParam(member, p)
		}
	default:
		if !d.timing(f, p) {
			d.other(f, p)
		}
	}
}

// identifier reads a part of what names the provider's model. See Entry.Unidentified.
func (d *decoder) identifier(key string, v *tree.Node, to *string) {
	d.text(key, v, to)
	d.checkPlaceholder(key, v, false)
	if _, isReference := reference(v); isReference && *to == "" {
		*to = v.Text
	}
}

// timing reads the keys that say how long, how often and for how much.
func (d *decoder) timing(f tree.Pair, p *Params) bool {
	switch key := f.Key.Text; key {
	case "timeout":
		d.timeout(key, f.Value, &p.Timeout)
	case "request_timeout":
		if p.Timeout == nil {
			d.timeout(key, f.Value, &p.Timeout)
		}
	case "stream_timeout":
		d.streamTimeout(key, f.Value, &p.StreamTimeout)
	case "cooldown_time":
		d.seconds(key, f.Value, &p.CooldownTime)
	case "num_retries":
		whole(d, key, f.Value, 0, &p.NumRetries)
	default:
		return d.price(f, &p.Prices)
	}
	return true
}

// other decides about a key that Nestor gives no meaning: a request parameter, one of LiteLLM's, or a mistake.
func (d *decoder) other(f tree.Pair, p *Params) {
	key := f.Key.Text
	if d.known.Request[key] || d.known.Provider[key] {
		d.defaultParam(f, p)
		return
	}
	price := d.nearestPrice(key)
	if price == "" && d.uncounted(f) {
		return
	}
	if lost, ignored := d.known.Param.Ignored[key]; ignored {
		d.ignore(f, lost)
		return
	}
	if meant := cmp.Or(price, d.nearestParam(key)); meant != "" {
		d.report.Problem(f.Key.At, fmt.Sprintf("write %s, or put it under extra_body if the provider takes it", meant),
			"%s is not known in litellm_params; %s is", tree.QuoteKey(key), meant)
		return
	}
	d.defaultParam(f, p)
}

func (d *decoder) nearestParam(key string) string {
	return nearest(key, d.known.Param.Names, d.meant)
}

// nearestPrice is the price that a key most likely means, "" when none is near. No other key of LiteLLM's is.
func (d *decoder) nearestPrice(key string) string {
	return nearest(strings.ToLower(key), d.known.Prices, d.meantPrice)
}

// nearest remembers its answers: a large file says the same few keys over and over.
func nearest(key string, names []string, before map[string]string) string {
	meant, asked := before[key]
	if !asked {
		meant = known.Nearest(key, names)
		before[key] = meant
	}
	return meant
}

// defaultParam keeps a request parameter; a later one of its name replaces an earlier one.
func (d *decoder) defaultParam(f tree.Pair, p *Params) {
	raw, ok := d.json(f.Key.Text, f.Value, true)
	if !ok {
		return
	}
	for i := range p.Defaults {
		if p.Defaults[i].Name == f.Key.Text {
			p.Defaults[i].JSON = raw
			return
		}
	}
	p.Defaults = append(p.Defaults, Field{Name: f.Key.Text, JSON: raw})
}

func (d *decoder) headers(key string, v *tree.Node, p *Params) {
	for _, f := range d.fields(key, v) {
		var value string
		if text, _, ok := d.resolve(f.Key.Text, f.Value, "text"); ok {
			value = text
		}
		if !IsHeaderName(f.Key.Text) || strings.ContainsAny(value, "\r\n\x00") {
			d.report.Problem(f.Key.At, "use letters, digits and dashes, and a value of one line", "%s in %s is no HTTP header", tree.QuoteKey(f.Key.Text), key)
			continue
		}
		p.ExtraHeaders = append(p.ExtraHeaders, Header{Name: f.Key.Text, Value: value})
	}
}

// IsHeaderName reports whether a header can have the name: a token of RFC 9110, section 5.6.2.
func IsHeaderName(name string) bool {
	const marks = "!#$%&'*+-.^_`|~"
	for _, r := range name {
		if r > 0x7e || !strings.ContainsRune(marks, r) && !isAlphanumeric(r) {
			return false
		}
	}
	return name != ""
}

func isAlphanumeric(r rune) bool {
	return r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'
}

func (d *decoder) modelInfo(v *tree.Node, info *ModelInfo) {
	if v.Kind != tree.Mapping {
		d.wrongType("model_info", v, "a mapping")
		return
	}
	if id := v.Get("id"); id != nil {
		// LiteLLM turns a number into text.
		info.ID, _, _ = d.resolve("model_info.id", id, "text")
	}
	if mode := v.Get("mode"); mode != nil {
		d.text("model_info.mode", mode, &info.Mode)
	}
	if groups := v.Get("access_groups"); groups != nil && !groups.IsNull() {
		for _, g := range d.texts("model_info.access_groups", groups) {
			info.AccessGroups = append(info.AccessGroups, g.Name)
		}
	}
	d.infoPrices(v, &info.Prices)
	// References stay as written here: what they stand for is shown to every client.
	info.All, _ = d.json("model_info", v, false)
}

// credential returns the values that litellm_credential_name stands for; the entry's own keys win over them.
func (d *decoder) credential(v *tree.Node) []tree.Pair {
	nameAt := v.Get("litellm_credential_name")
	if nameAt == nil {
		return nil
	}
	var name string
	if d.text("litellm_credential_name", nameAt, &name); name == "" {
		return nil
	}
	values := d.credentials[name]
	if values == nil {
		d.unusable(nameAt.At, "add it to credential_list", fmt.Sprintf("the credential %s is not in credential_list", d.shown(nameAt)))
		return nil
	}
	return d.fields("credential_values", values)
}

// credentialList reads the credentials that entries name.
func (d *decoder) credentialList(v *tree.Node) {
	items, _ := d.list("credential_list", v)
	for _, item := range items {
		var name string
		var values *tree.Node
		if item.Kind != tree.Mapping {
			d.wrongType("an item of credential_list", item, "a mapping")
			continue
		}
		for _, p := range d.fields("an item of credential_list", item) {
			switch p.Key.Text {
			case "credential_name":
				d.text("credential_name", p.Value, &name)
			case "credential_values":
				values = p.Value
			}
		}
		if name == "" || values == nil || values.Kind != tree.Mapping {
			d.report.Problem(item.At, "give it a credential_name and a mapping credential_values", "this credential is not complete")
			continue
		}
		d.credentials[name] = values
	}
}
