package routing_test

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/nestor-gateway/nestor/routing"
	"github.com/nestor-gateway/nestor/routing/config"
	"github.com/nestor-gateway/nestor/routing/live"
)

// oracle follows the definition of composition word by word, slowly: it walks every path.
type oracle struct {
	cfg *config.Config
	out map[string]bool // by litellm_params.model
	// full are the limits that admit nothing, by name.
	full map[string]bool
}

// isFull reports whether a limit of the entry itself, or of the group that it refers to, is full.
// Entries that were declared twice with one target are told apart by their number.
func (o *oracle) isFull(e config.Entry) bool {
	if !o.isGroup(e.Params.Model) {
		return o.full["deployment:"+o.id(e)]
	}
	number := 0
	for _, other := range o.cfg.Entries {
		if other.Name == e.Name && other.Params.Model == e.Params.Model {
			if number++; samePointers(other, e) && o.full[fmt.Sprintf("reference:%s:%s:%d", e.Name, e.Params.Model, number)] {
				return true
			}
		}
	}
	return o.full["group:"+e.Params.Model]
}

// id is what drawConfig gives every deployment.
func (o *oracle) id(e config.Entry) string { return strings.TrimPrefix(e.Params.Model, "openai/") }

// samePointers: drawn entries with limits have pointers of their own, so this is the very same entry.
func samePointers(a, b config.Entry) bool {
	return a.Params.RPM == b.Params.RPM && a.Params.TPM == b.Params.TPM
}

func (o *oracle) isGroup(name string) bool {
	return slices.ContainsFunc(o.cfg.Entries, func(e config.Entry) bool { return e.Name == name })
}

// tiers are the members by order, those without one last.
func (o *oracle) tiers(group string) [][]config.Entry {
	byOrder := map[int][]config.Entry{}
	var orders []int
	for _, e := range o.cfg.Entries {
		if e.Name != group {
			continue
		}
		order := math.MaxInt
		if e.Params.Order != nil {
			order = *e.Params.Order
		}
		if byOrder[order] == nil {
			orders = append(orders, order)
		}
		byOrder[order] = append(byOrder[order], e)
	}
	slices.Sort(orders)
	var tiers [][]config.Entry
	for _, order := range orders {
		tiers = append(tiers, byOrder[order])
	}
	return tiers
}

func zero(n *int64) bool { return n != nil && *n == 0 }

func (o *oracle) available(e config.Entry) bool {
	if zero(e.Params.RPM) || zero(e.Params.TPM) || o.isFull(e) {
		return false
	}
	if !o.isGroup(e.Params.Model) {
		return !o.out[e.Params.Model] && !o.admitsNothing(e.Params.Model)
	}
	own := o.cfg.Groups[e.Params.Model]
	return !zero(own.RPM) && !zero(own.TPM) && o.live(e.Params.Model) != nil
}

// admitsNothing: declared twice, the smallest limit is in force.
func (o *oracle) admitsNothing(model string) bool {
	return slices.ContainsFunc(o.cfg.Entries, func(e config.Entry) bool {
		return e.Params.Model == model && (zero(e.Params.RPM) || zero(e.Params.TPM))
	})
}

// live are the available members of the first tier that has any; the tier itself is the second result of active.
func (o *oracle) live(group string) []config.Entry {
	live, _ := o.active(group)
	return live
}

func (o *oracle) active(group string) (live, tier []config.Entry) {
	for _, tier := range o.tiers(group) {
		for _, e := range tier {
			if o.available(e) {
				live = append(live, e)
			}
		}
		if live != nil {
			return live, tier
		}
	}
	return nil, nil
}

func limitIn(unit string, rpm, tpm *int64) *int64 {
	switch unit {
	case "rpm":
		return rpm
	case "tpm":
		return tpm
	}
	return nil
}

func (o *oracle) has(e config.Entry, unit string) bool {
	if unit == "1" || limitIn(unit, e.Params.RPM, e.Params.TPM) != nil {
		return true
	}
	if !o.isGroup(e.Params.Model) {
		return false
	}
	own := o.cfg.Groups[e.Params.Model]
	return limitIn(unit, own.RPM, own.TPM) != nil || o.groupHas(e.Params.Model, unit)
}

func (o *oracle) groupHas(group, unit string) bool {
	return !slices.ContainsFunc(o.live(group), func(e config.Entry) bool { return !o.has(e, unit) })
}

