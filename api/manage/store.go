package manage

import (
	"context"

	"github.com/nestor-gateway/nestor/access/record"
	"github.com/nestor-gateway/nestor/access/store"
)

// Store is where the records are: package access/store.
type Store interface {
	keyReader
	keyWriter
	teamReader
	teamWriter
	userReader
	userWriter
	budgetReader
	budgetWriter
	history
}

type keyReader interface {
	Key(ctx context.Context, token string) (record.Key, error)
	Keys(ctx context.Context, q store.KeyQuery) ([]record.Key, int, error)
}

type keyWriter interface {
	InsertKey(ctx context.Context, k record.Key, a record.Audit) error
	UpdateKey(ctx context.Context, token string, a record.Audit, change func(*record.Key) error) (record.Key, error)
	DeleteKeys(ctx context.Context, tokens []string, a record.Audit) (int, error)
}

type teamReader interface {
	Team(ctx context.Context, id string) (record.Team, error)
	Teams(ctx context.Context, q store.TeamQuery) ([]record.Team, int, error)
}

type teamWriter interface {
	InsertTeam(ctx context.Context, t record.Team, a record.Audit) error
	UpdateTeam(ctx context.Context, id string, a record.Audit, change func(*record.Team) error) (record.Team, error)
	DeleteTeams(ctx context.Context, ids []string, a record.Audit) (int, error)
}

type userReader interface {
	User(ctx context.Context, id string) (record.User, error)
	Users(ctx context.Context, q store.UserQuery) ([]record.User, int, error)
}

type userWriter interface {
	InsertUser(ctx context.Context, u record.User, a record.Audit) error
	UpdateUser(ctx context.Context, id string, a record.Audit, change func(*record.User) error) (record.User, error)
	DeleteUsers(ctx context.Context, ids []string, a record.Audit) (int, error)
}

type budgetReader interface {
	Budget(ctx context.Context, id string) (record.Budget, error)
	Budgets(ctx context.Context, q store.BudgetQuery) ([]record.Budget, int, error)
}

type budgetWriter interface {
	InsertBudget(ctx context.Context, b record.Budget, a record.Audit) error
	UpdateBudget(ctx context.Context, id string, a record.Audit, change func(*record.Budget) error) (record.Budget, error)
	DeleteBudgets(ctx context.Context, ids []string, a record.Audit) (int, error)
}

type history interface {
	SpendRows(ctx context.Context, q store.SpendQuery) ([]record.Spend, error)
	SpendBy(ctx context.Context, d store.Dimension, q store.SpendQuery) ([]store.Sum, error)
	Audits(ctx context.Context, q store.AuditQuery) ([]record.Audit, error)
}
