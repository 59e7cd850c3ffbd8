package envoy_test

import (
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	nestorv1 "github.com/nestor-gateway/nestor/proto/nestor/v1"
)

// TestUsageIsReadFromAnyStream compares what the access log has of streams of every make, in pieces of any size, with what
// encoding/json reads of their events. What is stripped has the same usage as what is not.
func TestUsageIsReadFromAnyStream(t *testing.T) {
	const seed = 3
	var drawn [600]drawnStream
	for i := range drawn {
		drawn[i] = drawStream(seed, uint64(i))
	}
	number := func(text string) int {
		i, err := strconv.Atoi(text)
		if err != nil {
			t.Error(err)
		}
		return i
	}
	up := upstream(t, "up", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("content-type", "text/event-stream")
		for _, piece := range drawn[number(r.Header.Get("x-stream"))].pieces {
			io.WriteString(w, piece)
			http.NewResponseController(w).Flush()
		}
	})
	for name, metadata := range map[string][]string{"as it is": nil, "stripped": {nestorv1.KeyStrip, "usage"}} {
		t.Run(name, func(t *testing.T) {
			decide := func(r map[string]string) decision {
				return always("up", append(metadata, nestorv1.KeyCallID, r["x-stream"])...)(r)
			}
			g := startGateway(t, decide, nil, up)
			forEach(len(drawn), func(i int) {
				_, body := g.send(t, http.MethodPost, "/v1/chat/completions", "{}", "x-stream", strconv.Itoa(i))
				if diff := cmp.Diff(drawn[i].text(metadata != nil), body); diff != "" {
					t.Errorf("seed %d, stream %d (-want +got):\n%s", seed, i, diff)
				}
			})
			eventually(t, "all entries of the access log", func() bool { return len(g.process.logged()) == len(drawn) })
			for _, e := range g.process.logged() {
				metadata := e.GetCommonProperties().GetMetadata().GetFilterMetadata()
				i := number(metadata[nestorv1.Namespace].AsMap()[nestorv1.KeyCallID].(string))
				if diff := cmp.Diff(drawn[i].usage(), tokens(metadata)); diff != "" {
					t.Errorf("seed %d, stream %d: usage (-want +got):\n%s\nof %q", seed, i, diff, drawn[i].pieces)
				}
			}
		})
	}
}

// drawnStream is a stream drawn at random.
type drawnStream struct {
	events []string // with their empty lines; the last may be unfinished
	pieces []string
}

func drawStream(seed, n uint64) drawnStream {
	d := drawer{rand.New(rand.NewPCG(seed, n))}
	var s drawnStream
	end := d.one("\n", "\n", "\n", "\r\n", "\r")
	always := d.one("", "", `"usage":null`, `"usage": null`, "counts")
	for range d.IntN(20) {
		s.events = append(s.events, d.event(always, end))
	}
	if d.IntN(4) > 0 {
		s.events = append(s.events, d.lines(`{"id":"1","choices":[],"usage":`+d.counts()+"}", end))
	}
	s.events = append(s.events, d.one("data: [DONE]"+end+end, "data: [DONE]"+end+end, "", "data: [DONE]", `data: {"usage":{"prompt_tokens":77}`))
	whole, most := strings.Join(s.events, ""), []int{3, 100, 1000, 1 << 20}[d.IntN(4)]
	for len(whole) > 0 {
		n := min(1+d.IntN(most), len(whole))
		s.pieces = append(s.pieces, whole[:n])
		whole = whole[n:]
	}
	return s
}

// text is what a client gets.
func (s drawnStream) text(strip bool) string {
	var b strings.Builder
	for _, e := range s.events {
		if usage, choices := readEvent(e); !strip || usage == nil || len(choices) > 0 || choices == nil {
			b.WriteString(e)
		}
	}
	return b.String()
}

// usage is the last of each count.
func (s drawnStream) usage() map[string]any {
	all := map[string]any{}
	for _, e := range s.events {
		usage, _ := readEvent(e)
		inputs, _ := usage["prompt_tokens_details"].(map[string]any)
		written := inputs["cache_write_tokens"]
		if written == nil {
			written = usage["cache_creation_input_tokens"]
		}
		outputs, _ := usage["completion_tokens_details"].(map[string]any)
		for key, value := range map[string]any{
			nestorv1.KeyPromptTokens: usage["prompt_tokens"], nestorv1.KeyCompletionTokens: usage["completion_tokens"],
			nestorv1.KeyTotalTokens: usage["total_tokens"], nestorv1.KeyCachedTokens: inputs["cached_tokens"],
			nestorv1.KeyReasoningTokens: outputs["reasoning_tokens"], nestorv1.KeyCacheCreationTokens: written,
		} {
			if value != nil {
				all[key] = value
			}
		}
	}
	if len(all) == 0 {
		return nil
	}
	return all
}