func (o *oracle) unit(group string) string {
	for _, unit := range []string{"rpm", "tpm"} {
		if o.groupHas(group, unit) {
			return unit
		}
	}
	return "1"
}

func (o *oracle) capacity(e config.Entry, unit string) float64 {
	own := limitIn(unit, e.Params.RPM, e.Params.TPM)
	if !o.isGroup(e.Params.Model) {
		if unit == "1" {
			return 1
		}
		return float64(*own)
	}
	smallest := math.Inf(1)
	if o.groupHas(e.Params.Model, unit) {
		smallest = 0
		for _, m := range o.live(e.Params.Model) {
			smallest += o.capacity(m, unit)
		}
	}
	settings := o.cfg.Groups[e.Params.Model]
	for _, limit := range []*int64{own, limitIn(unit, settings.RPM, settings.TPM)} {
		if limit != nil {
			smallest = min(smallest, float64(*limit))
		}
	}
	return smallest
}

// spread adds what goes to each deployment when p goes to a group.
func (o *oracle) spread(group, unit string, p float64, to map[string]float64) {
	live, tier := o.active(group)
	if live == nil {
		return
	}
	if !o.groupHas(group, unit) {
		unit = o.unit(group)
	}
	weighted := slices.ContainsFunc(tier, func(e config.Entry) bool { return e.Params.Weight != nil })
	shares, total := make([]float64, len(live)), 0.0
	byWeight := weighted
	if weighted {
		for i, e := range live {
			shares[i] = 1
			if e.Params.Weight != nil {
				shares[i] = *e.Params.Weight
			}
			total += shares[i]
		}
		byWeight = total > 0
	}
	if !byWeight {
		for i, e := range live {
			shares[i] = o.capacity(e, unit)
			total += shares[i]
		}
	}
	for i, e := range live {
		part := p * shares[i] / total
		switch {
		case part == 0:
		case !o.isGroup(e.Params.Model):
			to[e.Params.Model] += part
		case weighted:
			o.spread(e.Params.Model, o.unit(e.Params.Model), part, to)
		default:
			o.spread(e.Params.Model, unit, part, to)
		}
	}
}

func (o *oracle) explain(group string) map[string]float64 {
	to := map[string]float64{}
	own := o.cfg.Groups[group]
	if !zero(own.RPM) && !zero(own.TPM) && !o.full["group:"+group] {
		o.spread(group, o.unit(group), 1, to)
	}
	return to
}

// shape says which features a random config has.
type shape struct{ weights, orders, limits bool }

func pointer[T any](v T) *T { return &v }

// drawConfig makes groups g0, g1, ... of which each refers only to later ones.
func drawConfig(t *rapid.T, s shape) *config.Config {
	groups := rapid.IntRange(1, 6).Draw(t, "groups")
	cfg := &config.Config{Groups: map[string]config.Group{}}
	for g := range groups {
		for range rapid.IntRange(1, 4).Draw(t, "members") {
			cfg.Entries = append(cfg.Entries, drawEntry(t, s, g, groups))
		}
		if s.limits && rapid.IntRange(0, 4).Draw(t, "settings") == 0 {
			cfg.Groups[groupName(g)] = config.Group{RPM: drawLimit(t, "group rpm", 1), TPM: drawLimit(t, "group tpm", 0)}
		}
	}
	return cfg
}

func groupName(g int) string { return fmt.Sprint("g", g) }

func drawEntry(t *rapid.T, s shape, g, groups int) config.Entry {
	e := config.Entry{Name: groupName(g)}
	p := &e.Params
	reference := g+1 < groups && rapid.Bool().Draw(t, "reference")
	if reference {
		p.Model = groupName(rapid.IntRange(g+1, groups-1).Draw(t, "to"))
	} else {
		id := fmt.Sprint("m", rapid.IntRange(0, 5).Draw(t, "model"))
		p.Model, e.Info.ID = "openai/"+id, id
	}
	if !reference || s.limits && rapid.IntRange(0, 2).Draw(t, "limited") == 0 {
		p.RPM, p.TPM = drawLimit(t, "rpm", 4), drawLimit(t, "tpm", 2)
	}
	if s.weights && rapid.IntRange(0, 2).Draw(t, "weighs") == 0 {
		p.Weight = pointer(rapid.SampledFrom([]float64{0, 0, 0.5, 1, 2, 7.25}).Draw(t, "weight"))
	}
	if s.orders && rapid.Bool().Draw(t, "ordered") {
		p.Order = pointer(rapid.IntRange(-1, 2).Draw(t, "order"))
	}
	return e
}

