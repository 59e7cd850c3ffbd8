package openai

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxMessage bounds, in bytes, what of a text that is no JSON becomes an error's message.
const maxMessage = 1000

// maxDig bounds how deep an error body is searched for its message.
const maxDig = 6

// ErrorBody is what an upstream's error says, in OpenAI's words. Fields that it does not say are empty.
type ErrorBody struct{ Message, Type, Param, Code string }

// ParseError reads an upstream's error body. It reports whether the body is already in OpenAI's shape,
// {"error":{"message":...}}. The message, type and code are found in other shapes too: a bare
// {"message":...} (Mistral, Cerebras), {"error":"..."} (Ollama, xAI), {"detail":...} (FastAPI), an array
// around them (Gemini), {"type":"error","error":{...}} (Anthropic), plain text (Envoy, proxies).
func ParseError(body []byte) (ErrorBody, bool) {
	body = bytes.TrimSpace(body)
	if !json.Valid(body) || !utf8.Valid(body) {
		return ErrorBody{Message: plainText(body)}, false
	}
	return dig(body, maxDig), openAIShaped(body)
}

// errorShape has the members in which providers put what went wrong.
type errorShape struct {
	Error, Message, Msg, Detail, Errors json.RawMessage
	Type, Param, Code, Status           json.RawMessage
}

// openAIShaped tells OpenAI's shape from those of Anthropic, which has a type beside the error,
// and Google, which has a number for the code and a word for the status.
func openAIShaped(body []byte) bool {
	var outer, inner errorShape
	if json.Unmarshal(body, &outer) != nil || json.Unmarshal(outer.Error, &inner) != nil {
		return false
	}
	return outer.Type == nil && inner.Status == nil && text(inner.Message) != ""
}

// dig finds what went wrong, at most depth levels deep.
func dig(raw json.RawMessage, depth int) ErrorBody {
	if depth == 0 || len(raw) == 0 {
		return ErrorBody{}
	}
	var items []json.RawMessage
	if raw[0] == '[' && json.Unmarshal(raw, &items) == nil && len(items) > 0 {
		return dig(items[0], depth-1)
	}
	var shape errorShape
	if raw[0] != '{' || json.Unmarshal(raw, &shape) != nil {
		return ErrorBody{Message: text(raw)}
	}
	found := ErrorBody{Type: text(shape.Type), Param: text(shape.Param), Code: word(shape.Code)}
	if status := text(shape.Status); status != "" {
		found.Code = status
	}
	for _, part := range []json.RawMessage{shape.Error, shape.Message, shape.Msg, shape.Detail, shape.Errors} {
		if deeper := dig(part, depth-1); deeper.Message != "" {
			return found.with(deeper)
		}
	}
	return found
}

// with takes over what a deeper level says.
func (e ErrorBody) with(deeper ErrorBody) ErrorBody {
	return ErrorBody{
		Message: deeper.Message,
		Type:    cmp.Or(deeper.Type, e.Type), Param: cmp.Or(deeper.Param, e.Param), Code: cmp.Or(deeper.Code, e.Code),
	}
}

// text is the string that raw is, else nothing.
func text(raw json.RawMessage) string {
	var s string
	if len(raw) == 0 || json.Unmarshal(raw, &s) != nil {
		return ""
	}
	return s
}

// word is the string or the number that raw is, else nothing.
func word(raw json.RawMessage) string {
	if len(raw) > 0 && (raw[0] == '-' || isDigit(raw[0])) {
		return string(raw)
	}
	return text(raw)
}

// plainText is a body that is text, for people; nothing for HTML, binary or compressed ones.
func plainText(body []byte) string {
	if len(body) > maxMessage {
		body = bytes.ToValidUTF8(body[:maxMessage], nil)
	}
	unprintable := func(r rune) bool { return unicode.IsControl(r) && !unicode.IsSpace(r) }
	if !utf8.Valid(body) || bytes.ContainsFunc(body, unprintable) {
		return ""
	}
	text := strings.TrimSpace(string(body))
	if strings.HasPrefix(text, "<") {
		return ""
	}
	return text
}

// Shape gives the body that a client shall see for an upstream's failure: the upstream's own, byte for byte,
// when it is in OpenAI's shape already, else OpenAI's shape with what could be read from it.
// It reports whether the result differs from body; its content type is then application/json.
func Shape(status int, contentType string, body []byte) (shaped []byte, changed bool) {
	found, own := ParseError(body)
	if own {
		return body, false
	}
	if strings.HasPrefix(strings.ToLower(contentType), "text/html") && !json.Valid(body) {
		found.Message = ""
	}
	if local := localReply(found.Message); local != "" {
		found.Message = local
	}
	switch {
	case len(body) == 0:
		found.Message = fmt.Sprintf("status %d %s with an empty body, from the provider or on the way to it", status, http.StatusText(status))
	case found.Message == "":
		found.Message = fmt.Sprintf("status %d %s from the provider, without an error that can be shown", status, http.StatusText(status))
	}
	e := Error{Message: found.Message, Type: cmp.Or(found.Type, typeOf(status)), Param: found.Param, Code: found.Code}
	return e.Body(), true
}

// localReply explains the texts that Envoy answers with when an upstream does not; empty for others.
func localReply(text string) string {
	const connect = "upstream connect error or disconnect/reset before headers."
	if reason, ok := strings.CutPrefix(text, connect); ok {
		return "the provider could not be reached or closed the connection before it answered (" + strings.TrimSpace(reason) + ")"
	}
	switch text {
	case "no healthy upstream":
		return "the provider could not be reached: its address does not resolve or no host is healthy"
	case "upstream request timeout":
		return "the provider did not answer within the timeout"
	case "stream timeout", "request timeout":
		return "the request did not come to its end within the timeout"
	case "Payload Too Large", "payload too large":
		return "the request body is larger than this gateway takes"
	}
	return ""
}

// typeOf is the type of an error that does not say its own.
func typeOf(status int) string {
	switch {
	case status == http.StatusUnauthorized:
		return "authentication_error"
	case status == http.StatusForbidden:
		return "permission_error"
	case status == http.StatusRequestTimeout || status == http.StatusGatewayTimeout:
		return "timeout_error"
	case status == http.StatusTooManyRequests:
		return "rate_limit_error"
	case status >= http.StatusInternalServerError:
		return "server_error"
	}
	return "invalid_request_error"
}
