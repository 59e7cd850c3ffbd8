package mock_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"go.uber.org/goleak"

	"github.com/nestor-gateway/nestor/cmd/nestor/mock"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// start serves a mock until the test ends, and returns its address.
func start(t *testing.T, o mock.Options) (*mock.Server, string) {
	t.Helper()
	s := mock.New(o)
	server := httptest.NewServer(s)
	t.Cleanup(func() {
		http.DefaultClient.CloseIdleConnections()
		server.Close()
	})
	return s, server.URL
}

// answer is a whole response.
type answer struct {
	Status int
	Type   string
	Body   string
	Err    error
}

func post(t *testing.T, url, body string) (answer, http.Header) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultTransport.RoundTrip(request)
	if err != nil {
		return answer{Err: err}, nil
	}
	defer response.Body.Close()
	got, err := io.ReadAll(response.Body)
	return answer{response.StatusCode, response.Header.Get("Content-Type"), string(got), err}, response.Header
}

func TestChatAnswersInTheShapeOfOpenAI(t *testing.T) {
	_, url := start(t, mock.Options{})
	for _, path := range []string{
		"/v1/chat/completions", "/chat/completions", "/openai/v1/chat/completions",
		"/openai/deployments/m/chat/completions?api-version=2024-06-01",
	} {
		got, _ := post(t, url+path, `{"model":"m \"x\"","messages":[{"role":"user","content":"hello"}]}`)
		want := `{"object":"chat.completion","created":1700000000,"model":"m \"x\"","choices":[{"index":0,"message":` +
			`{"role":"assistant","content":"Nestor carries every word of this answer Nestor ","refusal":null},"logprobs":null,` +
			`"finish_reason":"stop"}],"usage":{"prompt_tokens":9,"completion_tokens":8,"total_tokens":17}}`
		if diff := cmp.Diff(answer{200, "application/json", want, nil}, withoutID(t, got)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", path, diff)
		}
	}
}

// withoutID takes the id out, which differs from answer to answer.
func withoutID(t *testing.T, a answer) answer {
	t.Helper()
	id, rest, found := strings.Cut(strings.TrimPrefix(a.Body, "{"), ",")
	if !found || !strings.HasPrefix(id, `"id":"`) {
		t.Fatalf("no id in %q", a.Body)
	}
	a.Body = "{" + rest
	return a
}

