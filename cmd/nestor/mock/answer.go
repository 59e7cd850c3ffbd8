package mock

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
)

// created is the same in all answers, so that they can be compared.
const created = 1700000000

// word is the i-th word of every answer: none of them needs escaping, nor spaces beside a comma or colon.
func word(i, size int) string {
	if size > 0 {
		return strings.Repeat("x", size)
	}
	sentence := [...]string{"Nestor ", "carries ", "every ", "word ", "of ", "this ", "answer "}
	return sentence[i%len(sentence)]
}

// Content is the text of an answer of that many words of that size, as in a Plan.
func Content(events, size int) string {
	if events <= 0 {
		events = DefaultEvents
	}
	var b strings.Builder
	for i := range events {
		b.WriteString(word(i, size))
	}
	return b.String()
}

// completion is the answer to a chat or completions request that is no stream.
func (s *Server) completion(a *ask, p *Plan) []byte {
	b := make([]byte, 0, 512+p.Size*p.events())
	b = s.opening(b, a, "chat.completion", "text_completion")
	content := s.content
	if p.Events != 0 || p.Size != 0 {
		content = Content(p.Events, p.Size)
	}
	if a.endpoint == chat {
		b = append(b, `[{"index":0,"message":{"role":"assistant","content":"`...)
		b = append(b, content...)
		b = append(b, `","refusal":null},"logprobs":null,"finish_reason":"stop"}]`...)
	} else {
		b = append(b, `[{"index":0,"text":"`...)
		b = append(b, content...)
		b = append(b, `","logprobs":null,"finish_reason":"stop"}]`...)
	}
	if p.Usage != "none" {
		b = a.usage(p, p.events()).append(append(b, `,"usage":`...))
	}
	return append(b, '}')
}

// opening is what every answer and every event begins with, up to the value of "choices".
func (s *Server) opening(b []byte, a *ask, chatObject, textObject string) []byte {
	id, object := `{"id":"chatcmpl-`, chatObject
	if a.endpoint != chat {
		id, object = `{"id":"cmpl-`, textObject
	}
	b = strconv.AppendInt(append(b, id...), s.sequence.Add(1), 10)
	b = append(append(b, `","object":"`...), object...)
	b = strconv.AppendInt(append(b, `","created":`...), created, 10)
	b = appendString(append(b, `,"model":`...), a.model)
	return append(b, `,"choices":`...)
}

func (u usage) append(b []byte) []byte {
	b = strconv.AppendInt(append(b, `{"prompt_tokens":`...), int64(u.prompt), 10)
	b = strconv.AppendInt(append(b, `,"completion_tokens":`...), int64(u.completion), 10)
	b = strconv.AppendInt(append(b, `,"total_tokens":`...), int64(u.prompt+u.completion), 10)
	b = appendPart(b, `,"prompt_tokens_details":{"cached_tokens":`, u.cached)
	b = appendPart(b, `,"completion_tokens_details":{"reasoning_tokens":`, u.reasoning)
	return append(b, '}')
}

// appendPart appends a detail that is left out when it is 0.
func appendPart(b []byte, name string, n int) []byte {
	if n == 0 {
		return b
	}
	return append(strconv.AppendInt(append(b, name...), int64(n), 10), '}')
}

// appendString appends a JSON string; plain ASCII, as nearly all names are, without the encoder.
func appendString(b []byte, text string) []byte {
	for i := range len(text) {
		if c := text[i]; c < ' ' || c >= 0x7f || c == '"' || c == '\\' {
			encoded, err := json.Marshal(text)
			if err != nil {
				return append(b, `""`...)
			}
			return append(b, encoded...)
		}
	}
	return append(append(append(b, '"'), text...), '"')
}

// spaced is the same JSON with spaces where they may stand, as some providers write it.
// Right for the bodies of this package, whose strings have neither `":` nor `,"` in them.
func spaced(body []byte) []byte {
	body = bytes.ReplaceAll(body, []byte(`":`), []byte(`": `))
	body = bytes.ReplaceAll(body, []byte(`[]`), []byte(`[ ]`))
	return bytes.ReplaceAll(body, []byte(`,"`), []byte(`, "`))
}

// listModels answers /models and /models/{id}.
func (s *Server) listModels(w http.ResponseWriter, path string) {
	type model struct {
		ID      string `json:"id"`
		Object  string `json:"object"`
		Created int    `json:"created"`
		OwnedBy string `json:"owned_by"`
	}
	w.Header().Set("Content-Type", jsonType)
	out := json.NewEncoder(w)
	if _, id, one := strings.Cut(path, "/models/"); one {
		out.Encode(model{id, "model", created, s.opts.Name})
		return
	}
	list := make([]model, 0, len(s.opts.Models))
	for _, id := range s.opts.Models {
		list = append(list, model{id, "model", created, s.opts.Name})
	}
	out.Encode(map[string]any{"object": "list", "data": list})
}
