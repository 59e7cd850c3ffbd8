package openai

import (
	"encoding/json"

	"github.com/nestor-gateway/nestor/routing/config"
)

// Edits is what Rewrite changes, beside leaving out LiteLLM's own request fields.
type Edits struct {
	// Model replaces the body's model; it is added where the body has none. Empty changes nothing.
	Model string
	// IncludeUsage asks for the usage of a stream; it changes nothing when the body asks for no stream.
	IncludeUsage bool
	// Defaults are added where the body has no member of that name. Those that Nestor decides itself are
	// left alone: model, stream, stream_options and LiteLLM's own. max_tokens and max_completion_tokens
	// stand for each other, as providers refuse a body that has both.
	Defaults []config.Field
}

// edit puts text in the place of a part of the body.
type edit struct {
	span
	text string
}

// plan is a list of edits, in the order of the body.
type plan struct {
	edits []edit
	// members counts those that will be there before the next one to be added.
	members bool
}

func (p *plan) put(at span, text string) { p.edits = append(p.edits, edit{at, text}) }

// Rewrite gives the body to send on. body is what f was scanned from; it is not changed, and
// returned itself when there is nothing to change. Bytes that no edit touches stay as they are.
func (f *Fields) Rewrite(body []byte, e Edits) []byte {
	var room [24]edit
	p := plan{edits: room[:0], members: f.kept}
	for _, cut := range f.cuts {
		p.put(cut, "")
	}
	if f.HasModel && e.Model != "" && e.Model != f.Model {
		p.put(f.model, inner(e.Model))
	}
	usage := e.IncludeUsage && f.Stream && (f.IncludeUsage == nil || !*f.IncludeUsage)
	if usage {
		f.askUsage(&p)
	}
	if !f.HasModel && e.Model != "" {
		p.add(f.last, `"model":"`, inner(e.Model), `"`)
	}
	if usage && f.options.to == 0 {
		p.add(f.last, `"stream_options":{"include_usage":true}`)
	}
	for _, d := range e.Defaults {
		if f.lacks(body, d.Name) {
			p.add(f.last, `"`, inner(d.Name), `":`, string(d.JSON))
		}
	}
	return p.apply(body)
}

// askUsage changes the stream_options that are there.
func (f *Fields) askUsage(p *plan) {
	switch {
	case f.usage.to != 0:
		p.put(f.usage, "true")
	case f.optionsOpen != 0 && f.optionsEmpty:
		p.put(span{f.optionsOpen, f.optionsOpen}, `"include_usage":true`)
	case f.optionsOpen != 0:
		p.put(span{f.optionsOpen, f.optionsOpen}, `"include_usage":true,`)
	case f.options.to != 0:
		p.put(f.options, `{"include_usage":true}`)
	}
}

// add appends a member, given in pieces.
func (p *plan) add(at int, pieces ...string) {
	if p.members {
		p.put(span{at, at}, ",")
	}
	p.members = true
	for _, piece := range pieces {
		p.put(span{at, at}, piece)
	}
}

// lacks reports whether a default of that name is to be added.
func (f *Fields) lacks(body []byte, name string) bool {
	switch m := memberOf(name); {
	case m.cut() || m == model || m == stream || m == streamOptions:
		return false
	case m == maxTokens || m == maxCompletionTokens:
		return !f.has(body, "max_tokens") && !f.has(body, "max_completion_tokens")
	}
	return !f.has(body, name)
}

// has reports whether the body has a member of that name, however it is written.
func (f *Fields) has(body []byte, name string) bool {
	for _, key := range f.names {
		raw := key.of(body)
		if string(raw) == name {
			return true
		}
		if !ordinary(raw) {
			if decoded, ok := unquote(raw); ok && decoded == name {
				return true
			}
		}
	}
	return false
}

// apply writes the body with the edits into one buffer of the exact size.
func (p *plan) apply(body []byte) []byte {
	if len(p.edits) == 0 {
		return body
	}
	size := len(body)
	for i := range p.edits {
		p.sink(i)
		size += len(p.edits[i].text) - (p.edits[i].to - p.edits[i].from)
	}
	out := make([]byte, 0, size)
	at := 0
	for _, e := range p.edits {
		out = append(out, body[at:e.from]...)
		out = append(out, e.text...)
		at = e.to
	}
	return append(out, body[at:]...)
}

// sink moves edit i before those that stand later in the body; edits at one place keep their order.
func (p *plan) sink(i int) {
	for ; i > 0 && p.edits[i].from < p.edits[i-1].from; i-- {
		p.edits[i], p.edits[i-1] = p.edits[i-1], p.edits[i]
	}
}

// inner is the inside of the JSON string for a text.
func inner(text string) string {
	for i := range len(text) {
		if c := text[i]; c < ' ' || c == '"' || c == '\\' || c >= 0x80 {
			quoted, err := json.Marshal(text)
			if err != nil { // a string can always be written
				return ""
			}
			return string(quoted[1 : len(quoted)-1])
		}
	}
	return text
}
