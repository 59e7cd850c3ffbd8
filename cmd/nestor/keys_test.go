package main

import (
	"log/slog"
	"net/http/httptest"
	"path/filepath"
	"testing"
	"time"

	"github.com/nestor-gateway/nestor/access"
	"github.com/nestor-gateway/nestor/access/store"
	"github.com/nestor-gateway/nestor/api/manage"
)

const managedKey = "sk-the-master-key-of-scripts"

// serveKeys serves the management routes over a database of its own, and returns its address.
func serveKeys(t *testing.T) string {
	t.Helper()
	records, err := store.Open(t.Context(), store.Options{File: filepath.Join(t.TempDir(), "nestor.db")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = records.Close() })
	index := access.New(access.Options{Store: records, NotFound: store.ErrNotFound})
	index.SetMaster(managedKey)
	server := httptest.NewServer(manage.New(manage.Options{
		Store: records,
		Auth:  func() manage.Authenticator { return index },
		Apply: index.Apply,
		Now:   time.Now,
		Log:   slog.New(slog.DiscardHandler),
	}))
	t.Cleanup(server.Close)
	return server.Listener.Addr().String()
}
