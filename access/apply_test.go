package access_test

import (
	"fmt"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/nestor-gateway/nestor/access"
	"github.com/nestor-gateway/nestor/access/record"
	"github.com/nestor-gateway/nestor/ratelimit"
)

// shown is all that a key may and must, as far as it can be asked.
type shown struct {
	Denial  *access.Denial
	Sees    []string
	Routes  []string
	Manages bool
	Most    map[string]ratelimit.Amounts
}

func show(x *access.Index, name string) shown {
	p, denial := x.Authenticate(bearing(secretOf(name)))
	s := shown{Denial: denial, Manages: p.CanManage(), Most: map[string]ratelimit.Amounts{}}
	for _, m := range []string{"fast", "slow", "mine"} {
		if p.MaySee(m) {
			s.Sees = append(s.Sees, m)
		}
		for _, l := range p.Limits(nil, m) {
			s.Most[l.Name] = l.Most()
		}
	}
	for _, r := range []string{"/v1/models", "/key/info"} {
		if p.May(access.Call{Route: r}) == nil {
			s.Routes = append(s.Routes, r)
		}
	}
	return s
}

// op makes, changes or deletes a record.
type op struct {
	kind   record.Kind
	id     string
	delete bool
}

func (o op) on(t *rapid.T, m *memory) record.Change {
	some := func(label string, of ...string) string { return rapid.SampledFrom(of).Draw(t, label) }
	models := rapid.SliceOfN(rapid.SampledFrom([]string{"fast", "slow"}), 0, 1).Draw(t, "models")
	terms := record.Terms{RPM: rapid.SampledFrom([]*int64{nil, ptr[int64](1), ptr[int64](2)}).Draw(t, "rpm")}
	perModel := map[string]int64{"fast": 3}
	if rapid.Bool().Draw(t, "no limit of a model") {
		perModel = nil
	}
	switch o.kind {
	case record.OfTeam:
		if delete(m.teams, o.id); !o.delete {
			m.teams[o.id] = record.Team{ID: o.id, Models: models, Terms: terms, ModelTPM: perModel, Blocked: rapid.Bool().Draw(t, "blocked")}
		}
	case record.OfUser:
		if delete(m.users, o.id); !o.delete {
			m.users[o.id] = record.User{ID: o.id, Models: models, Terms: terms, Role: some("role", record.RoleAdmin, record.RoleInternal)}
		}
	case record.OfBudget:
		if delete(m.budgets, o.id); !o.delete {
			m.budgets[o.id] = record.Budget{ID: o.id, Terms: terms}
		}
	default:
		if delete(m.keys, record.TokenOf(secretOf(o.id))); !o.delete {
			m.addKey(o.id, record.Key{TeamID: some("team", "", "", "1", "2"), UserID: some("user", "", "1", "2"), BudgetID: some("budget", "", "1", "2"),
				Models: models, Terms: terms, ModelRPM: perModel, AllowedRoutes: rapid.SampledFrom([][]string{nil, nil, {"/v1/models"}}).Draw(t, "routes"),
				Aliases: rapid.SampledFrom([]map[string]string{nil, {"mine": "fast"}}).Draw(t, "aliases")})
		}
		return record.Change{Kind: o.kind, ID: record.TokenOf(secretOf(o.id))}
	}
	return record.Change{Kind: o.kind, ID: o.id}
}

func TestAnIndexThatFollowsChangesIsAsOneThatIsLoaded(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := newMemory()
		following := access.New(access.Options{Store: m, NotFound: errNotFound, Entities: newEntities()})
		following.SetMaster(master)
		for range rapid.IntRange(1, 30).Draw(t, "changes") {
			change := op{
				kind:   rapid.SampledFrom([]record.Kind{record.OfKey, record.OfKey, record.OfTeam, record.OfUser, record.OfBudget}).Draw(t, "kind"),
				id:     rapid.SampledFrom([]string{"1", "2"}).Draw(t, "id"),
				delete: rapid.IntRange(0, 2).Draw(t, "delete") == 0,
			}.on(t, m)
			if rapid.IntRange(0, 2).Draw(t, "all") == 0 {
				change = record.Change{Kind: record.All}
			}
			if err := following.Apply(t.Context(), change); err != nil {
				t.Fatal(err)
			}
		}
		fresh := access.New(access.Options{Store: m, NotFound: errNotFound, Entities: newEntities()})
		fresh.SetMaster(master)
		if err := fresh.Load(t.Context()); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"1", "2"} {
			if diff := cmp.Diff(show(fresh, name), show(following, name)); diff != "" {
				t.Fatalf("key %s (-loaded +following):\n%s", name, diff)
			}
		}
	})
}

func TestKeysAreFoundWhileOthersChange(t *testing.T) {
	m := newMemory()
	m.teams["t"] = record.Team{ID: "t"}
	m.addKey("stays", record.Key{TeamID: "t", Terms: record.Terms{RPM: ptr[int64](1)}})
	x := loaded(t, m, access.Options{Entities: newEntities()})
	done := make(chan struct{})
	var readers sync.WaitGroup
	for range 2 {
		readers.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				check(t, x, bearing(secretOf("stays")), "fast")
			}
		})
	}
	for i := range 200 {
		var k record.Key
		m.change(func() { k = m.addKey(fmt.Sprint(i), record.Key{}) })
		for _, c := range []record.Change{{Kind: record.OfKey, ID: k.Token}, {Kind: record.OfTeam, ID: "t"}, {Kind: record.All}} {
			if err := x.Apply(t.Context(), c); err != nil {
				t.Error(err)
			}
		}
	}
	close(done)
	readers.Wait()
}

func TestWhatIsGoneIsForgottenWhenAllIsReadAgain(t *testing.T) {
	m := newMemory()
	m.users["u"] = record.User{ID: "u", Role: record.RoleAdmin}
	m.budgets["b"] = record.Budget{ID: "b", Terms: record.Terms{RPM: ptr[int64](1)}}
	m.addKey("a", record.Key{UserID: "u", BudgetID: "b"})
	x := loaded(t, m, access.Options{Entities: newEntities()})
	before := show(x, "a")
	clear(m.users)
	clear(m.budgets)
	if err := x.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	after := show(x, "a")
	if diff := cmp.Diff([]bool{true, false}, []bool{before.Manages, after.Manages}); diff != "" {
		t.Error("manages, before and after: " + diff)
	}
	if diff := cmp.Diff([]int{1, 0}, []int{len(before.Most), len(after.Most)}); diff != "" {
		t.Error("limits, before and after: " + diff)
	}
}
