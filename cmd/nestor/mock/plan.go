package mock

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// DefaultEvents is how many words an answer has, and so how many events with content a stream.
const DefaultEvents = 8

// Plan says how one request is answered. The zero value is a good answer, at once.
type Plan struct {
	// For limits the plan to one server or one model; empty is any.
	For string
	// Times limits the plan to the first so many requests that carry it; 0 is all of them.
	Times int

	// Status is the status of an error; 0 is none.
	Status int
	// Body is the kind of error body: "openai" (as when empty), "html", "text", "empty",
	// "context" (the prompt is too long, 400) or "policy" (content policy, 400).
	Body string
	// RetryAfter is the value of that response header.
	RetryAfter string

	// Delay passes before the response headers, First between them and the first event,
	// Gap between two events.
	Delay, First, Gap time.Duration

	// Reset breaks the connection off before the response headers.
	Reset bool
	// Cut breaks it off after so many bytes of the body, Stall falls silent after so many events;
	// nil is never.
	Cut, Stall *int
	// Fin breaks off with an orderly end of the connection instead of a reset.
	Fin bool
	// Split makes two pieces of the body, a few milliseconds apart, at this byte; 0 is none.
	Split int
	// Pieces makes pieces of that many bytes of the body, each sent for itself; 0 is none.
	Pieces int

	// Charset is added to the content type.
	Charset string
	// Headers are added to the response, or replace those of it.
	Headers []Header
	// Gzip, CRLF, Spaced and Unended change the form of the body: compressed, events separated by CRLF,
	// JSON with spaces, no newline after the last event.
	Gzip, CRLF, Spaced, Unended bool

	// Usage is "none", "every" (each event has it), or empty: as the client asked for.
	Usage string
	// Cached and Reasoning are the parts of the prompt's and of the answer's tokens that the usage details; 0 is none.
	Cached, Reasoning int
	// RPM and TPM are the server's own limits, of requests and tokens in any minute, for each credential
	// and model; 0 is none. What exceeds them is answered with 429.
	RPM, TPM int
	// Events is the number of words in the answer, DefaultEvents when 0.
	Events int
	// Size is the number of bytes of each word, 0 for a natural one.
	Size int
}

// Header is one response header.
type Header struct{ Name, Value string }

// ErrPlan is wrapped by every error of Parse.
var ErrPlan = errors.New("mock: bad plan")

// Parse reads a plan: words separated by ";", each a name or name=value.
//
//	for=NAME  times=N  status=N  body=KIND  retry-after=S
//	delay=D  first=D  gap=D  reset  cut=BYTES  stall=EVENTS  fin  split=BYTES  pieces=BYTES
//	header=NAME:VALUE  charset=NAME  gzip  crlf  spaced  unended
//	usage=none|every  cached=N  reasoning=N  events=N  size=BYTES  rpm=N  tpm=N
//	id=ANYTHING (tells apart two plans that are otherwise the same, each with its own "times")
//
// Durations are written as Go does, for example 300ms.
func Parse(words string) (Plan, error) {
	var p Plan
	return p, p.parse(words, setters())
}

type setter func(p *Plan, value string) error

func (p *Plan) parse(words string, known map[string]setter) error {
	for word := range strings.SplitSeq(words, ";") {
		name, value, _ := strings.Cut(strings.TrimSpace(word), "=")
		if name == "" {
			continue
		}
		set, ok := known[name]
		if !ok {
			return fmt.Errorf("%w: unknown word %q", ErrPlan, name)
		}
		if err := set(p, value); err != nil {
			return fmt.Errorf("%w: %s: %w", ErrPlan, word, err)
		}
	}
	return nil
}

