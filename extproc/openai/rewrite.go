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
	// Into is room to write the body into, where it is enough; it must not overlap the body.
	Into []byte
}

// edit puts text, then json, in the place of a part of the body.
type edit struct {
	span
	text string
	json []byte
}

// plan is a list of edits. It is handed on by value, so that its room can stay on the stack.
type plan struct {
	edits []edit
	// members tells whether one stands before the next to be added.
	members bool
}

func (p plan) put(at span, text string) plan {
	p.edits = append(p.edits, edit{span: at, text: text})
	return p
}

// name begins a member after the last one; its value is to be put next, at the same place.
func (p plan) name(at span, name string) plan {
	if p.members {
		p = p.put(at, ",")
	}
	p.members = true
	return p.put(at, `"`).put(at, name).put(at, `":`)
}

// Rewrite gives the body to send on. body is what f was scanned from; it is not changed, and
// returned itself when there is nothing to change. Bytes that no edit touches stay as they are.
func (f *Fields) Rewrite(body []byte, e Edits) []byte {
	var room [16]edit
	p, end := plan{edits: room[:0], members: f.kept}, span{f.last, f.last}
	for _, cut := range f.cuts {
		p = p.put(cut, "")
	}
	if f.HasModel && e.Model != "" && e.Model != f.Model {
		p = p.put(f.model, inner(e.Model))
	}
	if !f.HasModel && e.Model != "" {
		p = p.name(end, "model").put(end, `"`).put(end, inner(e.Model)).put(end, `"`)
	}
	if e.IncludeUsage && f.Stream && (f.IncludeUsage == nil || !*f.IncludeUsage) {
		p = f.askUsage(p, end)
	}
	for _, d := range e.Defaults {
		if len(d.JSON) > 0 && f.lacks(body, d.Name) {
			p = p.name(end, inner(d.Name))
			p.edits = append(p.edits, edit{span: end, json: d.JSON})
		}
	}
	return p.apply(body, e.Into)
}

// askUsage changes the stream_options that are there, or adds them.
func (f *Fields) askUsage(p plan, end span) plan {
	const asked = `{"include_usage":true}`
	inside := span{f.optionsOpen, f.optionsOpen}
	switch {
	case f.options.to == 0:
		return p.name(end, "stream_options").put(end, asked)
	case f.usage.to != 0:
		return p.put(f.usage, "true")
	case f.optionsOpen == 0:
		return p.put(f.options, asked)
	case f.optionsEmpty:
		return p.put(inside, `"include_usage":true`)
	}
	return p.put(inside, `"include_usage":true,`)
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

// apply writes the body with the edits into the room given, or a buffer of the exact size.
func (p plan) apply(body, room []byte) []byte {
	if len(p.edits) == 0 {
		return body
	}
	size := len(body)
	for i, e := range p.edits {
		size += len(e.text) + len(e.json) - (e.to - e.from)
		p.sink(i)
	}
	out := room[:0]
	if cap(out) < size {
		out = make([]byte, 0, size)
	}
	at := 0
	for _, e := range p.edits {
		out = append(out, body[at:e.from]...)
		out = append(append(out, e.text...), e.json...)
		at = e.to
	}
	return append(out, body[at:]...)
}

// sink moves edit i before those that stand later in the body; edits at one place keep their order.
func (p plan) sink(i int) {
	for ; i > 0 && p.edits[i].from < p.edits[i-1].from; i-- {
		p.edits[i], p.edits[i-1] = p.edits[i-1], p.edits[i]
	}
}

// inner is the inside of the JSON string for a text.
func inner(text string) string {
	for i := range len(text) {
		if c := text[i]; c < ' ' || c == '"' || c == '\\' || c >= 0x80 {
			quoted, _ := json.Marshal(text) // a string can always be written
			return string(quoted[1 : len(quoted)-1])
		}
	}
	return text
}
