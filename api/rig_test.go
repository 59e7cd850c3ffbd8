package api_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/nestor-gateway/nestor/access"
	"github.com/nestor-gateway/nestor/api"
	"github.com/nestor-gateway/nestor/routing"
	"github.com/nestor-gateway/nestor/routing/config"
)

// providers takes "provider/model" apart and leaves addresses as they are.
type providers struct{}

func (providers) Split(written, custom string) (provider, model string, err error) {
	if provider, model, ok := strings.Cut(written, "/"); ok && custom == "" {
		return provider, model, nil
	}
	return custom, written, nil
}

func (providers) IsPrefix(word string) bool { return word == "openai" || word == "azure" }

func (providers) Lacks(string) uint8 { return 0 }

func (providers) Base(provider, apiBase string) (*url.URL, error) {
	if apiBase == "" {
		apiBase = "https://" + provider + ".example"
	}
	u, err := url.Parse(apiBase)
	if err != nil {
		return nil, err
	}
	return &url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}, nil
}

func snapshotOf(t *testing.T, text string) *routing.Snapshot {
	t.Helper()
	cfg, err := config.Decode("config.yaml", []byte(text), func(string) (string, bool) { return "", false })
	if err != nil {
		t.Fatal(err)
	}
	snapshot, _, err := routing.Compile(cfg, providers{})
	if err != nil {
		t.Fatal(err)
	}
	return snapshot
}

const masterKey = "sk-master"

// options are those of a port over a config, with a gateway that must not be asked.
func options(t *testing.T, text string) api.Options {
	snapshot := snapshotOf(t, text)
	return api.Options{
		View:         routing.NewRouter(routing.NewTracker(time.Now), nil, snapshot).View,
		Auth:         func() api.Authenticator { return access.NewMaster(masterKey) },
		Ready:        func() error { return nil },
		ProbeTarget:  "http://127.0.0.1:1",
		ProbeSecret:  "probe-secret",
		ProbeTimeout: 10 * time.Second,
		Metrics:      http.NotFoundHandler(),
		Log:          slog.New(slog.NewTextHandler(io.Discard, nil)),
	}
}

func port(t *testing.T, text string) http.Handler { return api.New(options(t, text)) }

// ask sends a request with the master key.
func ask(h http.Handler, method, path string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, nil)
	r.Header.Set("Authorization", "Bearer "+masterKey)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// reply is an answer with its body decoded.
type reply struct {
	Status int
	Body   any
}

func replyOf(t *testing.T, w *httptest.ResponseRecorder) reply {
	t.Helper()
	if got := w.Header().Get("Content-Type"); got != "application/json" {
		t.Errorf("content-type %q", got)
	}
	return reply{w.Code, parse(t, w.Body.String())}
}

func parse(t *testing.T, text string) any {
	t.Helper()
	var v any
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	return v
}

func get(t *testing.T, h http.Handler, path string) reply {
	t.Helper()
	return replyOf(t, ask(h, http.MethodGet, path))
}

func mustEqual(t *testing.T, want, got any) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// failure is an error answer in the OpenAI shape.
func failure(status int, message, kind string, param, code any) reply {
	return reply{status, map[string]any{"error": map[string]any{
		"message": message, "type": kind, "param": param, "code": code,
	}}}
}

var errNotReady = errors.New("no Envoy is up yet")

func modelRows(names ...string) any {
	rows := []any{}
	for _, name := range names {
		rows = append(rows, map[string]any{"id": name, "object": "model", "created": 1677610602.0, "owned_by": "openai"})
	}
	return map[string]any{"object": "list", "data": rows}
}

// column takes one member out of every row of a list.
func column(t *testing.T, r reply, names ...string) []string {
	t.Helper()
	values := []string{}
	for _, row := range r.Body.(map[string]any)["data"].([]any) {
		cells := []string{}
		for _, name := range names {
			var v any = row
			for part := range strings.SplitSeq(name, ".") {
				v = v.(map[string]any)[part]
			}
			cells = append(cells, fmt.Sprint(v))
		}
		values = append(values, strings.Join(cells, " "))
	}
	return values
}
