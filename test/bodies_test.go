package test

import (
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestABodyWithTwoMeaningsIsRefusedAndNeverSentOn(t *testing.T) {
	t.Parallel()
	a := provide(t, "a")
	g := run(t, yaml(oneDeployment, a))
	bodies := map[string]string{
		"model twice":                `{"model":"gpt","model":"gpt"}`,
		"model as an escaped key":    `{"mod\u0065l":"gpt"}`,
		"model and an escaped twin":  `{"model":"gpt","mod\u0065l":"other"}`,
		"stream twice":               `{"model":"gpt","stream":false,"stream":true}`,
		"stream as an escaped key":   `{"model":"gpt","\u0073tream":true}`,
		"stream_options twice":       `{"model":"gpt","stream_options":{},"stream_options":{"include_usage":true}}`,
		"include_usage twice":        `{"model":"gpt","stream":true,"stream_options":{"include_usage":false,"include_usage":true}}`,
		"max_tokens twice":           `{"model":"gpt","max_tokens":1,"max_tokens":2}`,
		"max_completion_tokens":      `{"model":"gpt","max_completion_tokens":1,"max_completion_tokens":2}`,
		"n twice":                    `{"model":"gpt","n":1,"n":2}`,
		"n as an escaped key":        `{"model":"gpt","\u006e":2}`,
		"no model":                   `{"messages":[]}`,
		"an empty model":             `{"model":""}`,
		"a number as model":          `{"model":5}`,
		"null as model":              `{"model":null}`,
		"a list as model":            `{"model":["gpt"]}`,
		"CR in the model":            `{"model":"gpt\r"}`,
		"LF in the model":            `{"model":"gpt\n"}`,
		"an escaped NUL":             `{"model":"gpt\u0000"}`,
		"a raw line feed in a name":  "{\"model\":\"g\npt\"}",
		"invalid UTF-8":              "{\"model\":\"gpt\",\"x\":\"\xff\"}",
		"invalid UTF-8 in the model": "{\"model\":\"gpt\xc3\"}",
		"a byte order mark":          "\xef\xbb\xbf{\"model\":\"gpt\"}",
		"trailing bytes":             `{"model":"gpt"} x`,
		"a second object":            `{"model":"gpt"}{"model":"gpt"}`,
		"a trailing comma":           `{"model":"gpt",}`,
		"an unfinished object":       `{"model":"gpt"`,
		"an unfinished string":       `{"model":"gpt`,
		"a list":                     `[{"model":"gpt"}]`,
		"a string":                   `"gpt"`,
		"no JSON":                    `model=gpt`,
		"only spaces":                `   `,
	}
	for name, body := range bodies {
		t.Run(name, func(t *testing.T) {
			got := g.post("/v1/chat/completions", body)
			if got.Status != http.StatusBadRequest {
				t.Errorf("status %d, want 400: %s", got.Status, got.Body)
			}
			if kind := got.problem(t).Type; kind != "invalid_request_error" {
				t.Errorf("type %q, want invalid_request_error", kind)
			}
		})
	}
	if n := a.total(); n != 0 {
		t.Errorf("the provider was called %d times: %+v", n, a.Report().Requests)
	}
}

// The body of the curl example in the LiteLLM guide that seeds this project has commas too many.
func TestATrailingCommaIsNamedWithItsByte(t *testing.T) {
	t.Parallel()
	a := provide(t, "a")
	g := run(t, yaml(oneDeployment, a))
	body := "{\n\"model\": \"gpt\",\n\"messages\": [\n{\n\"role\": \"user\",\n\"content\": \"what llm are you\"\n}\n],\n}\n"
	got := g.post("/chat/completions", body)
	// The byte that cannot stand there is the closing brace; some would name the comma.
	at := strings.LastIndex(body, "}")
	message := got.problem(t).Message
	if got.Status != http.StatusBadRequest || !strings.Contains(message, strconv.Itoa(at)) && !strings.Contains(message, strconv.Itoa(at+1)) {
		t.Errorf("status %d: %q does not name byte %d", got.Status, message, at)
	}
}

func TestTheRestOfABodyStaysByteForByte(t *testing.T) {
	t.Parallel()
	a := provide(t, "a")
	g := run(t, yaml(oneDeployment, a))
	bodies := map[string]string{
		"numbers":         `{"model":"gpt","a":1.0,"b":1e400,"c":-0,"d":12345678901234567890123,"e":0.1000}`,
		"white space":     " \t\r\n{ \"x\" :\n1 ,\t\"model\"\r\n:  \"gpt\"  , \"y\":[ ] }\n ",
		"order":           `{"z":1,"a":2,"model":"gpt","m":3,"b":4}`,
		"unknown fields":  `{"model":"gpt","extra_body":{"model":"other","stream":1},"list":[{"model":"x","model":"y"}]}`,
		"twice elsewhere": `{"model":"gpt","a":1,"a":2}`,
		"escapes":         `{"model":"gpt","text":"\u00e9\ud83d\ude00\/\"\\ \u0000 é 😀","\u0061b":1}`,
		"deep":            `{"model":"gpt","deep":` + strings.Repeat("[", 200) + strings.Repeat("]", 200) + `}`,
	}
	for name, body := range bodies {
		t.Run(name, func(t *testing.T) {
			if got := g.post("/v1/chat/completions", body); got.Status != http.StatusOK {
				t.Fatalf("status %d: %s", got.Status, got.Body)
			}
			want := strings.Replace(body, `"gpt"`, `"gpt-mini"`, 1)
			if diff := cmp.Diff(want, a.last(t).Body); diff != "" {
				t.Errorf("the provider got (-want +got):\n%s", diff)
			}
		})
	}
}

func TestAnEscapedModelIsTheModelItMeans(t *testing.T) {
	t.Parallel()
	a := provide(t, "a")
	g := run(t, yaml(oneDeployment, a))
	got := g.post("/v1/chat/completions", `{"model":"g\u0070t","x":1}`)
	if body := a.last(t).Body; got.Status != http.StatusOK || body != `{"model":"gpt-mini","x":1}` {
		t.Errorf("status %d, the provider got %s", got.Status, body)
	}
}

func TestConfiguredParametersAreMergedIntoABodyThatLacksThem(t *testing.T) {
	t.Parallel()
	a := provide(t, "a")
	g := run(t, yaml(`
model_list:
  - model_name: gpt
    litellm_params: {model: openai/gpt-mini, api_base: $A/v1, api_key: k, temperature: 0.5, max_tokens: 7}
`, a))
	tests := map[string]map[string]string{
		`{"model":"gpt"}`:                                {"temperature": "0.5", "max_tokens": "7"},
		`{"model":"gpt","temperature":1}`:                {"temperature": "1", "max_tokens": "7"},
		`{"model":"gpt","max_tokens":3,"temperature":2}`: {"temperature": "2", "max_tokens": "3"},
	}
	for body, want := range tests {
		g.post("/v1/chat/completions", body).succeeds(t)
		got := members(t, a.last(t).Body)
		if diff := cmp.Diff(want, map[string]string{"temperature": got["temperature"], "max_tokens": got["max_tokens"]}); diff != "" {
			t.Errorf("%s (-want +got):\n%s", body, diff)
		}
	}
}

func TestFieldsOfLiteLLMAreCutFromWhatIsSentOn(t *testing.T) {
	t.Parallel()
	a := provide(t, "a")
	g := run(t, yaml(oneDeployment, a))
	g.post("/v1/chat/completions", `{"fallbacks":["gpt"],"model":"gpt","num_retries":1,"messages":[],"timeout":5}`).succeeds(t)
	if diff := cmp.Diff(map[string]string{"model": `"gpt-mini"`, "messages": "[]"}, members(t, a.last(t).Body)); diff != "" {
		t.Errorf("the provider got (-want +got):\n%s", diff)
	}
}

func TestUsageIsAskedForInStreamsAndTakenOutAgain(t *testing.T) {
	t.Parallel()
	a := provide(t, "a")
	g := run(t, yaml(oneDeployment, a))
	tests := []struct {
		name, fields, options string
		events                int // those that the client gets
	}{
		{"not asked for", `"stream":true`, `{"include_usage":true}`, 10},
		{"declined", `"stream":true,"stream_options":{"include_usage":false}`, `{"include_usage":true}`, 10},
		{"other options", `"stream":true,"stream_options":{"include_obfuscation":false}`, `{"include_obfuscation":false,"include_usage":true}`, 10},
		{"asked for", `"stream":true,"stream_options":{"include_usage":true}`, `{"include_usage":true}`, 11},
		{"no stream", `"stream":false`, ``, 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got := g.post("/v1/chat/completions", `{"model":"gpt","messages":[],`+test.fields+`}`)
			if got.Status != http.StatusOK || len(events(got.Body)) != test.events {
				t.Errorf("status %d, %d events, want %d: %s", got.Status, len(events(got.Body)), test.events, got.Body)
			}
			want := map[string]string{}
			if test.options != "" {
				want = members(t, test.options)
			}
			options := members(t, a.last(t).Body)["stream_options"]
			if options == "" {
				options = "{}"
			}
			if diff := cmp.Diff(want, members(t, options)); diff != "" {
				t.Errorf("stream_options (-want +got):\n%s", diff)
			}
		})
	}
}
