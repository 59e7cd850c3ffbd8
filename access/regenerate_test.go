package access_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nestor-gateway/nestor/access"
	"github.com/nestor-gateway/nestor/access/record"
	"github.com/nestor-gateway/nestor/ratelimit"
)

// A regenerated key goes on with the limits and the account that it had, whichever way the index hears of it: to get a
// new secret is no way to get more than its limits. They go with the key.
func TestARegeneratedKeyGoesOnWithItsLimitsAndItsAccount(t *testing.T) {
	key := func(token string) record.Change {
		return record.Change{Kind: record.OfKey, ID: record.TokenOf(secretOf(token))}
	}
	for name, told := range map[string]func(now, before string) []record.Change{
		"the new one first": func(now, before string) []record.Change { return []record.Change{key(now), key(before)} },
		"the new one last":  func(now, before string) []record.Change { return []record.Change{key(before), key(now)} },
		"all":               func(string, string) []record.Change { return []record.Change{{Kind: record.All}} },
	} {
		t.Run(name, func(t *testing.T) {
			m, e, b := newMemory(), newEntities(), newBooks()
			k := m.addKey("1", record.Key{Terms: record.Terms{RPM: ptr[int64](5)}, ModelRPM: map[string]int64{"fast": 1}})
			x := loaded(t, m, access.Options{Entities: e, Accounts: b})
			limits, account := as(t, x, "1").Limits(nil, "fast"), as(t, x, "1").Key.Account
			for _, l := range limits {
				l.Entity()
			}
			e.since()
			apply := func(changes []record.Change) {
				t.Helper()
				for _, c := range changes {
					if err := x.Apply(t.Context(), c); err != nil {
						t.Fatal(err)
					}
				}
			}
			// To the first token, too.
			for _, step := range [][2]string{{"1", "2"}, {"2", "3"}, {"3", "1"}, {"1", "3"}} {
				before, now := step[0], step[1]
				m.change(func() { delete(m.keys, record.TokenOf(secretOf(before))) })
				m.addKey(now, record.Key{Origin: record.TokenOf(secretOf("1")), Terms: k.Terms, ModelRPM: k.ModelRPM})
				apply(told(now, before))
				p := as(t, x, now)
				if diff := cmp.Diff(limits, p.Limits(nil, "fast"), cmp.Comparer(func(a, b *access.Limited) bool { return a == b })); diff != "" {
					t.Errorf("from %s to %s: %s", before, now, diff)
				}
				if p.Key.Account != account {
					t.Errorf("from %s to %s: another account", before, now)
				}
				if _, d := x.Authenticate(bearing(secretOf(before))); d == nil {
					t.Errorf("%s still opens", before)
				}
			}
			if asked := e.since(); asked != nil || b.dropped != nil {
				t.Errorf("limits were asked to %q, accounts were dropped: %q", asked, b.dropped)
			}
			m.change(func() { clear(m.keys) })
			apply([]record.Change{key("3")})
			name := "key:" + record.TokenOf(secretOf("1"))
			if diff := cmp.Diff([]string{"drop " + name, "drop " + name + "/model:fast"}, e.since()); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff([]string{name}, b.dropped); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// A key that is made with a token which another one had once is a key of its own, whatever of both is heard first.
func TestAKeyMadeOfAFormerTokenHasLimitsOfItsOwn(t *testing.T) {
	token := func(name string) string { return record.TokenOf(secretOf(name)) }
	key := func(name string) record.Change { return record.Change{Kind: record.OfKey, ID: token(name)} }
	for name, told := range map[string][]record.Change{
		"the regenerated one first": {key("2"), key("1")},
		"the regenerated one last":  {key("1"), key("2")},
		"all":                       {{Kind: record.All}},
	} {
		t.Run(name, func(t *testing.T) {
			m, e, b := newMemory(), newEntities(), newBooks()
			m.addKey("1", record.Key{Terms: record.Terms{RPM: ptr[int64](5)}})
			x := loaded(t, m, access.Options{Entities: e, Accounts: b})
			before := as(t, x, "1")
			m.addKey("2", record.Key{Origin: token("1"), Terms: record.Terms{RPM: ptr[int64](5)}})
			m.addKey("1", record.Key{Origin: token("1") + "/x", Terms: record.Terms{RPM: ptr[int64](1)}})
			for _, c := range told {
				if err := x.Apply(t.Context(), c); err != nil {
					t.Fatal(err)
				}
			}
			of := func(name string) map[string]int64 {
				most := map[string]int64{}
				for _, l := range as(t, x, name).Limits(nil, "") {
					most[l.Name] = l.Most()[ratelimit.Requests]
				}
				return most
			}
			want := []map[string]int64{{"key:" + token("1"): 5}, {"key:" + token("1") + "/x": 1}}
			if diff := cmp.Diff(want, []map[string]int64{of("2"), of("1")}); diff != "" {
				t.Error(diff)
			}
			if as(t, x, "2").Key.Account != before.Key.Account || as(t, x, "1").Key.Account == before.Key.Account {
				t.Error("the account went to the wrong key")
			}
			m.change(func() { delete(m.keys, token("1")) })
			if err := x.Apply(t.Context(), key("1")); err != nil {
				t.Fatal(err)
			}
			if _, ok := as(t, x, "2").Limits(nil, "")[0].Entity(); !ok {
				t.Error("the limit of the regenerated key went with the other one")
			}
			if diff := cmp.Diff([]string{"key:" + token("1") + "/x"}, b.dropped); diff != "" {
				t.Error(diff)
			}
		})
	}
}
