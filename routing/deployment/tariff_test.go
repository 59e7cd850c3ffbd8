package deployment

import (
	"math"
	"math/big"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/nestor-gateway/nestor/routing/config"
)

func usd(v float64) *float64 { return &v }

func TestTariffOfPrices(t *testing.T) {
	for name, c := range map[string]struct {
		prices config.Prices
		want   Tariff
		text   string
	}{
		"nobody says":       {config.Prices{}, Tariff{}, "0,0,0,0,0,0"},
		"kinds without any": {config.Prices{Input: usd(1.5e-7), Output: usd(6e-7)}, Tariff{150000, 600000, 150000, 150000, 600000, 0}, "150000,600000,150000,150000,600000,0"},
		"each kind its own": {config.Prices{Input: usd(3e-6), Output: usd(15e-6), CacheRead: usd(3e-7), CacheCreation: usd(3.75e-6), Reasoning: usd(1e-5), Request: usd(0.005)},
			Tariff{3000000, 15000000, 300000, 3750000, 10000000, 5000000000}, "3000000,15000000,300000,3750000,10000000,5000000000"},
		"free though input is not":   {config.Prices{Input: usd(1e-6), CacheRead: usd(0)}, Tariff{Input: 1000000, CacheCreation: 1000000}, "1000000,0,0,1000000,0,0"},
		"less than can be said":      {config.Prices{Output: usd(1e-20)}, Tariff{Output: 1, Reasoning: 1}, "0,1,0,0,1,0"},
		"more than anybody will pay": {config.Prices{Request: usd(math.MaxFloat64)}, Tariff{Request: 1e18}, "0,0,0,0,0,1000000000000000000"},
	} {
		t.Run(name, func(t *testing.T) {
			got := tariffOf(c.prices)
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
			if got.String() != c.text {
				t.Errorf("got %s, want %s", got, c.text)
			}
		})
	}
}

func TestCostOfUsage(t *testing.T) {
	tariff := Tariff{Input: 1_000, Output: 10_000, CacheRead: 100_000, CacheCreation: 1_000_000, Reasoning: 10_000_000, Request: 0}
	for name, c := range map[string]struct {
		usage Usage
		want  int64
	}{
		"nothing":                         {Usage{}, 0},
		"input and output":                {Usage{Prompt: 3, Completion: 4, Total: 7}, 3*1 + 4*10},
		"of every kind":                   {Usage{Prompt: 10, Completion: 9, Total: 19, Cached: 3, CacheCreation: 2, Reasoning: 4}, 5*1 + 3*100 + 2*1000 + 5*10 + 4*10000},
		"no total":                        {Usage{Prompt: 3, Completion: 4}, 3*1 + 4*10},
		"a total alone":                   {Usage{Total: 8}, 8},
		"reasoning in the total alone":    {Usage{Prompt: 3, Completion: 4, Total: 12}, 3*1 + 9*10},
		"reasoning beside the completion": {Usage{Prompt: 3, Completion: 4, Total: 12, Reasoning: 5}, 3*1 + 4*10 + 5*10000},
		"cached beside the prompt":        {Usage{Prompt: 3, Completion: 4, Total: 107, Cached: 100}, 100*100 + 7*10},
		"nonsense":                        {Usage{Prompt: -3, Completion: -4, Total: -7, Cached: -1, CacheCreation: -1, Reasoning: -1}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			if got := tariff.Cost(c.usage); got != c.want {
				t.Errorf("got %d, want %d", got, c.want)
			}
		})
	}
}

func TestCostIsRoundedUpToANanoDollar(t *testing.T) {
	for pico, want := range map[int64]int64{0: 0, 1: 1, 1000: 1, 1001: 2} {
		if got := (Tariff{Request: pico}).Cost(Usage{}); got != want {
			t.Errorf("%d pico-dollars: got %d, want %d", pico, got, want)
		}
	}
}

// TestCostIsExact compares with numbers that know no bounds.
func TestCostIsExact(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		price := rapid.OneOf(rapid.Int64Range(0, 1e7), rapid.Int64Range(0, mostPrice))
		tokens := rapid.OneOf(rapid.Int64Range(-5, 1e6), rapid.Int64())
		var of [6]int64
		for i := range of {
			of[i] = price.Draw(t, "price")
		}
		tariff := Tariff{of[0], of[1], of[2], of[3], of[4], of[5]}
		usage := Usage{tokens.Draw(t, "prompt"), tokens.Draw(t, "completion"), tokens.Draw(t, "total"),
			tokens.Draw(t, "cached"), tokens.Draw(t, "created"), tokens.Draw(t, "reasoning")}
		c := charged(usage)
		want := big.NewInt(999)
		for i, n := range []int64{c.Prompt, c.Completion, c.Cached, c.CacheCreation, c.Reasoning, 1} {
			if n < 0 {
				t.Fatalf("%+v is charged as %+v", usage, c)
			}
			want.Add(want, new(big.Int).Mul(big.NewInt(n), big.NewInt(of[i])))
		}
		want.Div(want, big.NewInt(1000))
		if bound := big.NewInt(mostCost); want.Cmp(bound) > 0 {
			want = bound
		}
		if got := tariff.Cost(usage); got != want.Int64() {
			t.Fatalf("%+v of %+v: got %d, want %d", tariff, usage, got, want)
		}
	})
}

func BenchmarkCost(b *testing.B) {
	tariff := tariffOf(config.Prices{Input: usd(1.5e-7), Output: usd(6e-7), CacheRead: usd(7.5e-8)})
	for b.Loop() {
		tariff.Cost(Usage{Prompt: 1000, Completion: 500, Total: 1500, Cached: 800, Reasoning: 100})
	}
}

func TestMostIsWhatTheDearestKindsCost(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		price := rapid.Int64Range(0, 1e9)
		tariff := Tariff{price.Draw(t, "input"), price.Draw(t, "output"), price.Draw(t, "read"), price.Draw(t, "created"),
			price.Draw(t, "reasoning"), price.Draw(t, "request")}
		tokens := rapid.Int64Range(0, 1e6)
		prompt, completion := tokens.Draw(t, "prompt"), tokens.Draw(t, "completion")
		cached := rapid.Int64Range(0, prompt).Draw(t, "cached")
		u := Usage{Prompt: prompt, Completion: completion, Cached: cached,
			CacheCreation: rapid.Int64Range(0, prompt-cached).Draw(t, "cache creation"), Reasoning: rapid.Int64Range(0, completion).Draw(t, "of reasoning")}
		if most, cost := tariff.Most(prompt, completion), tariff.Cost(u); cost > most {
			t.Errorf("%+v costs %d, at most %d", u, cost, most)
		}
	})
}
