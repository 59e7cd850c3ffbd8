package store_test

import (
	"fmt"
	"testing"

	"github.com/nestor-gateway/nestor/access/record"
	"github.com/nestor-gateway/nestor/access/store"
)

// some are keys named a to e.
func some(t *testing.T, s *store.Store) {
	t.Helper()
	for i, k := range []record.Key{
		{Token: "a", Alias: "Blue", TeamID: "t1", UserID: "u1", Terms: record.Terms{MaxBudget: new(record.Nano(5))}},
		{Token: "b", Alias: "green", TeamID: "t1", UserID: "u2", Spend: 9},
		{Token: "c", Alias: "100%_", TeamID: "t2", UserID: "u1", Spend: 3, BudgetID: "b1"},
		{Token: "d", Alias: `back\slash`, Terms: record.Terms{MaxBudget: new(record.Nano(7))}},
		{Token: "e"},
	} {
		k.CreatedAt = epoch.AddDate(0, 0, -i)
		must(t, s.InsertKey(ctx(), k, by("/key/generate")))
	}
}

func TestKeysAreFound(t *testing.T) {
	onBoth(t, func(t *testing.T, d database) {
		s := d.open(t)
		some(t, s)
		for _, tc := range []struct {
			query store.KeyQuery
			want  []string
		}{
			{store.KeyQuery{}, []string{"e", "d", "c", "b", "a"}},
			{store.KeyQuery{Descending: true}, []string{"a", "b", "c", "d", "e"}},
			{store.KeyQuery{Tokens: []string{"a", "c", "x"}, Descending: true}, []string{"a", "c"}},
			{store.KeyQuery{Tokens: []string{}}, nil},
			{store.KeyQuery{Alias: "Blue"}, []string{"a"}},
			{store.KeyQuery{Alias: "blue"}, nil},
			{store.KeyQuery{Aliases: []string{"Blue", "green", "", "x"}}, []string{"b", "a"}},
			{store.KeyQuery{Aliases: []string{}}, nil},
			{store.KeyQuery{TeamID: "t1", UserID: "u2"}, []string{"b"}},
			{store.KeyQuery{BudgetID: "b1"}, []string{"c"}},
			{store.KeyQuery{Search: "BL"}, []string{"a"}},
			{store.KeyQuery{Search: "a"}, []string{"d", "a"}}, // a token, and a part of an alias
			{store.KeyQuery{Search: "%_"}, []string{"c"}},
			{store.KeyQuery{Search: `k\s`}, []string{"d"}},
			{store.KeyQuery{Search: "b"}, []string{"d", "b", "a"}},
			{store.KeyQuery{Named: true}, []string{"d", "c", "b", "a"}},
			{store.KeyQuery{Within: &store.Reach{UserID: "u1"}}, []string{"c", "a"}},
			{store.KeyQuery{Within: &store.Reach{UserID: "u1", TeamIDs: []string{"t1", "t3"}}}, []string{"c", "b", "a"}},
			{store.KeyQuery{Within: &store.Reach{TeamIDs: []string{"t2"}}, Search: "1"}, []string{"c"}},
			{store.KeyQuery{Within: &store.Reach{UserID: "u1", TeamIDs: []string{"t1"}}, TeamID: "t2"}, []string{"c"}},
			{store.KeyQuery{Within: &store.Reach{}}, nil},
			{store.KeyQuery{Within: &store.Reach{TeamIDs: []string{""}}}, nil},
			{store.KeyQuery{SortBy: "alias"}, []string{"e", "c", "a", "d", "b"}},
			{store.KeyQuery{SortBy: "spend", Descending: true}, []string{"b", "c", "e", "d", "a"}},
			{store.KeyQuery{SortBy: "max_budget"}, []string{"a", "d", "b", "c", "e"}},
			{store.KeyQuery{SortBy: "max_budget", Descending: true}, []string{"e", "c", "b", "d", "a"}},
		} {
			t.Run(fmt.Sprintf("%+v", tc.query), func(t *testing.T) {
				equal(t, tc.want, tokens(t, s, tc.query))
			})
		}
		for _, by := range []string{"created_at", "updated_at", "alias", "token", "name", "team_id", "user_id", "expires", "spend", "max_budget"} {
			if found := tokens(t, s, store.KeyQuery{SortBy: by}); len(found) != 5 {
				t.Errorf("sorted by %s there are %v", by, found)
			}
		}
		if _, _, err := s.Keys(ctx(), store.KeyQuery{SortBy: "token; DROP TABLE nestor_keys"}); err == nil {
			t.Error("sorted by what is no column")
		}
	})
}

func TestPagesMakeTheWhole(t *testing.T) {
	onBoth(t, func(t *testing.T, d database) {
		s := d.open(t)
		some(t, s)
		for _, by := range []string{"created_at", "team_id", "spend", "max_budget"} {
			whole := tokens(t, s, store.KeyQuery{SortBy: by})
			var parts []string
			for offset := 0; ; offset += 2 {
				page, total, err := s.Keys(ctx(), store.KeyQuery{SortBy: by, Offset: offset, Limit: 2})
				must(t, err)
				if total != 5 {
					t.Errorf("%d in all, want 5", total)
				}
				if len(page) == 0 {
					break
				}
				for _, k := range page {
					parts = append(parts, k.Token)
				}
			}
			equal(t, whole, parts)
		}
	})
}

func TestTeamsAndUsersAreFound(t *testing.T) {
	onBoth(t, func(t *testing.T, d database) {
		s := d.open(t)
		tricky := `x","user_id":"u1`
		must(t, s.InsertTeam(ctx(), record.Team{ID: "a", Alias: "Blue", Members: []record.Member{{UserID: "u1", Role: "admin"}, {UserID: "u_2", Role: "user"}}}, by("/team/new")))
		must(t, s.InsertTeam(ctx(), record.Team{ID: "b", Members: []record.Member{{UserID: "ux2", Role: "user"}, {UserID: tricky, Role: "user"}}}, by("/team/new")))
		for user, want := range map[string]string{"u1": "a", "u_2": "a", "ux2": "b", tricky: "b", "u": "", "U1": ""} {
			found, _, err := s.Teams(ctx(), store.TeamQuery{UserID: user})
			must(t, err)
			var ids string
			for _, team := range found {
				ids += team.ID
			}
			if ids != want {
				t.Errorf("teams of %q: %q, want %q", user, ids, want)
			}
		}
		must(t, s.InsertUser(ctx(), record.User{ID: "u1", Email: "A@example.com", Role: record.RoleAdmin}, by("/user/new")))
		must(t, s.InsertUser(ctx(), record.User{ID: "u2", Email: "b@example.com", Role: record.RoleInternal}, by("/user/new")))
		if found, total, err := s.Users(ctx(), store.UserQuery{IDs: []string{"u3"}}); err != nil || len(found)+total > 0 {
			t.Errorf("%d users that are not there, %v", total, err)
		}
		for want, q := range map[string]store.UserQuery{
			"u1": {Email: "A@example.com"}, "u2": {Role: record.RoleInternal}, "u1u2": {Search: "EXAMPLE"}, "u2u1": {EmailPart: "@Example", Descending: true},
			"": {EmailPart: "u%"},
		} {
			found, total, err := s.Users(ctx(), q)
			must(t, err)
			var ids string
			for _, user := range found {
				ids += user.ID
			}
			if ids != want || total != len(found) {
				t.Errorf("users of %+v: %q of %d, want %q", q, ids, total, want)
			}
		}
	})
}
