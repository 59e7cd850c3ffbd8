package access_test

import (
	"slices"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nestor-gateway/nestor/access"
	"github.com/nestor-gateway/nestor/access/record"
	"github.com/nestor-gateway/nestor/ratelimit"
)

// entities is a limiter that notes what is asked of it.
type entities struct {
	mu    sync.Mutex
	made  map[string]ratelimit.Entity
	asked []string
	most  map[string]ratelimit.Amounts
}

func newEntities() *entities {
	return &entities{made: map[string]ratelimit.Entity{}, most: map[string]ratelimit.Amounts{}}
}

func (e *entities) Put(l ratelimit.Limit) ratelimit.Entity {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.asked = append(e.asked, "put "+l.Name)
	if _, known := e.made[l.Name]; !known {
		e.made[l.Name] = ratelimit.Entity(len(e.made))
	}
	e.most[l.Name] = l.Most
	return e.made[l.Name]
}

func (e *entities) Drop(name string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.asked = append(e.asked, "drop "+name)
	delete(e.most, name)
}

// since returns what was asked since the last time, in order of the text.
func (e *entities) since() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	asked := e.asked
	e.asked = nil
	slices.Sort(asked)
	return asked
}

func ptr[T any](v T) *T { return &v }

func names(all []*access.Limited) []string {
	var out []string
	for _, l := range all {
		out = append(out, l.Name)
	}
	slices.Sort(out)
	return out
}

// aliased is a catalog of one alias.
type aliased struct{ alias, target string }

func (a aliased) Alias(name string) (string, bool) { return a.target, name == a.alias }
func (aliased) AccessGroups(string) []string       { return nil }

