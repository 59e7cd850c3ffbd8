package inband

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// event is a part of a stream, and whether the client of a stripped stream gets it.
type event struct {
	text string
	gone bool
}

var reported = Usage{Prompt: 3, Completion: 4, Total: 7, Cached: 2, Reasoning: 1}

// streams are those of envoy's tests of its own filter: each has a usage event to take out.
func streams() map[string][]event {
	const usage = `data: {"id":"1","choices":[],"usage":{"prompt_tokens":3,"completion_tokens":4,"total_tokens":7,` +
		`"prompt_tokens_details":{"cached_tokens":2},"completion_tokens_details":{"reasoning_tokens":1}}}`
	const spaced = `data: {"id":"1", "usage" : { "prompt_tokens":3, "completion_tokens":4, "total_tokens":7,` +
		`"prompt_tokens_details":{"cached_tokens":2},"completion_tokens_details":{"reasoning_tokens":1} }, "choices": [ ] }`
	const hello = `data: {"id":"1","choices":[{"delta":{"content":"hi"}}],"usage":null}`
	const tricky = `data: {"choices":[{"delta":{"content":"\"choices\":[],\"usage\":{\"a\":1}, \\"}}],"x":{"choices":[],"usage":{}}}`
	const filtered = `data: {"choices":[],"prompt_filter_results":[{}],"usage":null}`
	const both = `data: {"choices":[{"delta":{"content":"!"}}],"usage":{"prompt_tokens":3,"completion_tokens":4,"total_tokens":7,` +
		`"prompt_tokens_details":{"cached_tokens":2},"completion_tokens_details":{"reasoning_tokens":1}}}`
	const broken = `data: {"choices":[],"usage":{"a":"unfinished`
	s := map[string][]event{}
	for name, end := range map[string]string{"LF": "\n\n", "CR LF": "\r\n\r\n", "CR": "\r\r"} {
		s[name] = []event{
			{text: hello + end}, {text: filtered + end}, {text: usage + end, gone: true}, {text: "data: [DONE]" + end},
		}
	}
	s["mixed line ends"] = []event{
		{text: hello + "\n\r\n"}, {text: ": ping\r\n\n"}, {text: tricky + "\r\r\n"}, {text: spaced + "\n\r", gone: true},
		{text: "event: x\ndata: [DONE]\n\n"},
	}
	s["text that looks like usage"] = []event{
		{text: tricky + "\n\n"}, {text: both + "\n\n"}, {text: spaced + "\r\n\r\n", gone: true}, {text: "data: [DONE]\n\n"},
	}
	s["unfinished last event"] = []event{{text: hello + "\n\n"}, {text: usage + "\n\n", gone: true}, {text: broken}}
	s["data in two lines"] = []event{
		{text: strings.Replace(usage, `"choices":[],`, "\"choices\":[],\ndata:", 1) + "\n\n", gone: true}, {text: hello + "\n\n"},
	}
	s["usage in every event"] = []event{
		{text: strings.ReplaceAll(strings.Replace(both, ":7", ":5", 1), ":4", ":2") + "\n\n"}, {text: usage + "\n\n", gone: true},
	}
	s["several usage events"] = []event{{text: usage + "\r\n\r\n", gone: true}, {text: usage + "\r\n\r\n", gone: true}}
	return s
}

func whole(events []event) string {
	var all strings.Builder
	for _, e := range events {
		all.WriteString(e.text)
	}
	return all.String()
}

func stripped(events []event) string {
	var all strings.Builder
	for _, e := range events {
		if !e.gone {
			all.WriteString(e.text)
		}
	}
	return all.String()
}

// finished is what a client must have when the first bytes have come: every event in them that is whole.
func finished(events []event, cut int) string {
	var early strings.Builder
	sent := 0
	for _, e := range events {
		if sent += len(e.text); sent > cut {
			break
		}
		if !e.gone && strings.ContainsAny(e.text[len(e.text)-1:], "\r\n") {
			early.WriteString(e.text)
		}
	}
	return early.String()
}

