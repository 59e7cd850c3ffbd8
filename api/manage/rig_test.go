package manage_test

import (
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/nestor-gateway/nestor/access"
	"github.com/nestor-gateway/nestor/access/store"
	"github.com/nestor-gateway/nestor/api/manage"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const master = "sk-the-master-key-of-tests"

// rig is the routes over a real SQLite database.
type rig struct {
	t       *testing.T
	handler *manage.Handler
	store   *store.Store
	index   *access.Index
	file    string
	now     time.Time
	allowed []netip.Prefix
	log     strings.Builder
}

func newRig(t *testing.T) *rig {
	r := &rig{t: t, file: filepath.Join(t.TempDir(), "nestor.db"), now: time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)}
	clock := func() time.Time { return r.now }
	var err error
	r.store, err = store.Open(t.Context(), store.Options{File: r.file, Now: clock})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.store.Close() })
	r.index = access.New(access.Options{Store: r.store, NotFound: store.ErrNotFound, Now: clock})
	r.index.SetMaster(master)
	r.handler = manage.New(manage.Options{
		Store:    r.store,
		Auth:     func() manage.Authenticator { return r.index },
		Apply:    r.index.Apply,
		Allows:   r.index.Allows,
		Networks: func() []netip.Prefix { return r.allowed },
		Now:      clock,
		Log:      slog.New(slog.NewTextHandler(&r.log, nil)),
	})
	return r
}

// reply is an answer with its body decoded.
type reply struct {
	Status int
	Body   any
}

func (r *rig) ask(key, method, path, body string) reply {
	r.t.Helper()
	request := httptest.NewRequest(method, path, strings.NewReader(body))
	if key != "" {
		request.Header.Set("Authorization", "Bearer "+key)
	}
	return r.send(request)
}

func (r *rig) send(request *http.Request) reply {
	r.t.Helper()
	w := httptest.NewRecorder()
	r.handler.ServeHTTP(w, request)
	text, err := io.ReadAll(w.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	var v any
	if err := json.Unmarshal(text, &v); err != nil {
		r.t.Fatalf("%v in %s", err, text)
	}
	return reply{w.Code, v}
}

func (r *rig) post(path, body string) reply {
	r.t.Helper()
	return r.ask(master, http.MethodPost, path, body)
}

func (r *rig) get(path string) reply {
	r.t.Helper()
	return r.ask(master, http.MethodGet, path, "")
}

// object is a JSON object as decoded.
type object = map[string]any

// done returns the body of an answer that must be 200.
func (r *rig) done(got reply) object {
	r.t.Helper()
	if got.Status != http.StatusOK {
		r.t.Fatalf("status %d: %v", got.Status, got.Body)
	}
	body, _ := got.Body.(object)
	return body
}

// generate makes a key and returns it.
func (r *rig) generate(body string) string {
	r.t.Helper()
	return r.done(r.post("/key/generate", body))["key"].(string)
}

// pick leaves some members of an object.
func pick(o any, names ...string) object {
	picked := object{}
	for _, name := range names {
		v, ok := o.(object)[name]
		if ok {
			picked[name] = v
		}
	}
	return picked
}

// column takes one member of every object of a list.
func column(list any, name string) []any {
	values := []any{}
	for _, row := range list.([]any) {
		values = append(values, row.(object)[name])
	}
	return values
}

func mustEqual(t *testing.T, want, got any) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func failure(status int, kind, message string, param, code any) reply {
	return reply{status, object{"error": object{"message": message, "type": kind, "param": param, "code": code}}}
}

func bad(param any, message string) reply {
	return failure(400, "bad_request_error", message, param, "400")
}

func forbidden(message string) reply { return failure(403, "auth_error", message, nil, "403") }

func missing(param any, message string) reply {
	return failure(404, "not_found_error", message, param, "404")
}
