package openai

import (
	"time"

	"github.com/nestor-gateway/nestor/routing/config"
)

// Fields is what Nestor reads of a request body. Nil pointers are members that are absent or null.
type Fields struct {
	// Model is the body's model, with its escapes decoded; HasModel tells an absent one.
	Model    string
	HasModel bool
	Stream   bool
	// IncludeUsage is stream_options.include_usage.
	IncludeUsage                      *bool
	MaxTokens, MaxCompletionTokens, N *int64
	// Fallbacks, NumRetries, Timeout and DisableFallbacks are LiteLLM's own request fields.
	Fallbacks        []string
	NumRetries       *int
	Timeout          *time.Duration
	DisableFallbacks bool
}

// Edits is what Rewrite changes, beside leaving out LiteLLM's own request fields.
type Edits struct {
	// Model replaces the body's model; it is added where the body has none.
	Model string
	// IncludeUsage asks for the usage of a stream; it changes nothing when the body asks for no stream.
	IncludeUsage bool
	// Defaults are added where the body has no member of that name.
	Defaults []config.Field
}

// Scan reads a request body.
func Scan(body []byte) (*Fields, *Error) { return nil, Invalid("", "not implemented") }

// Rewrite gives the body to send on. body is what f was scanned from; it is not changed.
func (f *Fields) Rewrite(body []byte, e Edits) []byte { return body }

// CheckModel reports why a name can't be a model: 400, or nil.
func CheckModel(name string) *Error { return nil }
