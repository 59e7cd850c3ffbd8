package test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/nestor-gateway/nestor/cmd/nestor/mock"
)

// upstream is a mock provider in this process.
type upstream struct {
	*mock.Server
	url string
}

// provide starts a mock that keeps what it gets.
func provide(t *testing.T, name string) *upstream {
	t.Helper()
	return provideAs(t, mock.Options{Name: name, Record: 1000})
}

func provideAs(t *testing.T, o mock.Options) *upstream {
	t.Helper()
	s := mock.New(o)
	server := httptest.NewServer(s)
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	return &upstream{s, server.URL}
}

// total is how many requests arrived.
func (u *upstream) total() int { return u.Report().Total }

// last is the request that arrived last.
func (u *upstream) last(t *testing.T) mock.Request {
	t.Helper()
	requests := u.Report().Requests
	if len(requests) == 0 {
		t.Fatal("the provider got no request")
	}
	return requests[len(requests)-1]
}

// yaml puts addresses into a config: $A becomes the address of the first upstream, $B of the second...
func yaml(text string, upstreams ...*upstream) string {
	for i, u := range upstreams {
		text = strings.ReplaceAll(text, "$"+string(rune('A'+i)), u.url)
	}
	return text
}

// httpClient returns a client of its own connections, closed with the test.
func httpClient(t *testing.T) *http.Client {
	t.Helper()
	transport := &http.Transport{
		MaxIdleConnsPerHost: 1000, DisableCompression: true,
		DialContext: (&net.Dialer{Timeout: 5 * time.Second}).DialContext,
	}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: 60 * time.Second}
}

// reply is a whole response.
type reply struct {
	Status int
	Header http.Header
	Body   string
}

// problem is an error in OpenAI's shape.
type problem struct {
	Message string
	Type    string
	Param   *string
	Code    *string
}

// problem reads the error of a reply, strictly: these four members and no others.
func (r reply) problem(t *testing.T) problem {
	t.Helper()
	if kind := r.Header.Get("Content-Type"); !strings.HasPrefix(kind, "application/json") {
		t.Errorf("an error of content type %q", kind)
	}
	var members struct{ Error map[string]json.RawMessage }
	if err := json.Unmarshal([]byte(r.Body), &members); err != nil {
		t.Fatalf("status %d with %q, want an error in OpenAI's shape: %v", r.Status, r.Body, err)
	}
	for _, name := range []string{"message", "type", "param", "code"} {
		if _, ok := members.Error[name]; !ok {
			t.Fatalf("status %d: no %q in %s", r.Status, name, r.Body)
		}
	}
	var whole struct{ Error problem }
	if err := json.Unmarshal([]byte(r.Body), &whole); err != nil || len(members.Error) != 4 || whole.Error.Message == "" {
		t.Fatalf("status %d with %s, want an error in OpenAI's shape (%v)", r.Status, r.Body, err)
	}
	return whole.Error
}

// do sends a request and reads the whole response.
func do(c *http.Client, method, url, body string, headers ...string) (reply, error) {
	return doWith(context.Background(), c, method, url, body, headers...)
}

func doWith(ctx context.Context, c *http.Client, method, url, body string, headers ...string) (reply, error) {
	request, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		return reply{}, err
	}
	if body != "" {
		request.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	response, err := c.Do(request)
	if err != nil {
		return reply{}, err
	}
	defer response.Body.Close()
	var b bytes.Buffer
	_, err = b.ReadFrom(response.Body)
	return reply{response.StatusCode, response.Header, b.String()}, err
}

// post sends JSON to the gateway; a broken connection fails the test.
func (g *gateway) post(path, body string, headers ...string) reply {
	g.t.Helper()
	return g.send(http.MethodPost, path, body, headers...)
}

func (g *gateway) get(path string, headers ...string) reply {
	g.t.Helper()
	return g.send(http.MethodGet, path, "", headers...)
}

func (g *gateway) send(method, path, body string, headers ...string) reply {
	g.t.Helper()
	got, err := do(httpClient(g.t), method, g.url+path, body, headers...)
	if err != nil {
		g.t.Fatalf("%s %s: %v (so far: %+v)", method, path, err, got)
	}
	return got
}

// chat asks for a model with the plan of a mock in `user`.
func (g *gateway) chat(model, plan string, headers ...string) reply {
	g.t.Helper()
	return g.post("/v1/chat/completions", ask(model, plan), headers...)
}

// ask is the body of a chat request; fields are further members of it, each with its comma.
func ask(model, plan string, fields ...string) string {
	return `{"model":"` + model + `","messages":[{"role":"user","content":"hello"}],"user":"mock:` + plan + `"` + strings.Join(fields, "") + `}`
}

const asStream = `,"stream":true`

// secondsToSettle is how long what the access log brings may take.
const secondsToSettle = 5 * time.Second

// succeeds fails the test unless the reply is a good answer of the mock.
func (r reply) succeeds(t *testing.T) reply {
	t.Helper()
	if r.Status != http.StatusOK || !strings.Contains(r.Body, mock.Content(0, 0)) {
		t.Fatalf("status %d, want a good answer: %s", r.Status, r.Body)
	}
	return r
}

// events splits a stream of server-sent events into their data.
func events(stream string) []string {
	var data []string
	for part := range strings.SplitSeq(strings.ReplaceAll(stream, "\r\n", "\n"), "\n\n") {
		if rest, ok := strings.CutPrefix(part, "data: "); ok {
			data = append(data, rest)
		}
	}
	return data
}

// spoken is the text in a stream, and whether the stream came to its end.
func spoken(stream string) (content string, done bool) {
	var b strings.Builder
	for _, data := range events(stream) {
		var event struct {
			Choices []struct{ Delta struct{ Content string } }
		}
		if data == "[DONE]" {
			done = true
		} else if json.Unmarshal([]byte(data), &event) == nil && len(event.Choices) > 0 {
			b.WriteString(event.Choices[0].Delta.Content)
		}
	}
	return b.String(), done
}

// members are those of a JSON object, as written.
func members(t *testing.T, object string) map[string]string {
	t.Helper()
	var raw map[string]json.RawMessage
	if err := json.Unmarshal([]byte(object), &raw); err != nil {
		t.Fatalf("%v in %s", err, object)
	}
	found := map[string]string{}
	for name, value := range raw {
		found[name] = string(value)
	}
	return found
}

// elements are those of a JSON list, as written.
func elements(t *testing.T, list string) []string {
	t.Helper()
	var raw []json.RawMessage
	if err := json.Unmarshal([]byte(list), &raw); err != nil {
		t.Fatalf("%v in %s", err, list)
	}
	found := make([]string, len(raw))
	for i, value := range raw {
		found[i] = string(value)
	}
	return found
}

// closeLater closes a body after a few seconds, so that a read of it ends; stop closes it now.
func closeLater(body io.Closer) (stop func()) {
	timer := time.AfterFunc(3*time.Second, func() { _ = body.Close() })
	return func() {
		timer.Stop()
		_ = body.Close()
	}
}