// drawLimit gives a limit often times of 5, now and then one that admits nothing.
func drawLimit(t *rapid.T, label string, often int) *int64 {
	if rapid.IntRange(1, 5).Draw(t, label+" given") > often {
		return nil
	}
	return pointer(rapid.SampledFrom([]int64{1, 3, 5, 10, 30, 100, 0}).Draw(t, label))
}

func drawOut(t *rapid.T, cfg *config.Config) map[string]bool {
	out := map[string]bool{}
	for i := range 6 {
		if rapid.IntRange(0, 3).Draw(t, "out") == 0 {
			out[fmt.Sprint("openai/m", i)] = true
		}
	}
	for model := range out {
		if !slices.ContainsFunc(cfg.Entries, func(e config.Entry) bool { return e.Params.Model == model }) {
			delete(out, model)
		}
	}
	return out
}

func keys(set map[string]bool) []string {
	var all []string
	for k := range set {
		all = append(all, k)
	}
	slices.Sort(all)
	return all
}

func TestExplainIsTheDefinition(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cfg := drawConfig(t, shape{weights: true, orders: true, limits: true})
		out := drawOut(t, cfg)
		s, _, err := routing.Compile(cfg, fakeProviders{})
		if err != nil {
			t.Fatal(err)
		}
		o := oracle{cfg: cfg, out: out}
		for g := 0; o.isGroup(groupName(g)); g++ {
			e, err := s.Explain(groupName(g), keys(out))
			if err != nil {
				t.Fatal(err)
			}
			want := o.explain(groupName(g))
			for _, d := range e.Deployments {
				if math.Abs(d.Probability-want[d.Model]) > 1e-12 {
					t.Fatalf("%s of %s: %v, the definition says %v", d.Model, groupName(g), d.Probability, want[d.Model])
				}
				delete(want, d.Model)
			}
			if len(want) > 0 {
				t.Fatalf("not explained: %v", want)
			}
		}
	})
}

func TestPicksFollowTheExactProbabilities(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cfg := drawConfig(t, shape{weights: true, orders: true, limits: true})
		out := drawOut(t, cfg)
		s, _, err := routing.Compile(cfg, fakeProviders{})
		if err != nil {
			t.Fatal(err)
		}
		checkPicks(t, s, keys(out), rapid.Uint64().Draw(t, "seed"))
	})
}

// checkPicks compares picks of g0 with its probabilities, with deployments once excluded and once cooling.
func checkPicks(t *rapid.T, s *routing.Snapshot, out []string, seed uint64) {
	e, err := s.Explain(groupName(0), out)
	if err != nil {
		t.Fatal(err)
	}
	to, _ := s.Resolve(groupName(0))
	want, exclude := map[string]float64{}, []string{}
	r := serve(s)
	for _, d := range e.Deployments {
		want[d.ID] = d.Probability
		if slices.Contains(out, d.Model) {
			exclude = append(exclude, d.ID)
		}
	}
	for _, d := range to.Deployments() {
		if slices.Contains(exclude, d.ID) {
			r.cool(d)
		}
	}
	if slices.Max(append([]float64{0}, values(want)...)) == 0 {
		return
	}
	for name, q := range map[string]routing.Query{"cooling": {}, "excluded": {Exclude: exclude}} {
		v := r.View()
		if name == "excluded" {
			v = serve(s).View()
		}
		counts := map[string]int{}
		for i := range 1500 {
			q.Seed = seed + uint64(i)
			p, err := v.Pick(context.Background(), to, q)
			if err != nil {
				t.Fatal(err)
			}
			counts[p.Deployment.ID]++
		}
		if u := unfit(counts, want); u > 1 {
			t.Fatalf("%s: %v do not fit %v (%.2f)", name, counts, want, u)
		}
	}
}

func values(m map[string]float64) []float64 {
	var all []float64
	for _, v := range m {
		all = append(all, v)
	}
	return all
}

// limitNames are the names of everything in a config that can be full.
func limitNames(t *rapid.T, cfg *config.Config) []string {
	g := &gatekeeper{}
	s, _, err := routing.Compile(cfg, fakeProviders{})
	if err != nil {
		t.Fatal(err)
	}
	routing.NewRouter(routing.NewTracker(newClock().Now), g, s)
	return g.names
}

// byName gives the probabilities of g0 by deployment id.
func (o *oracle) byName() map[string]float64 {
	p := map[string]float64{}
	for model, v := range o.explain(groupName(0)) {
		p[strings.TrimPrefix(model, "openai/")] = v
	}
	return p
}