// read feeds pieces and returns what passed, after the first piece and in all.
func read(r Reader, pieces ...string) (early, all string) {
	for i, p := range pieces {
		all += string(r.Feed([]byte(p)))
		if i == 0 {
			early = all
		}
	}
	return early, all + string(r.End())
}

func TestAStreamLosesItsUsageEventWhereverItIsCut(t *testing.T) {
	for name, events := range streams() {
		t.Run(name, func(t *testing.T) {
			raw := whole(events)
			for cut := range len(raw) + 1 {
				s := NewStream(true)
				early, all := read(s, raw[:cut], raw[cut:])
				if diff := cmp.Diff(stripped(events), all); diff != "" {
					t.Fatalf("cut after %d bytes (%q) (-want +got):\n%s", cut, raw[:cut], diff)
				}
				if !strings.HasPrefix(early, finished(events, cut)) {
					t.Fatalf("after %q there is only %q", raw[:cut], early)
				}
				if diff := cmp.Diff(reported, s.Usage()); diff != "" {
					t.Fatalf("usage (-want +got):\n%s", diff)
				}
			}
		})
	}
}

func TestAStreamPassesAsItIsWhereTheClientAskedForUsage(t *testing.T) {
	for name, events := range streams() {
		raw := whole(events)
		for cut := range len(raw) + 1 {
			s := NewStream(false)
			early, all := read(s, raw[:cut], raw[cut:])
			if early != raw[:cut] || all != raw {
				t.Fatalf("%s: cut after %d bytes: %q, then %q", name, cut, early, all)
			}
			if diff := cmp.Diff(reported, s.Usage()); diff != "" {
				t.Fatalf("%s: usage (-want +got):\n%s", name, diff)
			}
		}
	}
}

func TestAStreamInManyPiecesIsTheSame(t *testing.T) {
	all := streams()
	rapid.Check(t, func(t *rapid.T) {
		var events []event
		for range rapid.IntRange(1, 3).Draw(t, "streams") {
			name := rapid.SampledFrom([]string{"LF", "CR LF", "mixed line ends", "text that looks like usage", "several usage events", "CR"}).Draw(t, "stream")
			events = append(events, all[name]...)
		}
		raw := whole(events)
		var pieces []string
		for raw != "" {
			n := rapid.IntRange(0, min(len(raw), rapid.SampledFrom([]int{1, 3, 300}).Draw(t, "size"))).Draw(t, "cut")
			pieces, raw = append(pieces, raw[:n]), raw[n:]
		}
		s := NewStream(true)
		if _, got := read(s, pieces...); got != stripped(events) {
			t.Fatalf("got  %q\nwant %q", got, stripped(events))
		}
		if s.Usage() != reported {
			t.Fatalf("usage %v", s.Usage())
		}
	})
}

func TestAnEventBeyondTheBoundPasses(t *testing.T) {
	long := `data: {"a":"` + strings.Repeat("x", 3*maxHeld) + `"}` + "\n\n"
	events := append([]event{{text: long}}, streams()["LF"]...)
	raw := whole(events)
	var pieces []string
	for ; len(raw) > 1<<14; raw = raw[1<<14:] {
		pieces = append(pieces, raw[:1<<14])
	}
	s := NewStream(true)
	var got strings.Builder
	for _, p := range append(pieces, raw) {
		got.Write(s.Feed([]byte(p)))
		if len(s.held) > maxHeld {
			t.Fatalf("%d bytes are held", len(s.held))
		}
	}
	got.Write(s.End())
	if got.String() != stripped(events) || s.Usage() != reported {
		t.Errorf("%d bytes passed, want %d; usage %v", got.Len(), len(stripped(events)), s.Usage())
	}
}