func TestARequestCountsOnItsKeyTeamAndUserAndOnWhatTheyLimitOfItsModel(t *testing.T) {
	m := newMemory()
	m.teams["t"] = record.Team{ID: "t", Terms: record.Terms{TPM: ptr[int64](100)}, ModelRPM: map[string]int64{"slow": 1}}
	m.users["u"] = record.User{ID: "u", Terms: record.Terms{MaxParallel: ptr[int64](3)}}
	k := m.addKey("a", record.Key{TeamID: "t", UserID: "u", BudgetID: "b", Terms: record.Terms{RPM: ptr[int64](5)}, Aliases: map[string]string{"mine": "fast"},
		ModelRPM: map[string]int64{"fast": 2}, ModelTPM: map[string]int64{"fast": 20, "slow": 7}})
	m.budgets["b"] = record.Budget{ID: "b", Terms: record.Terms{RPM: ptr[int64](1), TPM: ptr[int64](50)}}
	m.addKey("free", record.Key{})
	x := loaded(t, m, access.Options{Entities: newEntities()})
	x.SetCatalog(aliased{"quick", "fast"})
	p, key := as(t, x, "a"), "key:"+k.Token
	fast := []string{key, key + "/model:fast", "team:t", "user:u"}
	want := map[string][]string{"fast": fast, "mine": fast, "quick": fast, "slow": {key, key + "/model:slow", "team:t", "team:t/model:slow", "user:u"}, "other": {key, "team:t", "user:u"}}
	got := map[string][]string{}
	most := map[string]ratelimit.Amounts{}
	for called := range want {
		limits := p.Limits(nil, called)
		got[called] = names(limits)
		for _, l := range limits {
			most[l.Name] = l.Most()
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	const none = ratelimit.None
	amounts := map[string]ratelimit.Amounts{
		key: {5, 50, none}, key + "/model:fast": {2, 20, none}, key + "/model:slow": {none, 7, none},
		"team:t": {none, 100, none}, "team:t/model:slow": {1, none, none}, "user:u": {none, none, 3},
	}
	if diff := cmp.Diff(amounts, most); diff != "" {
		t.Error(diff)
	}
	if got := as(t, x, "free").Limits(nil, "fast"); got != nil {
		t.Errorf("a key without limits counts on %q", names(got))
	}
}

// All names that match a pattern share its limit; an exact name goes before, then the longest pattern.
func TestALimitOfAPatternIsSharedByAllThatMatchIt(t *testing.T) {
	m := newMemory()
	m.teams["t"] = record.Team{ID: "t", ModelTPM: map[string]int64{"wild/*": 9}}
	k := m.addKey("a", record.Key{TeamID: "t", Aliases: map[string]string{"mine": "wild/x"},
		ModelRPM: map[string]int64{"wild/*": 2, "wild/big-*": 1, "wild/exact": 3, "*": 50, "fast": 7}})
	x := loaded(t, m, access.Options{Entities: newEntities()})
	x.SetCatalog(aliased{"quick", "wild/big-1"})
	p, key := as(t, x, "a"), "key:"+k.Token+"/model:"
	want := map[string][]string{
		"wild/x": {key + "wild/*", "team:t/model:wild/*"}, "wild/y": {key + "wild/*", "team:t/model:wild/*"},
		"wild/*": {key + "wild/*", "team:t/model:wild/*"}, "wild/exact": {key + "wild/exact", "team:t/model:wild/*"},
		"wild/big-1": {key + "wild/big-*", "team:t/model:wild/*"}, "quick": {key + "wild/big-*", "team:t/model:wild/*"},
		"fast": {key + "fast"}, "other": {key + "*"},
	}
	got, fallback := map[string][]string{}, map[string][]string{}
	for name := range want {
		got[name], fallback[name] = names(p.Limits(nil, name)), names(p.ModelLimits(nil, name))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("as called: %s", diff)
	}
	if diff := cmp.Diff(want, fallback); diff != "" {
		t.Errorf("as a fallback: %s", diff)
	}
	if got := names(p.Limits(nil, "mine")); !slices.Equal(got, want["wild/x"]) {
		t.Errorf("by an alias of the key: %q", got)
	}
	if got := names(p.ModelLimits(nil, "mine")); !slices.Equal(got, []string{key + "*"}) {
		t.Errorf("a fallback that only looks like an alias of the key: %q", got)
	}
}

func TestEntitiesAreMadeForTheFirstRequestAndFollowTheLimits(t *testing.T) {
	m, e := newMemory(), newEntities()
	k := m.addKey("a", record.Key{Terms: record.Terms{RPM: ptr[int64](5)}, ModelRPM: map[string]int64{"fast": 1}})
	x := loaded(t, m, access.Options{Entities: e})
	name := "key:" + k.Token
	apply := func(change func(*record.Key)) {
		t.Helper()
		change(&k)
		m.keys[k.Token] = k
		if err := x.Apply(t.Context(), record.Change{Kind: record.OfKey, ID: k.Token}); err != nil {
			t.Fatal(err)
		}
	}
	expect := func(what string, want ...string) {
		t.Helper()
		if diff := cmp.Diff(want, e.since()); diff != "" {
			t.Errorf("%s: %s", what, diff)
		}
	}
	expect("an idle key")
	before := as(t, x, "a").Limits(nil, "fast")
	for range 2 {
		for _, l := range before {
			if got, ok := l.Entity(); !ok || got != e.made[l.Name] {
				t.Errorf("%s has entity %v, %v", l.Name, got, ok)
			}
		}
	}
	expect("the first requests", "put "+name, "put "+name+"/model:fast")
	apply(func(k *record.Key) { k.Tags = []string{"x"} })
	expect("a change of something else")
	if diff := cmp.Diff(names(before), names(as(t, x, "a").Limits(nil, "fast"))); diff != "" || as(t, x, "a").Limits(nil, "fast")[0] != before[0] {
		t.Error("the limits of the changed key are others " + diff)
	}
	apply(func(k *record.Key) { k.RPM = ptr[int64](9) })
	expect("another limit", "put "+name)
	if diff := cmp.Diff(ratelimit.Amounts{9, ratelimit.None, ratelimit.None}, e.most[name]); diff != "" {
		t.Error(diff)
	}
	apply(func(k *record.Key) { k.ModelRPM = nil })
	expect("a limit that goes", "drop "+name+"/model:fast")
	m.change(func() { delete(m.keys, k.Token) })
	if err := x.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	expect("a key that goes", "drop "+name)
	for _, l := range before {
		if _, ok := l.Entity(); ok {
			t.Errorf("%s has an entity, and is gone", l.Name)
		}
	}
	expect("requests that began before")
}

func TestTheLimitsOfABudgetHoldForItsKeysAtOnce(t *testing.T) {
	m := newMemory()
	m.addKey("a", record.Key{BudgetID: "b"})
	x := loaded(t, m, access.Options{Entities: newEntities()})
	refused := func() {
		t.Helper()
		if _, d := x.Authenticate(bearing(secretOf("a"))); d == nil || d.Status != 401 {
			t.Errorf("without the budget, whose limits are the key's: %v", d)
		}
	}
	refused()
	m.budgets["b"] = record.Budget{ID: "b", Terms: record.Terms{RPM: ptr[int64](4)}}
	if err := x.Apply(t.Context(), record.Change{Kind: record.OfBudget, ID: "b"}); err != nil {
		t.Fatal(err)
	}
	if got := as(t, x, "a").Limits(nil, ""); len(got) != 1 || got[0].Most()[ratelimit.Requests] != 4 {
		t.Errorf("with the budget: %q", names(got))
	}
	m.change(func() { clear(m.budgets) })
	if err := x.Apply(t.Context(), record.Change{Kind: record.OfBudget, ID: "b"}); err != nil {
		t.Fatal(err)
	}
	refused()
}
