package openai

import (
	"encoding/json"
	"time"
)

// Error is an answer of Nestor's own, in the shape that OpenAI's SDKs read.
type Error struct {
	// Status is the HTTP status.
	Status  int
	Message string
	// Type and Code are OpenAI's or LiteLLM's words for the kind of error; Param is the member of the
	// request that is at fault. Empty ones are null in the body.
	Type, Param, Code string
	// RetryAfter is when to try again; zero is unknown.
	RetryAfter time.Duration
	// Headers go with the answer, beside its content-type and retry-after.
	Headers []Header
	// Text is the body where it is not to be made of the rest.
	Text []byte
}

// Header is one of an answer, its name in lower case.
type Header struct{ Name, Value string }

func (e *Error) Error() string { return e.Message }

// Body is Text, or {"error":{"message","type","param","code"}}.
func (e *Error) Body() []byte {
	if e.Text != nil {
		return e.Text
	}
	type inner struct {
		Message string  `json:"message"`
		Type    *string `json:"type"`
		Param   *string `json:"param"`
		Code    *string `json:"code"`
	}
	b, _ := json.Marshal(struct { // strings can always be written
		Error inner `json:"error"`
	}{inner{e.Message, orNull(e.Type), orNull(e.Param), orNull(e.Code)}})
	return b
}

func orNull(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}
