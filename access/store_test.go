package access_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"

	"github.com/nestor-gateway/nestor/access"
	"github.com/nestor-gateway/nestor/access/record"
)

var errNotFound = errors.New("not found")

// memory is a store that tells of nothing by itself: see change.
type memory struct {
	mu      sync.Mutex
	keys    map[string]record.Key
	teams   map[string]record.Team
	users   map[string]record.User
	budgets map[string]record.Budget
	// down is the error of every call.
	down error
	// broken is an id that can't be read.
	broken string
	watch  []func(record.Change)
}

func newMemory() *memory {
	return &memory{keys: map[string]record.Key{}, teams: map[string]record.Team{}, users: map[string]record.User{}, budgets: map[string]record.Budget{}}
}

// secretOf is the key that a record of the name stands for.
func secretOf(name string) string { return "sk-" + name + "-0123456789abcdef" }

func (m *memory) addKey(name string, k record.Key) record.Key {
	k.Token = record.TokenOf(secretOf(name))
	m.keys[k.Token] = k
	return k
}

// change does something to the records and tells of it.
func (m *memory) change(do func(), told ...record.Change) {
	m.mu.Lock()
	do()
	watch := slices.Clone(m.watch)
	m.mu.Unlock()
	for _, c := range told {
		for _, f := range watch {
			f(c)
		}
	}
}

func find[R any](m *memory, in map[string]R, id string) (R, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	r, ok := in[id]
	switch {
	case m.down != nil:
		return r, m.down
	case id == m.broken:
		return r, errors.New("broken")
	case !ok:
		return r, fmt.Errorf("%q: %w", id, errNotFound)
	}
	return r, nil
}

func each[R any](m *memory, in map[string]R, f func(R) error) error {
	m.mu.Lock()
	down, all := m.down, slices.Collect(maps.Values(in))
	m.mu.Unlock()
	if down != nil {
		return down
	}
	for _, r := range all {
		if err := f(r); err != nil {
			return err
		}
	}
	return nil
}

func (m *memory) Key(_ context.Context, token string) (record.Key, error) {
	return find(m, m.keys, token)
}
func (m *memory) KeyFrom(_ context.Context, origin string) (record.Key, error) {
	m.mu.Lock()
	byOrigin := map[string]record.Key{}
	for token, k := range m.keys {
		byOrigin[cmp.Or(k.Origin, token)] = k
	}
	m.mu.Unlock()
	return find(m, byOrigin, origin)
}
func (m *memory) Team(_ context.Context, id string) (record.Team, error) { return find(m, m.teams, id) }
func (m *memory) User(_ context.Context, id string) (record.User, error) { return find(m, m.users, id) }
func (m *memory) Budget(_ context.Context, id string) (record.Budget, error) {
	return find(m, m.budgets, id)
}
func (m *memory) EachKey(_ context.Context, f func(record.Key) error) error {
	return each(m, m.keys, f)
}
func (m *memory) EachTeam(_ context.Context, f func(record.Team) error) error {
	return each(m, m.teams, f)
}
func (m *memory) EachUser(_ context.Context, f func(record.User) error) error {
	return each(m, m.users, f)
}
func (m *memory) EachBudget(_ context.Context, f func(record.Budget) error) error {
	return each(m, m.budgets, f)
}

func (m *memory) Watch(ctx context.Context, f func(record.Change)) error {
	m.mu.Lock()
	m.watch = append(m.watch, f)
	m.mu.Unlock()
	f(record.Change{Kind: record.All})
	<-ctx.Done()
	return ctx.Err()
}

const master = "sk-master-0123456789abcdef"

// loaded is an index over the store.
func loaded(t testing.TB, m *memory, o access.Options) *access.Index {
	t.Helper()
	o.Store, o.NotFound = m, errNotFound
	x := access.New(o)
	x.SetMaster(master)
	if err := x.Load(context.Background()); err != nil {
		t.Fatal(err)
	}
	return x
}

func bearing(key string) func(string) string { return headers{"authorization": "Bearer " + key}.get }

// as is the principal of a key of the store, which must be good.
func as(t testing.TB, x *access.Index, name string) access.Principal {
	t.Helper()
	p, denial := x.Authenticate(bearing(secretOf(name)))
	if denial != nil {
		t.Fatal(denial)
	}
	return p
}