// readEvent returns the usage of an event that is complete and a JSON object, nil where it has none, and its choices.
func readEvent(event string) (usage map[string]any, choices []any) {
	lines := strings.FieldsFunc(event, func(r rune) bool { return r == '\n' || r == '\r' })
	var data []string
	for _, l := range lines {
		if text, ok := strings.CutPrefix(l, "data:"); ok {
			data = append(data, strings.TrimPrefix(text, " "))
		}
	}
	var v struct {
		Usage   map[string]any
		Choices []any
	}
	if json.Unmarshal([]byte(strings.Join(data, "\n")), &v) != nil || !strings.HasSuffix(event, "\n") && !strings.HasSuffix(event, "\r") {
		return nil, nil
	}
	return v.Usage, v.Choices
}

// drawer draws what providers send, and what looks like it.
type drawer struct{ *rand.Rand }

func (d drawer) one(of ...string) string { return of[d.IntN(len(of))] }

// event draws one with choices, as a rule.
func (d drawer) event(always, end string) string {
	if always == "counts" {
		always = `"usage":` + d.counts()
	}
	choices := `"choices":[{"index":0,"delta":{"content":"` + d.words() + `","tool_calls":` + d.one("[]", "null", `[{"function":{"arguments":"{\"usage\":{}}"}}]`) + `}}]`
	parts := []string{`"id":"chatcmpl-1"`, choices}
	if always != "" {
		parts = append(parts, always)
	}
	switch d.IntN(12) {
	case 0: // Groq
		parts = append(parts, `"x_groq":{"id":"r","usage":`+d.counts()+`}`)
	case 1: // Perplexity
		parts = append([]string{`"search_results":[` + strings.Repeat(`{"title":"prompt_tokens","url":"u"},`, d.IntN(80)) + `{}]`}, parts...)
	case 2: // Azure
		return d.lines(`{"choices":[],"prompt_filter_results":[{"usage":`+d.counts()+`}],"usage":null}`, end)
	case 3:
		return d.one(": ping"+end+end, ": \"usage\":{\"prompt_tokens\":9}"+end+end, "data: []"+end+end)
	case 4:
		object := `{"usage":` + d.counts() + `,"choices":[]}`
		return d.lines(d.one("}"+object, "]"+object, object+"{}", object+"}", object[:len(object)-1], "["+object, `{"a":`+object), end)
	case 5:
		return d.lines("["+d.counts()+`,{"usage":`+d.counts()+`}]`, end)
	}
	d.Shuffle(len(parts), func(i, j int) { parts[i], parts[j] = parts[j], parts[i] })
	return d.lines("{"+strings.Join(parts, d.one(",", ",", ", ", " ,\t"))+"}", end)
}

// lines are an event with data.
func (d drawer) lines(data, end string) string {
	before := d.one("", "", "", ": ping"+end, "event: message"+end, "id: 1"+end)
	if at := strings.Index(data, `,"`); at >= 0 && d.IntN(10) == 0 {
		data = data[:at+1] + end + "data:" + data[at+1:]
	}
	return before + d.one("data: ", "data: ", "data:") + data + end + end
}

func (d drawer) words() string {
	return d.one("hi", "", strings.Repeat("word ", d.IntN(300)), `\"usage\":{\"prompt_tokens\":5}`, `usage`, `}]}`, `\\`, `\\\"`, "[ ]", `\n\n`, "_tokens", "{")
}

// counts draws a usage.
func (d drawer) counts() string {
	parts := []string{fmt.Sprintf(`"prompt_tokens":%d`, d.IntN(1000))}
	for _, p := range []string{
		fmt.Sprintf(`"completion_tokens": %d`, d.IntN(1000)), fmt.Sprintf(`"total_tokens" : %d`, d.IntN(2000)), `"cost":{"total_tokens":0.1}`,
		d.one(
			fmt.Sprintf(`"prompt_tokens_details":{"cached_tokens":%d,"audio_tokens":null}`, d.IntN(9)),
			fmt.Sprintf(`"prompt_tokens_details":{"cached_tokens":%d,"cache_write_tokens":%d}`, d.IntN(9), d.IntN(9)),
			fmt.Sprintf(`"prompt_tokens_details":{"cache_write_tokens":null},"cache_creation_input_tokens":%d`, d.IntN(9)),
			`"prompt_tokens_details":null,"cache_creation_input_tokens":null`,
		),
		d.one(fmt.Sprintf(`"completion_tokens_details" : { "reasoning_tokens":%d } `, d.IntN(9)), `"completion_tokens_details":{}`),
		`"note":"\"total_tokens\":1}"`, `"list":[{"usage":{"prompt_tokens":1}}]`,
	} {
		if d.IntN(2) == 0 {
			parts = append(parts, p)
		}
	}
	d.Shuffle(len(parts), func(i, j int) { parts[i], parts[j] = parts[j], parts[i] })
	return "{" + strings.Join(parts, ",") + "}"
}