func setters() map[string]setter {
	return map[string]setter{
		"for":         text(func(p *Plan) *string { return &p.For }),
		"body":        text(func(p *Plan) *string { return &p.Body }),
		"retry-after": text(func(p *Plan) *string { return &p.RetryAfter }),
		"charset":     text(func(p *Plan) *string { return &p.Charset }),
		"usage":       text(func(p *Plan) *string { return &p.Usage }),
		"times":       number(func(p *Plan) *int { return &p.Times }),
		"status":      number(func(p *Plan) *int { return &p.Status }),
		"split":       number(func(p *Plan) *int { return &p.Split }),
		"pieces":      number(func(p *Plan) *int { return &p.Pieces }),
		"cached":      number(func(p *Plan) *int { return &p.Cached }),
		"reasoning":   number(func(p *Plan) *int { return &p.Reasoning }),
		"rpm":         number(func(p *Plan) *int { return &p.RPM }),
		"tpm":         number(func(p *Plan) *int { return &p.TPM }),
		"events":      number(func(p *Plan) *int { return &p.Events }),
		"size":        number(func(p *Plan) *int { return &p.Size }),
		"cut":         place(func(p *Plan) **int { return &p.Cut }),
		"stall":       place(func(p *Plan) **int { return &p.Stall }),
		"delay":       duration(func(p *Plan) *time.Duration { return &p.Delay }),
		"first":       duration(func(p *Plan) *time.Duration { return &p.First }),
		"gap":         duration(func(p *Plan) *time.Duration { return &p.Gap }),
		"reset":       flag(func(p *Plan) *bool { return &p.Reset }),
		"fin":         flag(func(p *Plan) *bool { return &p.Fin }),
		"gzip":        flag(func(p *Plan) *bool { return &p.Gzip }),
		"crlf":        flag(func(p *Plan) *bool { return &p.CRLF }),
		"spaced":      flag(func(p *Plan) *bool { return &p.Spaced }),
		"unended":     flag(func(p *Plan) *bool { return &p.Unended }),
		"header":      (*Plan).addHeader,
		"id":          func(*Plan, string) error { return nil },
	}
}

func (p *Plan) addHeader(line string) error {
	name, value, ok := strings.Cut(line, ":")
	if !ok || name == "" {
		return errors.New("want NAME:VALUE")
	}
	p.Headers = append(p.Headers[:len(p.Headers):len(p.Headers)], Header{name, strings.TrimSpace(value)})
	return nil
}

func text(field func(*Plan) *string) setter {
	return func(p *Plan, v string) error { *field(p) = v; return nil }
}

func flag(field func(*Plan) *bool) setter {
	return func(p *Plan, _ string) error { *field(p) = true; return nil }
}

func number(field func(*Plan) *int) setter {
	return func(p *Plan, v string) (err error) { *field(p), err = strconv.Atoi(v); return err }
}

func place(field func(*Plan) **int) setter {
	return func(p *Plan, v string) error {
		n, err := strconv.Atoi(v)
		*field(p) = &n
		return err
	}
}

func duration(field func(*Plan) *time.Duration) setter {
	return func(p *Plan, v string) (err error) { *field(p), err = time.ParseDuration(v); return err }
}

// plan puts the layers of one request together. A layer that is for somebody else, or used up, is left out.
func (s *Server) plan(a *ask, h http.Header) (Plan, error) {
	var p Plan
	if s.opts.Plan.meant(s.opts.Name, a.model) && s.spent.use("", s.opts.Plan.Times) {
		p = s.opts.Plan
	}
	_, inModel, _ := strings.Cut(a.model, "mock:")
	inUser, _ := strings.CutPrefix(a.user, "mock:")
	if inUser == a.user {
		inUser = ""
	}
	for _, words := range [...]string{inModel, inUser, h.Get("X-Mock")} {
		if words == "" {
			continue
		}
		if err := s.layer(&p, words, a.model); err != nil {
			return p, err
		}
	}
	return p, nil
}

func (s *Server) layer(p *Plan, words, model string) error {
	over := *p
	over.For, over.Times = "", 0
	if err := over.parse(words, s.words); err != nil {
		return err
	}
	if over.meant(s.opts.Name, model) && s.spent.use(words, over.Times) {
		*p = over
	}
	return nil
}

func (p *Plan) meant(server, model string) bool {
	return p.For == "" || p.For == server || p.For == model
}

// tokens are those of the whole exchange.
func (p *Plan) tokens(a *ask) int {
	switch {
	case p.Status != 0 || p.Body != "" || p.Reset:
		return 0
	case a.endpoint == embeddings:
		return a.usage(p, 0).prompt
	}
	u := a.usage(p, p.events())
	return u.prompt + u.completion
}

func (p *Plan) events() int {
	if p.Events > 0 {
		return p.Events
	}
	return DefaultEvents
}

// spent counts how often each plan was used, by its words.
type spent struct {
	mu   sync.Mutex
	used map[string]int
}

// use reports whether a plan limited to so many times may be used once more, and counts it.
func (c *spent) use(words string, times int) bool {
	if times == 0 {
		return true
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.used == nil {
		c.used = map[string]int{}
	}
	c.used[words]++
	return c.used[words] <= times
}

func (c *spent) reset() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.used = nil
}
