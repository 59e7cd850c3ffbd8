package routing_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/nestor-gateway/nestor/routing"
	"github.com/nestor-gateway/nestor/routing/config"
	"github.com/nestor-gateway/nestor/routing/explain"
)

// inline declares everything that a group reaches in the group itself, once for each path. Deployments that are
// declared elsewhere too stay there: the smallest of their limits counts.
func inline(cfg *config.Config, group string) *config.Config {
	flat := &config.Config{}
	for _, e := range cfg.Entries {
		if strings.HasPrefix(e.Params.Model, "openai/") {
			e.Name = "elsewhere"
			flat.Entries = append(flat.Entries, e)
		}
	}
	var walk func(name string)
	walk = func(name string) {
		for _, e := range cfg.Entries {
			switch {
			case e.Name != name:
			case slices.ContainsFunc(cfg.Entries, func(o config.Entry) bool { return o.Name == e.Params.Model }):
				walk(e.Params.Model)
			default:
				e.Name = group
				flat.Entries = append(flat.Entries, e)
			}
		}
	}
	walk(group)
	return flat
}

func TestTreeWithoutWeightsAndOrdersIsItsInlineExpansion(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cfg := drawConfig(t, shape{})
		tree, _, err := routing.Compile(cfg, fakeProviders{})
		if err != nil {
			t.Fatal(err)
		}
		flat, _, err := routing.Compile(inline(cfg, groupName(0)), fakeProviders{})
		if err != nil {
			t.Fatal(err)
		}
		want, _ := flat.Explain(groupName(0), nil)
		got, _ := tree.Explain(groupName(0), nil)
		if diff := cmp.Diff(chances(want), chances(got)); diff != "" {
			t.Fatalf("explained: %s", diff)
		}
		samePicks(t, flat, tree, rapid.Uint64().Draw(t, "seed"))
	})
}

func chances(e *explain.Result) map[string]float64 {
	p := map[string]float64{}
	for _, d := range e.Deployments {
		p[d.ID] = d.Probability
	}
	return p
}

// samePicks picks from g0 of both with the same seeds.
func samePicks(t *rapid.T, flat, tree *routing.Snapshot, seed uint64) {
	inFlat, _ := flat.Resolve(groupName(0))
	inTree, _ := tree.Resolve(groupName(0))
	a, b := serve(flat).View(), serve(tree).View()
	for i := range 50 {
		q := routing.Query{Seed: seed + uint64(i)}
		want, wantErr := a.Pick(context.Background(), inFlat, q)
		got, gotErr := b.Pick(context.Background(), inTree, q)
		if (wantErr == nil) != (gotErr == nil) || wantErr == nil && want.Deployment.ID != got.Deployment.ID {
			t.Fatalf("seed %d: %v (%v) inline, %v (%v) in the tree", q.Seed, want.Deployment, wantErr, got.Deployment, gotErr)
		}
	}
}

func TestSkippingPicksIsExcludingThem(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cfg := drawConfig(t, shape{weights: true, orders: true, limits: true})
		s, _, err := routing.Compile(cfg, fakeProviders{})
		if err != nil {
			t.Fatal(err)
		}
		to, _ := s.Resolve(groupName(0))
		v := serve(s).View()
		seed := rapid.Uint64().Draw(t, "seed")
		var tried []string
		for {
			want, wantErr := v.Pick(context.Background(), to, routing.Query{Seed: seed, Exclude: tried})
			got, gotErr := v.Pick(context.Background(), to, routing.Query{Seed: seed, Skip: len(tried)})
			if diff := cmp.Diff(fmt.Sprint(want.Path, want.Model, wantErr), fmt.Sprint(got.Path, got.Model, gotErr)); diff != "" {
				t.Fatalf("after %d: %s", len(tried), diff)
			}
			if wantErr != nil {
				return
			}
			tried = append(tried, want.Deployment.ID)
		}
	})
}

func TestExcludedDeploymentsLeaveTheSharesOfTheRest(t *testing.T) {
	s := snapshot(t, worked)
	to := target(t, s, "fast")
	for _, d := range to.Deployments() {
		counts := sample(t, serve(s).View(), to, 4000, routing.Query{Exclude: []string{d.ID}})
		if u := unfit(counts, byID(t, s, "fast", d.ID)); u > 1 {
			t.Errorf("without %s: %v (%.2f)", d.Written, counts, u)
		}
	}
}

// trio is a flat group of three.
const trio = `
model_list:
  - {model_name: g, litellm_params: {model: openai/a}, model_info: {id: a}}
  - {model_name: g, litellm_params: {model: openai/b}, model_info: {id: b}}
  - {model_name: g, litellm_params: {model: openai/c}, model_info: {id: c}}
`

