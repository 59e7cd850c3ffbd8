package openai

// ErrorBody is what an upstream's error says, in OpenAI's words.
type ErrorBody struct{ Message, Type, Param, Code string }

// ParseError reads an upstream's error body. It reports whether the body is already in OpenAI's shape;
// the message is found in other shapes too.
func ParseError(body []byte) (ErrorBody, bool) { return ErrorBody{}, false }

// Shape gives the body that a client shall see for an upstream's failure: the upstream's own, byte for byte,
// when it is in OpenAI's shape already, else OpenAI's shape with what could be read from it.
// It reports whether the result differs from body; its content type is then application/json.
func Shape(status int, contentType string, body []byte) (shaped []byte, changed bool) {
	return body, false
}