// What is passed on must not depend on the piece, which is used again.
func TestAPieceIsNotKept(t *testing.T) {
	events := streams()["LF"]
	raw := whole(events)
	s := NewStream(true)
	room := make([]byte, 7)
	var got strings.Builder
	for len(raw) > 0 {
		n := copy(room, raw)
		got.Write(s.Feed(room[:n]))
		clear(room)
		raw = raw[n:]
	}
	got.Write(s.End())
	if got.String() != stripped(events) {
		t.Errorf("got %q", got.String())
	}
}

func TestUsageOfWholeAnswers(t *testing.T) {
	const usage = `"usage":{"prompt_tokens":3,"completion_tokens":4,"total_tokens":7,"prompt_tokens_details":{"cached_tokens":2},` +
		`"completion_tokens_details":{"reasoning_tokens":1}}`
	for name, c := range map[string]struct {
		body string
		want Usage
	}{
		"usage":                      {`{"choices":[],` + usage + `}`, reported},
		"spaces":                     {" {\n" + usage + "\r\n}\n ", reported},
		"embeddings":                 {`{"data":[{"embedding":[0.25,-0.5e3]},{}],"usage": {"prompt_tokens": 8, "total_tokens": 8}}`, Usage{Prompt: 8, Total: 8}},
		"text that looks like usage": {`{"a":"\"usage\":{\"total_tokens\":9}","b":{` + usage + `}}`, Usage{}},
		"usage in a list":            {`{"usage":[{"total_tokens":1}]}`, Usage{}},
		"null":                       {`{"usage":null}`, Usage{}},
		"null count":                 {`{"usage":{"total_tokens":null,"prompt_tokens":5}}`, Usage{Prompt: 5}},
		"text for a number":          {`{"usage":{"total_tokens":"12"}}`, Usage{Total: 12}},
		"decimal":                    {`{"usage":{"total_tokens":12.0,"prompt_tokens":1e2}}`, Usage{Total: 12, Prompt: 100}},
		"negative":                   {`{"usage":{"total_tokens":-12}}`, Usage{}},
		"huge":                       {`{"usage":{"total_tokens":1e300}}`, Usage{Total: mostTokens}},
		"too long":                   {`{"usage":{"total_tokens":` + strings.Repeat("1", 40) + `}}`, Usage{}},
		"last of two":                {`{"usage":{"total_tokens":1},"usage":{"total_tokens":2}}`, Usage{Total: 2}},
		"other depth":                {`{"usage":{"x":{"total_tokens":1},"prompt_tokens":{"a":2},"completion_tokens":[3]}}`, Usage{}},
		"details of the wrong kind":  {`{"usage":{"prompt_tokens_details":{"reasoning_tokens":1},"completion_tokens_details":{"cached_tokens":2}}}`, Usage{}},
		"cut":                        {`{` + usage, Usage{}},
		"two objects":                {`{` + usage + `}{}`, Usage{}},
		"no JSON":                    {`sorry {` + usage + `}`, Usage{}},
		"list":                       {`[{` + usage + `}]`, Usage{}},
		"empty":                      {``, Usage{}},
	} {
		t.Run(name, func(t *testing.T) {
			for cut := range len(c.body) + 1 {
				w := NewWhole()
				if _, all := read(w, c.body[:cut], c.body[cut:]); all != c.body {
					t.Fatalf("the answer has changed: %q", all)
				}
				if diff := cmp.Diff(c.want, w.Usage()); diff != "" {
					t.Fatalf("cut after %d bytes (-want +got):\n%s", cut, diff)
				}
			}
		})
	}
}