// TestSecondPickDoesNotDependOnTheFirst: with one draw for both, what follows a would always be b.
func TestSecondPickDoesNotDependOnTheFirst(t *testing.T) {
	s := snapshot(t, trio)
	to := target(t, s, "g")
	v := serve(s).View()
	after := map[string]int{}
	for i := range 6000 {
		q := routing.Query{Seed: uint64(i)}
		first, err := v.Pick(context.Background(), to, q)
		if err != nil {
			t.Fatal(err)
		}
		q.Exclude = []string{first.Deployment.ID}
		second, err := v.Pick(context.Background(), to, q)
		if err != nil {
			t.Fatal(err)
		}
		after[first.Deployment.ID+second.Deployment.ID]++
	}
	sixth := 1.0 / 6
	want := map[string]float64{"ab": sixth, "ac": sixth, "ba": sixth, "bc": sixth, "ca": sixth, "cb": sixth}
	if u := unfit(after, want); u > 1 {
		t.Errorf("%v (%.2f)", after, u)
	}
}

func TestAllCoolingTheFirstToComeBackIsPicked(t *testing.T) {
	s := snapshot(t, trio)
	r := serve(s)
	to := target(t, s, "g")
	for i, d := range to.Deployments() {
		r.Failed(d, routing.Failure{Class: routing.RateLimit, Status: 429, RetryAfter: time.Duration(30-10*i) * time.Second})
	}
	for _, want := range []struct {
		query routing.Query
		id    string
	}{{routing.Query{}, "c"}, {routing.Query{Exclude: []string{"c"}}, "b"}, {routing.Query{Skip: 2}, "a"}} {
		p, err := r.View().Pick(context.Background(), to, want.query)
		if err != nil || p.Deployment.ID != want.id {
			t.Errorf("%+v: got %v, %v, want %s", want.query, p.Deployment, err, want.id)
		}
	}
	_, err := r.View().Pick(context.Background(), to, routing.Query{Skip: 3})
	want := "No deployments available for selected model, Try again in 10 seconds. Passed model=g."
	if err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

// TestAllCoolingAnywhere: in any config the first to come back is picked, by a way that exists.
func TestAllCoolingAnywhere(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cfg := drawConfig(t, shape{weights: true, orders: true, limits: true})
		s, _, err := routing.Compile(cfg, fakeProviders{})
		if err != nil {
			t.Fatal(err)
		}
		o := oracle{cfg: cfg}
		r := serve(s)
		to, _ := s.Resolve(groupName(0))
		want := ""
		for i, d := range rapid.Permutation(to.Deployments()).Draw(t, "order") {
			r.Failed(d, routing.Failure{Class: routing.RateLimit, Status: 429, RetryAfter: time.Duration(i+1) * time.Second})
			o.out = map[string]bool{}
			for _, other := range to.Deployments() {
				o.out[other.Written] = other != d
			}
			if want == "" && o.explain(groupName(0))[d.Written] > 0 {
				want = d.Written
			}
		}
		p, err := r.View().Pick(context.Background(), to, routing.Query{Seed: rapid.Uint64().Draw(t, "seed")})
		if want == "" {
			if err == nil {
				t.Fatalf("picked %s where nothing is let through", p.Deployment.Written)
			}
			return
		}
		if err != nil || p.Deployment.Written != want {
			t.Fatalf("picked %v (%v), want %s", p.Deployment, err, want)
		}
		checkPath(t, cfg, p)
	})
}

// checkPath follows a pick from group to group.
func checkPath(t *rapid.T, cfg *config.Config, p routing.Pick) {
	way := append(slices.Clone(p.Path), p.Deployment.Written)
	for i := range p.Path {
		if !slices.ContainsFunc(cfg.Entries, func(e config.Entry) bool { return e.Name == way[i] && e.Params.Model == way[i+1] }) {
			t.Fatalf("no entry leads from %s to %s in %v", way[i], way[i+1], way)
		}
	}
	if p.Path[0] != groupName(0) {
		t.Fatalf("the way %v begins elsewhere", way)
	}
}

func TestCooldownEndsByTime(t *testing.T) {
	s := snapshot(t, trio)
	r := serve(s)
	to := target(t, s, "g")
	deployments := to.Deployments()
	r.cool(deployments[0])
	until, cooling := r.CoolingUntil("a")
	if want := r.clock.Now().Add(5 * time.Second); !cooling || !until.Equal(want) {
		t.Errorf("cooling until %v, %v, want %v", until, cooling, want)
	}
	if n := sample(t, r.View(), to, 200, routing.Query{})["a"]; n > 0 {
		t.Errorf("picked %d times while cooling", n)
	}
	r.clock.Add(5 * time.Second)
	if n := sample(t, r.View(), to, 200, routing.Query{})["a"]; n == 0 {
		t.Error("never picked after its cooldown")
	}
	if _, cooling := r.CoolingUntil("a"); cooling {
		t.Error("still cooling")
	}
}

