package deployment

import (
	"math"
	"math/bits"
	"strconv"

	"github.com/nestor-gateway/nestor/routing/config"
)

const (
	picoPerUSD  = 1e12
	picoPerNano = 1000
	// mostPrice bounds a price, a million USD, so that no sum of products passes 128 bits.
	mostPrice = 1e18
	// mostTokens bounds each count that is charged, so that few can be added.
	mostTokens = 1 << 50
	// mostCost bounds a cost so that two can be added.
	mostCost = math.MaxInt64 / 2
)

// Tariff is what requests cost, in whole pico-dollars (1e-12 USD): for one token but Request, which is for one request.
// The zero Tariff is that of a deployment whose price nobody gives: LiteLLM has a list of models for those, Nestor has none.
type Tariff struct{ Input, Output, CacheRead, CacheCreation, Reasoning, Request int64 }

// Usage is the tokens of one answer as its provider reports them; 0 where it says nothing.
// Prompt includes Cached and CacheCreation, Completion includes Reasoning, at most providers: see Cost.
type Usage struct{ Prompt, Completion, Total, Cached, CacheCreation, Reasoning int64 }

// tariffOf takes the price of input and output for kinds of them that have none of their own, as LiteLLM does.
func tariffOf(p config.Prices) Tariff {
	input, output := pico(p.Input, 0), pico(p.Output, 0)
	return Tariff{
		input, output,
		pico(p.CacheRead, input), pico(p.CacheCreation, input), pico(p.Reasoning, output),
		pico(p.Request, 0),
	}
}

// pico rounds to whole pico-dollars, but what costs something never to nothing.
func pico(usd *float64, without int64) int64 {
	if usd == nil {
		return without
	}
	n := math.Round(min(*usd*picoPerUSD, mostPrice))
	if n < 1 && *usd > 0 {
		return 1
	}
	return int64(n)
}

// String is the form that filter.lua reads: the prices in the order of the fields, with commas between.
func (t Tariff) String() string {
	b := make([]byte, 0, 64)
	for i, price := range [...]int64{t.Input, t.Output, t.CacheRead, t.CacheCreation, t.Reasoning, t.Request} {
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendInt(b, price, 10)
	}
	return string(b)
}

// Cost is what a request costs, in nano-dollars (1e-9 USD), rounded up. It is exact up to 4.6 billion USD and stays there.
// Tokens that a provider has only in its total are output, as Google's and xAI's reasoning; a total alone is all input,
// as of embeddings.
func (t Tariff) Cost(u Usage) int64 {
	c := charged(u)
	var sum wide
	sum.add(c.Prompt, t.Input)
	sum.add(c.Cached, t.CacheRead)
	sum.add(c.CacheCreation, t.CacheCreation)
	sum.add(c.Completion, t.Output)
	sum.add(c.Reasoning, t.Reasoning)
	sum.add(1, t.Request)
	return sum.nano()
}

// Most is what a request can cost at most that has so many tokens, whatever kinds they turn out to be of.
func (t Tariff) Most(prompt, completion int64) int64 {
	dearest := Tariff{Input: max(t.Input, t.CacheRead, t.CacheCreation), Output: max(t.Output, t.Reasoning), Request: t.Request}
	return dearest.Cost(Usage{Prompt: prompt, Completion: completion})
}

// charged takes the counts apart: no token of the result is in two of them. filter.lua does the same.
func charged(u Usage) Usage {
	cached, created, reasoning, total := count(u.Cached), count(u.CacheCreation), count(u.Reasoning), count(u.Total)
	if u.Prompt <= 0 && u.Completion <= 0 {
		u.Prompt = total
	}
	// Some don't count cached tokens as prompt.
	prompt := max(count(u.Prompt), cached+created)
	completion := max(count(u.Completion), total-prompt)
	return Usage{
		Prompt: prompt - cached - created, Cached: cached, CacheCreation: created,
		Completion: max(completion-reasoning, 0), Reasoning: reasoning,
	}
}

func count(n int64) int64 { return min(max(n, 0), mostTokens) }

// wide is a sum of 128 bits.
type wide struct{ high, low uint64 }

func (w *wide) add(n, price int64) {
	high, low := bits.Mul64(uint64(n), uint64(price))
	var carry uint64
	w.low, carry = bits.Add64(w.low, low, 0)
	w.high += high + carry
}

// nano turns pico into nano, rounded up.
func (w wide) nano() int64 {
	low, carry := bits.Add64(w.low, picoPerNano-1, 0)
	if w.high+carry >= picoPerNano {
		return mostCost
	}
	n, _ := bits.Div64(w.high+carry, low, picoPerNano)
	return int64(min(n, mostCost))
}