// TestPicksAmongFullLimitsFollowTheDefinition: whatever is full, of deployments, references and groups, picks
// are spread as if it were not there from the moment that one of them has found out, and nothing is held
// when there is no way.
func TestPicksAmongFullLimitsFollowTheDefinition(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cfg := drawConfig(t, shape{weights: true, orders: true, limits: true})
		g := &gatekeeper{full: map[string]bool{}}
		for _, name := range limitNames(t, cfg) {
			g.full[name] = rapid.IntRange(0, 3).Draw(t, name) == 0
		}
		s, _, _ := routing.Compile(cfg, fakeProviders{})
		r := routing.NewRouter(routing.NewTracker(newClock().Now), g, s)
		to, _ := s.Resolve(groupName(0))
		all := oracle{cfg: cfg, full: g.full}
		possible, counts := len(all.byName()) > 0, map[string]int{}
		seed := rapid.Uint64().Draw(t, "seed")
		for i := range uint64(1500) {
			known := len(g.denied)
			p, err := r.View().Pick(context.Background(), to, hold(seed+i, 1))
			if (err == nil) != possible {
				t.Fatalf("got %v, %v where there is a way: %v", p.Deployment, err, possible)
			}
			if len(g.denied) > known {
				clear(counts)
				continue
			}
			if err == nil {
				counts[p.Deployment.ID]++
			}
		}
		found := oracle{cfg: cfg, full: g.denied}
		if u := unfit(counts, found.byName()); len(counts) > 0 && u > 1 {
			t.Fatalf("%v do not fit %v (%.2f)", counts, found.byName(), u)
		}
		if !possible && len(g.held) > 0 {
			t.Fatal("something is held")
		}
		sameForecast(t, r.View().Live(to), found.byName())
	})
}

// sameForecast compares what live says of the next request with the definition.
func sameForecast(t *rapid.T, l live.Status, want map[string]float64) {
	for _, d := range l.Deployments {
		if math.Abs(*d.Probability-want[d.ID]) > 1e-12 {
			t.Fatalf("live says %v of %s, the definition %v", *d.Probability, d.ID, want[d.ID])
		}
		if *d.Probability > 0 && !d.Eligible || !d.Eligible && len(d.WhyNot) == 0 {
			t.Fatalf("%+v", d)
		}
	}
}

// TestPickGoesOnAsIfWhatDeniedWereNotThere: limits that are too small for the request alone stay open for others.
// Picks that do not come to one are what they would be anyway; those that do are spread over the rest as if it had
// not been there, whether the store says so each time or is known to.
func TestPickGoesOnAsIfWhatDeniedWereNotThere(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cfg := drawConfig(t, shape{weights: true, orders: true, limits: true})
		name := rapid.SampledFrom(limitNames(t, cfg)).Draw(t, "small")
		g := &gatekeeper{small: map[string]bool{name: true}, wait: rapid.SampledFrom([]time.Duration{0, time.Second}).Draw(t, "wait")}
		o := oracle{cfg: cfg, full: g.small}
		want := o.byName()
		s, _, _ := routing.Compile(cfg, fakeProviders{})
		free := &gatekeeper{}
		r := routing.NewRouter(routing.NewTracker(newClock().Now), g, s)
		unlimited := routing.NewRouter(routing.NewTracker(newClock().Now), free, s)
		to, _ := s.Resolve(groupName(0))
		counts := map[string]int{}
		seed := rapid.Uint64().Draw(t, "seed")
		for i := range uint64(1500) {
			p, err := r.View().Pick(context.Background(), to, hold(seed+i, 1))
			if u, uErr := unlimited.View().Pick(context.Background(), to, hold(seed+i, 1)); uErr != nil || !slices.Contains(free.passed, name) {
				if (err == nil) != (uErr == nil) || err == nil && p.Deployment.ID != u.Deployment.ID {
					t.Fatalf("%s has nothing to do with it, but %v (%v) became %v (%v)", name, u.Deployment, uErr, p.Deployment, err)
				}
				continue
			}
			if (err == nil) != (len(want) > 0) {
				t.Fatalf("%v, where what is left is %v", err, want)
			}
			if err == nil {
				counts[p.Deployment.ID]++
			}
		}
		if u := unfit(counts, want); len(counts) > 0 && u > 1 {
			t.Fatalf("without %s: %v do not fit %v (%.2f)", name, counts, want, u)
		}
	})
}