// The usage that the scanner finds is what a JSON parser finds, whatever else is in the object.
func TestTheScannerReadsAsAParserDoes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		object := map[string]any{}
		for range rapid.IntRange(0, 4).Draw(t, "members") {
			object[text().Draw(t, "name")] = values(3).Draw(t, "value")
		}
		if rapid.Bool().Draw(t, "usage") {
			object["usage"] = rapid.MapOf(rapid.SampledFrom([]string{"prompt_tokens", "total_tokens", "completion_tokens", "x"}), values(1)).Draw(t, "usage object")
		}
		raw, err := json.Marshal(object)
		if err != nil {
			t.Fatal(err)
		}
		var want struct {
			Usage map[string]any `json:"usage"`
		}
		_ = json.Unmarshal(raw, &want)
		count := func(name string) int64 {
			f, _ := want.Usage[name].(float64)
			return int64(min(max(f, 0), mostTokens))
		}
		w := NewWhole()
		for rest := string(raw); rest != ""; {
			n := rapid.IntRange(1, len(rest)).Draw(t, "cut")
			w.Feed([]byte(rest[:n]))
			rest = rest[n:]
		}
		got, expected := w.Usage(), Usage{Prompt: count("prompt_tokens"), Completion: count("completion_tokens"), Total: count("total_tokens")}
		if got != expected {
			t.Fatalf("%s: got %v, want %v", raw, got, expected)
		}
	})
}

// text is names and strings that look like what the scanner looks for.
func text() *rapid.Generator[string] {
	return rapid.OneOf(
		rapid.SampledFrom([]string{"usage2", "choices", "total_tokens", `"usage":{`, `\`, `\"`, "}", "prompt_tokens_details", "a very long name, longer than any"}),
		rapid.StringN(0, 8, 8).Filter(func(s string) bool { return s != "usage" }),
	)
}

func values(depth int) *rapid.Generator[any] {
	flat := rapid.OneOf(
		rapid.Map(text().Filter(notNumeric), func(s string) any { return s }),
		rapid.Map(rapid.IntRange(-5, 1<<40), func(n int) any { return n }),
		rapid.Map(rapid.Bool(), func(b bool) any { return b }),
		rapid.Just[any](nil),
	)
	if depth == 0 {
		return flat
	}
	return rapid.OneOf(flat,
		rapid.Map(rapid.SliceOfN(rapid.Deferred(func() *rapid.Generator[any] { return values(depth - 1) }), 0, 3), func(s []any) any { return s }),
		rapid.Map(rapid.MapOfN(text(), rapid.Deferred(func() *rapid.Generator[any] { return values(depth - 1) }), 0, 3), func(m map[string]any) any { return m }),
	)
}

// notNumeric: text that is a number counts as one here, and not in encoding/json.
func notNumeric(s string) bool {
	_, ok := number([]byte(s))
	return !ok
}

func FuzzStream(f *testing.F) {
	for _, events := range streams() {
		f.Add([]byte(whole(events)), 7)
	}
	f.Fuzz(func(t *testing.T, raw []byte, cut int) {
		cut = min(max(cut, 0), len(raw))
		for _, strip := range []bool{false, true} {
			_, all := read(NewStream(strip), string(raw[:cut]), string(raw[cut:]))
			if all != string(raw) && !(strip && strings.Contains(string(raw), "usage") && len(all) < len(raw)) {
				t.Errorf("%q has become %q", raw, all)
			}
		}
	})
}

func BenchmarkStream(b *testing.B) {
	piece := []byte(strings.Repeat(`data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"content":"hello"},"finish_reason":null}],"usage":null}`+"\n\n", 1))
	for _, strip := range []bool{false, true} {
		b.Run(fmt.Sprint("strip=", strip), func(b *testing.B) {
			b.SetBytes(int64(len(piece)))
			b.ReportAllocs()
			s := NewStream(strip)
			for b.Loop() {
				s.Feed(piece)
			}
		})
	}
}

func BenchmarkWhole(b *testing.B) {
	body := []byte(`{"object":"list","data":[` + strings.Repeat(`{"embedding":[0.25,0.5]},`, 1<<17) + `{}],"usage":{"total_tokens":8}}`)
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		w := NewWhole()
		for rest := body; len(rest) > 0; {
			n := min(len(rest), 1<<14)
			w.Feed(rest[:n])
			rest = rest[n:]
		}
	}
}
