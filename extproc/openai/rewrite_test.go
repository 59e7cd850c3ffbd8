package openai

import (
	"bytes"
	"encoding/json"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/nestor-gateway/nestor/routing/config"
)

func rewrite(t testing.TB, body string, e Edits) string {
	t.Helper()
	f, err := Scan([]byte(body))
	if err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	out := f.Rewrite([]byte(body), e)
	return string(out)
}

func TestRewriteChangesOnlyWhatItMust(t *testing.T) {
	to, usage := Edits{Model: "x"}, Edits{Model: "x", IncludeUsage: true}
	defaults := Edits{Model: "x", Defaults: []config.Field{{Name: "temperature", JSON: json.RawMessage("0.5")}, {Name: "user", JSON: json.RawMessage(`"u"`)}}}
	for _, c := range []struct {
		name, body string
		edits      Edits
		want       string
	}{
		{"nothing to do", ` { "model":"x" } `, to, ` { "model":"x" } `},
		{"no model given", `{"model":"a"}`, Edits{}, `{"model":"a"}`},
		{"model", "{ \"a\" : 1.0e0 ,\n\"model\"\t: \"fast\",\"a\":1}", to, "{ \"a\" : 1.0e0 ,\n\"model\"\t: \"x\",\"a\":1}"},
		{"escaped model", `{"model":"a\u0062"}`, to, `{"model":"x"}`},
		{"model to be escaped", `{"model":"a"}`, Edits{Model: "q\"\\é"}, `{"model":"q\"\\é"}`},
		{"no model", `{"messages":[] }`, to, `{"messages":[],"model":"x" }`},
		{"no member", `{ }`, to, `{"model":"x" }`},

		{"usage of no stream", `{"model":"a"}`, usage, `{"model":"x"}`},
		{"usage, no options", `{"model":"a","stream":true}`, usage, `{"model":"x","stream":true,"stream_options":{"include_usage":true}}`},
		{"usage, null", `{"stream_options":null,"model":"a","stream":true}`, usage, `{"stream_options":{"include_usage":true},"model":"x","stream":true}`},
		{"usage, empty", `{"stream":true,"stream_options":{ },"model":"a"}`, usage, `{"stream":true,"stream_options":{"include_usage":true },"model":"x"}`},
		{"usage, other option", `{"stream":true,"stream_options":{ "x":1},"model":"a"}`, usage, `{"stream":true,"stream_options":{"include_usage":true, "x":1},"model":"x"}`},
		{"usage, false", `{"stream":true,"stream_options":{"include_usage" : false,"x":1},"model":"a"}`, usage, `{"stream":true,"stream_options":{"include_usage" : true,"x":1},"model":"x"}`},
		{"usage, null inside", `{"stream":true,"stream_options":{"include_usage":null},"model":"a"}`, usage, `{"stream":true,"stream_options":{"include_usage":true},"model":"x"}`},
		{"usage, true", `{"stream":true,"stream_options":{"include_usage":true},"model":"a"}`, usage, `{"stream":true,"stream_options":{"include_usage":true},"model":"x"}`},

		{"LiteLLM's first", `{ "fallbacks":["b"] , "model":"a"}`, to, `{ "model":"x"}`},
		{"LiteLLM's last", `{"model":"a" , "timeout": 5 }`, to, `{"model":"x" }`},
		{"LiteLLM's between", `{"model":"a", "num_retries":1, "metadata":{"a":1}}`, to, `{"model":"x", "metadata":{"a":1}}`},
		{"LiteLLM's alone", `{ "cache":{} , "tags":[] }`, to, `{ "model":"x" }`},
		{"LiteLLM's around", `{"litellm_metadata":{},"mock_response":"m","model":"a","api_key":"k","tags":[],"user":"u","no-log":true}`, to, `{"model":"x","user":"u"}`},
		{"LiteLLM's and usage", `{"timeout":1,"stream":true,"timeout2":1,"num_retries":2}`, usage, `{"stream":true,"timeout2":1,"model":"x","stream_options":{"include_usage":true}}`},
		{"LiteLLM's escaped", `{"model":"a","\u0061pi_base":"b","litellm\u005fX":1,"mock_\ud800":2,"Tags":[]}`, to, `{"model":"x","Tags":[]}`},
		{"LiteLLM's twice", `{"cache":1,"model":"a","cache":2}`, to, `{"model":"x"}`},

		{"defaults", `{"model":"a"}`, defaults, `{"model":"x","temperature":0.5,"user":"u"}`},
		{"default that is there", `{"model":"a","temperature":null}`, defaults, `{"model":"x","temperature":null,"user":"u"}`},
		{"default that is there escaped", `{"model":"a","t\u0065mperature":1}`, defaults, `{"model":"x","t\u0065mperature":1,"user":"u"}`},
		{"defaults alone", `{"timeout":1}`, Edits{Defaults: defaults.Defaults}, `{"temperature":0.5,"user":"u"}`},
		{"defaults Nestor decides", `{"model":"a"}`, Edits{Defaults: []config.Field{
			{Name: "model", JSON: json.RawMessage(`"z"`)}, {Name: "stream", JSON: json.RawMessage("true")},
			{Name: "stream_options", JSON: json.RawMessage("{}")}, {Name: "timeout", JSON: json.RawMessage("1")}, {Name: "empty"},
		}}, `{"model":"a"}`},
		{"default of the other limit", `{"model":"a","max_completion_tokens":9}`, Edits{Defaults: []config.Field{{Name: "max_tokens", JSON: json.RawMessage("5")}}}, `{"model":"a","max_completion_tokens":9}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, rewrite(t, c.body, c.edits)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestRewriteLeavesTheBodyAndAllocatesOnce(t *testing.T) {
	body := []byte(`{"timeout":1,"model":"fast","stream":true,"messages":[{"role":"user","content":"hi"}],"tags":["a"]}`)
	before := bytes.Clone(body)
	f, err := Scan(body)
	if err != nil {
		t.Fatal(err)
	}
	e := Edits{Model: "gpt-4o", IncludeUsage: true, Defaults: []config.Field{{Name: "user", JSON: json.RawMessage(`"u"`)}}}
	if n := testing.AllocsPerRun(100, func() { f.Rewrite(body, e) }); n > 1 {
		t.Errorf("%v allocations", n)
	}
	if diff := cmp.Diff(string(before), string(body)); diff != "" {
		t.Errorf("the body changed, -want +got:\n%s", diff)
	}
}

// object draws the text of a request body, with odd white space, and its members in order.
func object(t *rapid.T) string {
	space := rapid.SampledFrom([]string{"", "", " ", "\n\t"})
	value := rapid.SampledFrom([]string{`1`, `1.50`, `"é\u00e9"`, `[1, 2]`, `{"model":"no","a":{}}`, `null`, `true`, `""`})
	read := map[string]*rapid.Generator[string]{
		"model":          rapid.SampledFrom([]string{`"a"`, `"b\/c"`}),
		"stream":         rapid.SampledFrom([]string{`true`, `true`, `false`, `null`}),
		"stream_options": rapid.SampledFrom([]string{`null`, `{}`, `{ "include_usage":false }`, `{"include_usage":true,"x":1}`, `{"x" : 1}`}),
		"fallbacks":      rapid.SampledFrom([]string{`["x"]`, `[ ]`}),
		"timeout":        rapid.SampledFrom([]string{`5`, `0.5`}),
		"max_tokens":     rapid.SampledFrom([]string{`5`, `null`}),
	}
	names := rapid.Permutation([]string{"model", "stream", "stream_options", "fallbacks", "timeout", "max_tokens", "tags", "user", "messages", "metadata", "cache", "seed"}).Draw(t, "names")
	names = names[:rapid.IntRange(0, len(names)).Draw(t, "members")]
	var b bytes.Buffer
	gap := func() { b.WriteString(space.Draw(t, "space")) }
	gap()
	b.WriteByte('{')
	gap()
	for i, name := range names {
		if i > 0 {
			b.WriteByte(',')
			gap()
		}
		generator := read[name]
		if generator == nil {
			generator = value
		}
		fmt.Fprintf(&b, "%q", name)
		gap()
		b.WriteByte(':')
		gap()
		b.WriteString(generator.Draw(t, name))
		gap()
	}
	b.WriteByte('}')
	gap()
	return b.String()
}

func TestRewrittenBodiesDecodeToTheSameButForTheEdits(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		body := object(t)
		e := Edits{
			Model:        rapid.SampledFrom([]string{"", "x", "quo\"te"}).Draw(t, "model"),
			IncludeUsage: rapid.Bool().Draw(t, "usage"),
		}
		if rapid.Bool().Draw(t, "defaults") {
			e.Defaults = []config.Field{{Name: "user", JSON: json.RawMessage(`"u"`)}, {Name: "max_tokens", JSON: json.RawMessage(`7`)}}
		}
		checkRewrite(t, []byte(body), e)
	})
}

// failer is what testing.T and rapid.T share.
type failer interface {
	Fatalf(format string, args ...any)
}

// checkRewrite compares the rewritten body, member by member, with what it should be.
func checkRewrite(t failer, body []byte, e Edits) {
	f, err := Scan(body)
	if err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	out := f.Rewrite(body, e)
	if _, err := Scan(out); err != nil {
		t.Fatalf("%s became %s: %v", body, out, err)
	}
	want, got := members(t, body), members(t, out)
	for name := range want {
		if memberOf(name).cut() {
			delete(want, name)
		}
	}
	if e.Model != "" && !(f.HasModel && f.Model == e.Model) {
		quoted, _ := json.Marshal(e.Model)
		want["model"] = string(quoted)
	}
	if e.IncludeUsage && f.Stream {
		options := map[string]json.RawMessage{}
		_ = json.Unmarshal([]byte(want["stream_options"]), &options)
		if options == nil {
			options = map[string]json.RawMessage{}
		}
		options["include_usage"] = json.RawMessage("true")
		want["stream_options"], got["stream_options"] = canonical(options), canonical(json.RawMessage(got["stream_options"]))
	}
	for _, d := range e.Defaults {
		_, limited := want["max_completion_tokens"]
		if _, ok := want[d.Name]; !ok && !(d.Name == "max_tokens" && limited) {
			want[d.Name] = string(d.JSON)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatalf("%s\nbecame %s\n-want +got:\n%s", body, out, diff)
	}
}

// members are the members of an object, with their values byte for byte.
func members(t failer, body []byte) map[string]string {
	var raw map[string]json.RawMessage
	if err := json.Unmarshal(body, &raw); err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	all := map[string]string{}
	for name, value := range raw {
		all[name] = string(value)
	}
	return all
}

// canonical writes a value anew, with sorted members.
func canonical(v any) string {
	text, _ := json.Marshal(v)
	var decoded any
	_ = json.Unmarshal(text, &decoded)
	text, _ = json.Marshal(decoded)
	return string(text)
}

func BenchmarkRewrite(b *testing.B) {
	for name, size := range map[string]int{"1KB": 1 << 10, "100KB": 100 << 10} {
		body := chatBody(size, false)
		f, err := Scan(body)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			for b.Loop() {
				f.Rewrite(body, Edits{Model: "gpt-4o", IncludeUsage: true})
			}
		})
	}
}