func TestLimitOfZeroNeverBends(t *testing.T) {
	s := snapshot(t, `
model_list:
  - {model_name: g, litellm_params: {model: openai/a, rpm: 0}}
  - {model_name: g, litellm_params: {model: closed, tpm: 0}}
  - {model_name: closed, litellm_params: {model: openai/b}}
`)
	to := target(t, s, "g")
	v := serve(s).View()
	var none *routing.NoneError
	if _, err := v.Pick(context.Background(), to, routing.Query{}); !errors.As(err, &none) {
		t.Errorf("got %v, want a NoneError", err)
	}
	if v.Others(to, 0, nil) {
		t.Error("there are others although nothing is let through")
	}
	if !v.Others(target(t, s, "closed"), 0, nil) {
		t.Error("the group itself lets requests through")
	}
}

func TestOthersCountsCoolingDeployments(t *testing.T) {
	s := snapshot(t, trio)
	r := serve(s)
	to := target(t, s, "g")
	for _, d := range to.Deployments() {
		r.cool(d)
	}
	if !r.View().Others(to, 0, []string{"a", "b"}) || r.View().Others(to, 0, []string{"a", "b", "c"}) {
		t.Error("c is there, cooling; without it there is none")
	}
}

func TestCooldownsOutliveTheSnapshot(t *testing.T) {
	s := snapshot(t, trio)
	r := serve(s)
	old := r.View()
	to := target(t, s, "g")
	for _, d := range to.Deployments()[:2] {
		r.cool(d)
	}
	next := snapshot(t, trio+"  - {model_name: h, litellm_params: {model: openai/a}, model_info: {id: a2}}\n")
	r.Swap(next)
	if diff := cmp.Diff(map[string]int{"c": 50}, sample(t, r.View(), target(t, next, "g"), 50, routing.Query{})); diff != "" {
		t.Errorf("the new view: %s", diff)
	}
	// A request that began before sees what happens after.
	r.clock.Add(time.Minute)
	d, _ := next.Deployment("c")
	r.cool(d)
	if n := sample(t, old, to, 50, routing.Query{})["c"]; n > 0 {
		t.Errorf("the old view picked c %d times", n)
	}
}

func TestWhatVanishesIsForgotten(t *testing.T) {
	s := snapshot(t, trio)
	r := serve(s)
	d, _ := s.Deployment("a")
	r.cool(d)
	r.Swap(snapshot(t, strings.ReplaceAll(trio, "id: a}", "id: z}")))
	if r.cool(d); r.Failed(d, routing.Failure{Class: routing.RateLimit, Status: 429}) != 0 {
		t.Error("a deployment that is gone was cooled")
	}
	r.Swap(s)
	if _, cooling := r.CoolingUntil("a"); cooling {
		t.Error("still cooling after it was gone")
	}
}

func TestTargetOfAnotherSnapshotIsResolvedAnew(t *testing.T) {
	old, next := snapshot(t, trio), snapshot(t, strings.ReplaceAll(trio, "model_name: g", "model_name: h"))
	v := serve(next).View()
	if _, err := v.Pick(context.Background(), target(t, old, "g"), routing.Query{}); err == nil {
		t.Error("picked from a group that this view does not have")
	}
	if p, err := v.Pick(context.Background(), target(t, old, "a"), routing.Query{}); err != nil || p.Deployment.ID != "a" {
		t.Errorf("got %v, %v", p.Deployment, err)
	}
}

func TestPickCoolAndSwapAtOnce(t *testing.T) {
	s := snapshot(t, worked)
	r := routing.NewRouter(routing.NewTracker(time.Now), nil, s)
	var wait sync.WaitGroup
	for g := range 4 {
		wait.Go(func() {
			for i := range 300 {
				v := r.View()
				to, _ := v.Snapshot().Resolve("fast")
				p, err := v.Pick(context.Background(), to, routing.Query{Seed: uint64(i), Skip: i % 2})
				if err != nil {
					t.Error(err)
					return
				}
				switch (i + g) % 3 {
				case 0:
					r.Failed(p.Deployment, routing.Failure{Class: routing.RateLimit, Status: 429, RetryAfter: time.Millisecond})
				case 1:
					r.Succeeded(p.Deployment.ID)
				}
				r.CoolingUntil(p.Deployment.ID)
			}
		})
	}
	wait.Go(func() {
		for range 50 {
			r.Swap(snapshot(t, worked))
		}
	})
	wait.Wait()
}
