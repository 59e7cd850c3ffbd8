package store

import "github.com/nestor-gateway/nestor/access/record"

// table is how records of one kind are kept.
type table[T any] struct {
	kind record.Kind
	name string
	// columns are those of the table, the id first, then the account's if there is one.
	columns []column[T]
	account []column[T]
	// origin is the column that the account is named by where that isn't the id.
	origin *column[T]
	// sorted names what lists may be sorted by.
	sorted []string
	stamp  func(*T) *record.Stamp
}

// accountColumns are in nestor_accounts, which the spend of requests changes without touching the record.
func accountColumns[T any](spend func(*T) *record.Nano, terms func(*T) *record.Terms) []column[T] {
	return []column[T]{
		{"spend", func(t *T) any { return spend(t) }},
		{"reset_at", func(t *T) any { return momentOf(&terms(t).BudgetResetAt) }},
	}
}

func termColumns[T any](terms func(*T) *record.Terms) []column[T] {
	return []column[T]{
		{"rpm", func(t *T) any { return &terms(t).RPM }},
		{"tpm", func(t *T) any { return &terms(t).TPM }},
		{"max_parallel", func(t *T) any { return &terms(t).MaxParallel }},
		{"max_budget", func(t *T) any { return &terms(t).MaxBudget }},
		{"soft_budget", func(t *T) any { return &terms(t).SoftBudget }},
		{"budget_duration", func(t *T) any { return &terms(t).BudgetDuration }},
	}
}

func stampColumns[T any](stamp func(*T) *record.Stamp) []column[T] {
	return []column[T]{
		{"created_at", func(t *T) any { return momentOf(&stamp(t).CreatedAt) }},
		{"updated_at", func(t *T) any { return momentOf(&stamp(t).UpdatedAt) }},
		{"created_by", func(t *T) any { return &stamp(t).CreatedBy }},
		{"updated_by", func(t *T) any { return &stamp(t).UpdatedBy }},
	}
}

func join[T any](parts ...[]column[T]) (all []column[T]) {
	for _, part := range parts {
		all = append(all, part...)
	}
	return all
}

func keys() table[record.Key] {
	terms := func(k *record.Key) *record.Terms { return &k.Terms }
	stamp := func(k *record.Key) *record.Stamp { return &k.Stamp }
	origin := column[record.Key]{"origin", func(k *record.Key) any { return &k.Origin }}
	return table[record.Key]{
		kind: record.OfKey, name: "nestor_keys", stamp: stamp, origin: &origin,
		sorted: []string{"created_at", "updated_at", "alias", "token", "name", "team_id", "user_id", "expires", "spend", "max_budget"},
		columns: join([]column[record.Key]{
			{"token", func(k *record.Key) any { return &k.Token }},
			{"name", func(k *record.Key) any { return &k.Name }},
			{"alias", func(k *record.Key) any { return &k.Alias }},
			{"team_id", func(k *record.Key) any { return &k.TeamID }},
			{"user_id", func(k *record.Key) any { return &k.UserID }},
			{"budget_id", func(k *record.Key) any { return &k.BudgetID }},
			{"models", func(k *record.Key) any { return document{&k.Models} }},
			{"aliases", func(k *record.Key) any { return document{&k.Aliases} }},
			{"model_rpm", func(k *record.Key) any { return document{&k.ModelRPM} }},
			{"model_tpm", func(k *record.Key) any { return document{&k.ModelTPM} }},
			{"metadata", func(k *record.Key) any { return document{&k.Metadata} }},
			{"tags", func(k *record.Key) any { return document{&k.Tags} }},
			{"allowed_routes", func(k *record.Key) any { return document{&k.AllowedRoutes} }},
			{"max_request_bytes", func(k *record.Key) any { return &k.MaxRequestBytes }},
			{"blocked", func(k *record.Key) any { return &k.Blocked }},
			{"expires", func(k *record.Key) any { return momentOf(&k.Expires) }},
			origin,
		}, termColumns(terms), stampColumns(stamp)),
		account: accountColumns(func(k *record.Key) *record.Nano { return &k.Spend }, terms),
	}
}

func teams() table[record.Team] {
	terms := func(t *record.Team) *record.Terms { return &t.Terms }
	stamp := func(t *record.Team) *record.Stamp { return &t.Stamp }
	return table[record.Team]{
		kind: record.OfTeam, name: "nestor_teams", stamp: stamp,
		sorted: []string{"created_at", "updated_at", "alias", "id", "spend", "max_budget"},
		columns: join([]column[record.Team]{
			{"id", func(t *record.Team) any { return &t.ID }},
			{"alias", func(t *record.Team) any { return &t.Alias }},
			{"models", func(t *record.Team) any { return document{&t.Models} }},
			{"aliases", func(t *record.Team) any { return document{&t.Aliases} }},
			{"model_rpm", func(t *record.Team) any { return document{&t.ModelRPM} }},
			{"model_tpm", func(t *record.Team) any { return document{&t.ModelTPM} }},
			{"metadata", func(t *record.Team) any { return document{&t.Metadata} }},
			{"tags", func(t *record.Team) any { return document{&t.Tags} }},
			{"blocked", func(t *record.Team) any { return &t.Blocked }},
			{"members", func(t *record.Team) any { return document{&t.Members} }},
		}, termColumns(terms), stampColumns(stamp)),
		account: accountColumns(func(t *record.Team) *record.Nano { return &t.Spend }, terms),
	}
}

func users() table[record.User] {
	terms := func(u *record.User) *record.Terms { return &u.Terms }
	stamp := func(u *record.User) *record.Stamp { return &u.Stamp }
	return table[record.User]{
		kind: record.OfUser, name: "nestor_users", stamp: stamp,
		sorted: []string{"created_at", "updated_at", "alias", "email", "role", "id", "spend", "max_budget"},
		columns: join([]column[record.User]{
			{"id", func(u *record.User) any { return &u.ID }},
			{"alias", func(u *record.User) any { return &u.Alias }},
			{"email", func(u *record.User) any { return &u.Email }},
			{"role", func(u *record.User) any { return &u.Role }},
			{"models", func(u *record.User) any { return document{&u.Models} }},
			{"model_rpm", func(u *record.User) any { return document{&u.ModelRPM} }},
			{"model_tpm", func(u *record.User) any { return document{&u.ModelTPM} }},
			{"metadata", func(u *record.User) any { return document{&u.Metadata} }},
		}, termColumns(terms), stampColumns(stamp)),
		account: accountColumns(func(u *record.User) *record.Nano { return &u.Spend }, terms),
	}
}

func budgets() table[record.Budget] {
	terms := func(b *record.Budget) *record.Terms { return &b.Terms }
	stamp := func(b *record.Budget) *record.Stamp { return &b.Stamp }
	return table[record.Budget]{
		kind: record.OfBudget, name: "nestor_budgets", stamp: stamp,
		sorted: []string{"created_at", "updated_at", "id", "max_budget"},
		columns: join([]column[record.Budget]{
			{"id", func(b *record.Budget) any { return &b.ID }},
			{"budget_reset_at", func(b *record.Budget) any { return momentOf(&b.BudgetResetAt) }},
		}, termColumns(terms), stampColumns(stamp)),
	}
}
