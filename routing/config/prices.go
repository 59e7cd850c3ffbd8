package config

import (
	"cmp"
	"fmt"
	"strconv"

	"github.com/nestor-gateway/nestor/routing/config/known"
	"github.com/nestor-gateway/nestor/routing/config/tree"
)

// Prices are in USD, for one token but Request, which is for one request. Nil is not said.
type Prices struct {
	Input, Output *float64
	// CacheRead and CacheCreation are for tokens of the prompt that the provider's cache had, or took in;
	// Reasoning is for tokens of the answer that nobody sees.
	CacheRead, CacheCreation, Reasoning *float64
	Request                             *float64
}

// Or is p, with what it does not say from q.
func (p Prices) Or(q Prices) Prices {
	return Prices{
		cmp.Or(p.Input, q.Input), cmp.Or(p.Output, q.Output), cmp.Or(p.CacheRead, q.CacheRead),
		cmp.Or(p.CacheCreation, q.CacheCreation), cmp.Or(p.Reasoning, q.Reasoning), cmp.Or(p.Request, q.Request),
	}
}

// place is where a price is kept; nil for keys that are none.
func (p *Prices) place(key string) **float64 {
	switch key {
	case "input_cost_per_token":
		return &p.Input
	case "output_cost_per_token":
		return &p.Output
	case "cache_read_input_token_cost":
		return &p.CacheRead
	case "cache_creation_input_token_cost":
		return &p.CacheCreation
	case "output_cost_per_reasoning_token":
		return &p.Reasoning
	// In LiteLLM's price list the first; the second is what its code reads.
	case "input_cost_per_request", "input_cost_per_query":
		return &p.Request
	}
	return nil
}

// price reads a price of litellm_params.
func (d *decoder) price(f tree.Pair, p *Prices) bool {
	to := p.place(f.Key.Text)
	if to == nil {
		return false
	}
	d.usd(f.Key.Text, f.Value, to)
	return true
}

const (
	aPrice    = "a number of USD"
	priceHint = "write the USD for one token, or one request, for example 0.0000015 or 1.5e-6"
	// leastPrice is what deployment.Tariff counts in.
	leastPrice = 1e-12
)

// usd reads a price. LiteLLM takes text that is a number for that number.
func (d *decoder) usd(key string, v *tree.Node, to **float64) {
	f, ok := d.number(key, v, aPrice)
	if !ok {
		return
	}
	*to = &f
	if f > 0 && f < leastPrice {
		d.report.WarnOnce(v.At, priceHint, fmt.Sprintf("%s is less than a pico-dollar (1e-12 USD): it counts as one", key))
	}
}

// uncounted says of a price that no request costs more for it.
func (d *decoder) uncounted(f tree.Pair) bool {
	if !known.IsPrice(f.Key.Text) {
		return false
	}
	if usd, err := strconv.ParseFloat(f.Value.Text, 64); err == nil && usd == 0 {
		return true
	}
	d.ignore(f, "it does not count in the cost of requests")
	return true
}

// infoPrices reads the prices of model_info. It may hold anything else, so a key near a price's is no error.
func (d *decoder) infoPrices(v *tree.Node, p *Prices) {
	for _, f := range v.Pairs {
		key := f.Key.Text
		if f.Value.IsNull() {
			continue
		}
		if to := p.place(key); to != nil {
			d.usd(key+" of model_info", f.Value, to)
		} else if meant := d.nearestPrice(key); meant != "" {
			d.report.WarnOnce(f.Key.At, "write "+meant, fmt.Sprintf("%s of model_info is no price: it does not count in the cost of requests", tree.QuoteKey(key)))
		} else {
			d.uncounted(f)
		}
	}
}
