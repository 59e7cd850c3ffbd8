package store_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/nestor-gateway/nestor/access/store"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// got is the value of a call that must not fail.
func got[T any](value T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		must(t, err)
		return value
	}
}

func equal[T any](t testing.TB, want, got T, options ...cmp.Option) {
	t.Helper()
	if diff := cmp.Diff(want, got, options...); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

func fails(t testing.TB, err, want error, text string) {
	t.Helper()
	if !errors.Is(err, want) || !strings.Contains(err.Error(), text) {
		t.Errorf("error %v, want one that is %q and says %q", err, want, text)
	}
}

func sorted() cmp.Option { return cmpopts.SortSlices(strings.Compare) }

func withoutTime() cmp.Option {
	return cmpopts.IgnoreTypes(time.Time{})
}

func all[T any](t testing.TB, each func(context.Context, func(T) error) error) (found []T) {
	t.Helper()
	must(t, each(ctx(), func(r T) error { found = append(found, r); return nil }))
	return found
}

func tokens(t testing.TB, s *store.Store, q store.KeyQuery) (found []string) {
	t.Helper()
	keys, _, err := s.Keys(ctx(), q)
	must(t, err)
	for _, k := range keys {
		found = append(found, k.Token)
	}
	return found
}
