package openai

import (
	"bytes"
	"fmt"
	"time"
)

// Fields is what Nestor reads of a request body. Nil pointers are members that are absent or null.
type Fields struct {
	// Model is the body's model, with its escapes decoded; HasModel tells an absent one.
	Model    string
	HasModel bool
	Stream   bool
	// IncludeUsage is stream_options.include_usage.
	IncludeUsage *bool
	// MaxTokens and MaxCompletionTokens are at least 0. They are nil for -1 too, which LM Studio and
	// llama.cpp take for no limit.
	MaxTokens, MaxCompletionTokens *int64
	// N is the number of choices, at least 1.
	N *int64
	// BestOf is the number of completions of which N are shown, at least 1.
	BestOf *int64
	// Prompts is how many there are in prompt: more than 1 where it is an array of strings or of arrays.
	Prompts int64
	// User is whom the client asks for, for the spend log alone: without space around it or control characters, and at
	// most 256 bytes long. It is "" where user is no text and no number.
	User string
	// TextBytes is the size of the body without the strings of base64 that are images, sounds or files, and
	// BlobTokens what those count for.
	TextBytes, BlobTokens int64
	// Fallbacks, NumRetries, Timeout and DisableFallbacks are LiteLLM's own request fields.
	// Fallbacks are names of models as a client may call them, in order.
	Fallbacks        []string
	NumRetries       *int
	Timeout          *time.Duration
	DisableFallbacks bool

	layout
}

// layout is where the parts of the body stand that Rewrite touches.
type layout struct {
	open  int  // after the opening brace
	last  int  // after the last member, or open
	kept  bool // whether a member stays
	model span // the value, without its quotes

	options      span // the value of stream_options
	optionsOpen  int  // after its opening brace; 0 when it is no object
	optionsEmpty bool
	usage        span // the value of stream_options.include_usage

	cuts  []span // what is left out, with its comma, in order
	names []span // the keys as written, without their quotes

	nameRoom [24]span
	cutRoom  [4]span
}

// maxMembers bounds the members of a body, whose places are kept.
const maxMembers = 10_000

// reader is the state of one Scan.
type reader struct {
	scanner
	f    *Fields
	seen uint32 // bit 1<<member of those that were there
	// pending is set while a cut at the beginning of the object waits for the next member to end it.
	pending bool
}

// Scan reads a request body: one JSON object, valid to its last byte, in which everything that
// Nestor reads can be read in one way only. An error is a 400 that names what is wrong, and the byte,
// counted from 0, where the JSON is.
//
// Refused are, of the members that Nestor reads: a name written twice, with escapes, or in
// another case (Go's JSON readers take "Model" for "model"), and a value of a wrong type or out of range;
// a byte order mark, invalid UTF-8, anything after the object, and nesting over 1,000 levels.
// A number may be written as 10, 10.0 or 1e1.
func Scan(body []byte) (*Fields, *Error) {
	r := reader{scanner: scanner{body: body}, f: new(Fields)}
	r.f.names, r.f.cuts = r.f.nameRoom[:0], r.f.cutRoom[:0]
	if err := r.document(); err != nil {
		return nil, err
	}
	r.f.TextBytes, r.f.BlobTokens = int64(len(body)-r.blobs.bytes), int64(r.blobs.tokens)
	return r.f, nil
}

// Completions is how many the provider makes, of chat and completions.
func (f *Fields) Completions() int64 {
	n := max(value(f.N), value(f.BestOf), 1)
	return n * max(f.Prompts, 1)
}

// MostOutput is the tokens that the body allows one completion; nil when it does not say, and for 0. Where it says both,
// providers differ in which they go by, so it is the larger.
func (f *Fields) MostOutput() *int64 {
	most := max(value(f.MaxCompletionTokens), value(f.MaxTokens))
	if most == 0 {
		return nil
	}
	return &most
}

func value(n *int64) int64 {
	if n == nil {
		return 0
	}
	return *n
}

func (r *reader) document() *Error {
	if bytes.HasPrefix(r.body, []byte("\xef\xbb\xbf")) {
		return Invalid("", "the request body begins with a byte order mark; send UTF-8 without one")
	}
	r.space()
	if r.at == len(r.body) {
		return Invalid("", "the request body is empty; send a JSON object")
	}
	if r.peek() != '{' {
		return Invalid("", fmt.Sprintf("the request body must be a JSON object, found %s at byte %d", printable(r.body[r.at:]), r.at))
	}
	r.f.open, r.f.last = r.at+1, r.at+1
	if !r.object(r.top) {
		return r.err
	}
	r.endCut(r.f.last)
	r.space()
	if r.at < len(r.body) {
		return Invalid("", fmt.Sprintf("the request body goes on after its JSON object: %s at byte %d", printable(r.body[r.at:]), r.at))
	}
	return nil
}

// top takes one member of the body.
func (r *reader) top(e entry) *Error {
	if len(r.f.names) == maxMembers {
		return Invalid("", fmt.Sprintf("the request body has more than %d members", maxMembers))
	}
	r.f.names = append(r.f.names, e.key)
	m, err := r.identify(e.key.of(r.body))
	if err != nil {
		return err
	}
	r.endCut(e.start())
	if m.cut() {
		r.beginCut(e)
	} else {
		r.f.kept = true
	}
	r.f.last = e.value.to
	return r.read(m, e.value)
}

// beginCut leaves a member out, with the comma before it, or, while nothing before it stays,
// with everything up to the next member.
func (r *reader) beginCut(e entry) {
	if r.f.kept {
		r.f.cuts = append(r.f.cuts, span{r.f.last, e.value.to})
		return
	}
	r.f.cuts = append(r.f.cuts, span{e.start(), e.value.to})
	r.pending = true
}

func (r *reader) endCut(at int) {
	if r.pending {
		r.f.cuts[len(r.f.cuts)-1].to = at
		r.pending = false
	}
}
