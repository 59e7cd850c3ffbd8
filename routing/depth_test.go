package routing_test

import (
	"context"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nestor-gateway/nestor/routing"
	"github.com/nestor-gateway/nestor/routing/config"
	"github.com/nestor-gateway/nestor/routing/explain"
)

func TestLadderOfSharedGroups(t *testing.T) {
	var c entries
	const rungs = 25
	for i := range rungs {
		c.reference(fmt.Sprint("g", i), fmt.Sprint("g", i+1))
		c.reference(fmt.Sprint("g", i), fmt.Sprint("g", i+1))
	}
	c.deployment(fmt.Sprint("g", rungs), "openai/a", 10)
	c.deployment(fmt.Sprint("g", rungs), "openai/b", 30)
	s := compile(t, &c.Config)
	e, err := s.Explain("g0", nil)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]float64{"openai/a": 0.25, "openai/b": 0.75}, probabilities(t, s, "g0")); diff != "" {
		t.Error(diff)
	}
	if n := len(e.Deployments[0].Paths); n < 1 || n > 100 {
		t.Errorf("%d paths listed", n)
	}
	if n := treeSize(e.Tree); n > 10*rungs {
		t.Errorf("the drawing has %d groups", n)
	}
	if p, err := serve(s).View().Pick(context.Background(), target(t, s, "g0"), routing.Query{}); err != nil || len(p.Path) != rungs+1 {
		t.Errorf("picked by %v, %v", p.Path, err)
	}
}

func treeSize(g *explain.Group) int {
	n := 1
	for _, tier := range g.Tiers {
		for _, m := range tier.Members {
			if m.Group != nil {
				n += treeSize(m.Group)
			}
		}
	}
	return n
}

func TestDepthOf10000(t *testing.T) {
	const depth = 10_000
	s := compile(t, chain(depth))
	if diff := cmp.Diff(routing.Summary{Groups: depth, Deployments: depth, Depth: depth, Upstreams: 1}, s.Summary()); diff != "" {
		t.Error(diff)
	}
	e, err := s.Explain("g0", []string{"openai/m0"})
	if err != nil {
		t.Fatal(err)
	}
	total := 0.0
	for _, d := range e.Deployments {
		total += d.Probability
	}
	if math.Abs(total-1) > 1e-9 {
		t.Errorf("probabilities add up to %v", total)
	}
	v := serve(s).View()
	if _, err := v.Pick(context.Background(), target(t, s, "g0"), routing.Query{Skip: 2}); err != nil {
		t.Error(err)
	}
}

func TestCycleOf10000(t *testing.T) {
	cfg := chain(10_000)
	cfg.Entries = append(cfg.Entries, config.Entry{Name: "g9999", Params: config.Params{Model: "g0"}})
	_, _, err := routing.Compile(cfg, fakeProviders{})
	if err == nil || strings.Count(err.Error(), " -> ") != 10_000 {
		t.Errorf("the error does not show the whole cycle: %.200v", err)
	}
}

func TestLongChainOfAliases(t *testing.T) {
	const length = 10_000
	cfg := flatGroup(1)
	for i := range length {
		cfg.Router.Aliases = append(cfg.Router.Aliases, config.Alias{Name: fmt.Sprint("a", i), Target: fmt.Sprint("a", i+1)})
	}
	cfg.Router.Aliases[length-1].Target = "g"
	if got := target(t, compile(t, cfg), "a0").Group; got != "g" {
		t.Errorf("leads to %q", got)
	}
}