func TestTheModelOfAnAzurePathStandsInForTheBody(t *testing.T) {
	s, url := start(t, mock.Options{Record: 1})
	post(t, url+"/openai/deployments/my%20gpt/completions?api-version=1", `{"prompt":"x"}`)
	got := s.Report().Requests[0]
	want := mock.Request{
		Proto: "HTTP/1.1", Method: "POST", Host: strings.TrimPrefix(url, "http://"),
		Target: "/openai/deployments/my%20gpt/completions?api-version=1", Model: "my gpt",
		Header: http.Header{"Accept-Encoding": {"gzip"}, "Content-Length": {"14"}, "User-Agent": {"Go-http-client/1.1"}},
		Bytes:  14, SHA256: "b2c6fa432c7431184bb3a2e6a832348f92d09418f9dafb8f08bca2d429282ce2", Body: `{"prompt":"x"}`,
	}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(mock.Request{}, "At")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestStreams(t *testing.T) {
	_, url := start(t, mock.Options{})
	chunk := func(rest string) string {
		return `{"id":"","object":"chat.completion.chunk","created":1700000000,"model":"m","choices":` + rest + `}`
	}
	head := `[{"index":0,"delta":{"role":"assistant","content":"Nestor "},"logprobs":null,"finish_reason":null}]`
	next := `[{"index":0,"delta":{"content":"carries "},"logprobs":null,"finish_reason":null}]`
	last := `[{"index":0,"delta":{},"logprobs":null,"finish_reason":"stop"}]`
	tests := []struct {
		name, fields string
		want         []string
	}{
		{"plain", `"user":"mock:events=2"`, []string{chunk(head), chunk(next), chunk(last), "[DONE]"}},
		{"one write an event", `"user":"mock:events=2;gap=1ms"`, []string{chunk(head), chunk(next), chunk(last), "[DONE]"}},
		{"usage asked for", `"user":"mock:events=1","stream_options":{"include_usage":true}`, []string{
			chunk(head + `,"usage":null`), chunk(last + `,"usage":null`),
			chunk(`[],"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}`), "[DONE]",
		}},
		{"usage in every event", `"user":"mock:events=2;usage=every"`, []string{
			chunk(head + `,"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}`),
			chunk(next + `,"usage":{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3}`),
			chunk(last + `,"usage":{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3}`), "[DONE]",
		}},
		{"usage withheld", `"user":"mock:events=1;usage=none","stream_options":{"include_usage":true}`, []string{
			chunk(head), chunk(last), "[DONE]",
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, _ := post(t, url+"/v1/chat/completions", `{"model":"m","messages":[],"stream":true,`+test.fields+`}`)
			want := answer{200, "text/event-stream", "data: " + strings.Join(test.want, "\n\ndata: ") + "\n\n", nil}
			got.Body = eraseIDs(got.Body)
			if diff := cmp.Diff(want, got, cmpopts.EquateErrors()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// eraseIDs empties the ids of the events.
func eraseIDs(stream string) string {
	lines := strings.Split(stream, "\n")
	for i, line := range lines {
		if head, rest, ok := strings.Cut(line, `"id":"`); ok {
			_, rest, _ = strings.Cut(rest, `"`)
			lines[i] = head + `"id":""` + rest
		}
	}
	return strings.Join(lines, "\n")
}

func TestTheFormOfAStreamCanBeChanged(t *testing.T) {
	_, url := start(t, mock.Options{})
	body := `{"model":"m","stream":true,"stream_options":{"include_usage":true},"user":"mock:events=1;`
	plain, _ := post(t, url+"/chat/completions", body+`"}`)
	text := eraseIDs(plain.Body)
	tests := []struct {
		plan string
		want string
	}{
		{"crlf", strings.ReplaceAll(text, "\n", "\r\n")},
		{"unended", strings.TrimSuffix(text, "\n\n")},
		{"split=20", text},
		{"spaced", strings.NewReplacer(`":`, `": `, `,"`, `, "`, `[]`, `[ ]`).Replace(text)},
	}
	for _, test := range tests {
		t.Run(test.plan, func(t *testing.T) {
			got, _ := post(t, url+"/chat/completions", body+test.plan+`"}`)
			got.Body = eraseIDs(strings.ReplaceAll(got.Body, `"id": "`, `"id":"`))
			want := strings.ReplaceAll(test.want, `"id": "`, `"id":"`)
			if diff := cmp.Diff(want, got.Body); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestEmbeddings(t *testing.T) {
	_, url := start(t, mock.Options{})
	numbers, err := json.Marshal(mock.Vector(3))
	if err != nil {
		t.Fatal(err)
	}
	inputs := map[string]int{`"text"`: 1, `["a","b"]`: 2, `[1,2,3]`: 1, `[[1,2],[3]]`: 2}
	for input, count := range inputs {
		got, _ := post(t, url+"/v1/embeddings", `{"model":"e","dimensions":3,"input":`+input+`}`)
		var parsed struct {
			Data []struct {
				Index     int
				Embedding json.RawMessage
			}
			Usage struct{ Prompt_tokens, Total_tokens int }
		}
		if err := json.Unmarshal([]byte(got.Body), &parsed); err != nil {
			t.Fatalf("input %s: %v in %s", input, err, got.Body)
		}
		if len(parsed.Data) != count || !bytes.Equal(parsed.Data[count-1].Embedding, numbers) {
			t.Errorf("input %s: got %s, want %d times %s", input, got.Body, count, numbers)
		}
		if tokens := (len(input) + 3) / 4; parsed.Usage.Prompt_tokens != tokens || parsed.Usage.Total_tokens != tokens {
			t.Errorf("input %s: usage %+v, want %d", input, parsed.Usage, tokens)
		}
	}
}

func TestEmbeddingsInBase64AreLittleEndianFloats(t *testing.T) {
	_, url := start(t, mock.Options{})
	got, _ := post(t, url+"/v1/embeddings", `{"model":"e","dimensions":1,"input":"x","encoding_format":"base64"}`)
	var parsed struct{ Data []struct{ Embedding string } }
	if err := json.Unmarshal([]byte(got.Body), &parsed); err != nil {
		t.Fatal(err)
	}
	raw, err := base64.StdEncoding.DecodeString(parsed.Data[0].Embedding)
	if err != nil {
		t.Fatal(err)
	}
	// 0.084147096 is 0x3dac5550 as a float32.
	if want := []byte{0x50, 0x55, 0xac, 0x3d}; !bytes.Equal(raw, want) {
		t.Errorf("got % x, want % x", raw, want)
	}
}
