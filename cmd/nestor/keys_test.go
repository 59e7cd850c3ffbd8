package main

import (
	"bytes"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

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

// onCommandLine is what nestor prints, read as JSON.
func onCommandLine(t *testing.T, args ...string) any {
	t.Helper()
	var out bytes.Buffer
	c := rootCommand()
	c.SetArgs(args)
	c.SetOut(&out)
	if err := c.ExecuteContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	return parsed(t, &out)
}

func parsed(t *testing.T, r io.Reader) (v any) {
	t.Helper()
	if err := json.NewDecoder(r).Decode(&v); err != nil {
		t.Fatal(err)
	}
	return v
}

func TestKeysInJSONAreWhatTheAPISays(t *testing.T) {
	t.Setenv("NESTOR_MASTER_KEY", managedKey)
	address := serveKeys(t)
	nestor := func(args ...string) any {
		t.Helper()
		return onCommandLine(t, append([]string{"keys", "--json", "--address", address}, args...)...)
	}
	api := func(path string) any {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+address+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("X-Api-Key", managedKey)
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = answer.Body.Close() }()
		return parsed(t, answer.Body)
	}
	if none := nestor("list"); !cmp.Equal(none, any([]any{})) {
		t.Errorf("without keys there are %v", none)
	}
	made := nestor("generate", "--alias", "a", "--max-budget", "0.1", "--tag", "<x>").(map[string]any)
	token := made["token"].(string)
	if team, there := made["team_id"]; !there || team != nil || made["key"] == nil {
		t.Errorf("generate prints %v", made)
	}
	for name, tc := range map[string]struct{ got, want any }{
		"info":  {nestor("info", "a"), api("/key/info?key=" + token)},
		"list":  {nestor("list"), api("/key/list?return_full_object=true").(map[string]any)["keys"]},
		"block": {nestor("block", "a"), api("/key/list?return_full_object=true").(map[string]any)["keys"].([]any)[0]},
	} {
		if diff := cmp.Diff(tc.want, tc.got); diff != "" {
			t.Errorf("%s (-API +printed):\n%s", name, diff)
		}
	}
	if diff := cmp.Diff(any(map[string]any{"deleted_keys": []any{token}}), nestor("delete", "a")); diff != "" {
		t.Error(diff)
	}
}
