// Package estimate guesses how many tokens a request is going to use, before it is sent, from what earlier
// ones used. A guess too low costs the limit a debt, one too high holds others up until it is settled: so
// guesses are rather high.
package estimate

import (
	"math"
	"sync"
	"sync/atomic"
)

const (
	// startRatio is the bytes of a token before anything is known: OpenAI's rule of thumb for English.
	startRatio = 4
	// startOutput is the tokens of a completion before anything is known.
	startOutput = 1024
	// startEvents is the bytes of a stream for each of its tokens before anything is known: providers that put
	// one token in an event send some 250, others put several in one.
	startEvents = 64
	// priors is how many samples what is assumed at the start weighs, while the first real ones come in.
	priors = 5
	// largestOutput bounds the guess of a completion, in tokens.
	largestOutput = 32_768
	// telling is the bytes from which on a request tells how many bytes a token has; in a
	// shorter one it is the JSON around the text that counts.
	telling = 1024
	// The first quick answers of a model change its figures at once, then every pace-th one: it takes 0.3 us.
	quick, pace = 64, 8
	// scale lets a histogram that begins at 1 hold ratios that are smaller.
	scale = 64
	// mostMixed is how many models of a group are looked at for its guess; one that is not among its last
	// stale answers is no longer.
	mostMixed = 64
	stale     = 1000
	// mostModels bounds what is remembered, at 2 KB a model: beyond it any one is forgotten for a new one.
	mostModels = 1 << 14
	// mostCallers bounds those of whose answers something is remembered, at 1 KB each.
	mostCallers = 1 << 13
)

// Request is what can be known of a request.
type Request struct {
	// Caller is who asks, by any name; "" for nobody in particular.
	Caller string
	// Bytes of it that are text, and the tokens of what is none: images, sounds, files.
	Bytes, BlobTokens int64
	// Completions is how many are asked for; 0 where the answer is no text.
	Completions int64
	// Most is the tokens that the request allows a completion; nil when it does not say.
	Most *int64
}

// Tokens is a guess.
type Tokens struct{ Input, Output int64 }

// Total is what the request is going to use.
func (t Tokens) Total() int64 { return t.Input + t.Output }

// Truth is what an attempt used.
type Truth struct {
	// Caller is as in Request.
	Caller string
	// Prompt and Completion are tokens, 0 where they are not known. Completion is that of all completions.
	Prompt, Completion int64
	// Bytes of the request that are text; 0 when nothing is to be learned from them.
	Bytes int64
	// Completions is as in Request.
	Completions int64
	// Most is the tokens that the request allowed all completions; 0 when it did not say.
	Most int64
	// Sent is the bytes of a stream that came to its end; 0 for others.
	Sent int64
}

// completion is how long each completion was, 0 where that is not known. What was as long as it might be, or longer as
// some providers count, says nothing of how long others are.
func (t *Truth) completion() float64 {
	if t.Completions == 0 || t.Most > 0 && t.Completion >= t.Most {
		return 0
	}
	return float64(t.Completion) / float64(t.Completions)
}

// Book holds what is known, by model as written in the config, and by the group that is called. A group's guess
// is the highest of the models that were picked from it. How long answers are goes by those of who asks, once there
// are any: nobody's long answers take up the limits of others. It is safe for concurrent use.
type Book struct {
	mu      sync.RWMutex
	models  map[string]*model
	groups  map[string]*group
	callers map[caller]*answers
}

// New returns a Book that knows nothing.
func New() *Book {
	return &Book{models: map[string]*model{}, groups: map[string]*group{}, callers: map[caller]*answers{}}
}

// caller is who asked for a group.
type caller struct{ group, name string }

// answers are those that a caller got.
type answers struct {
	mu      sync.Mutex
	count   uint64
	output  *histogram
	current atomic.Uint64 // float64 bits
}

// newAnswers know nothing: one longer one is enough to raise what is assumed, ten shorter ones lower it.
func newAnswers() *answers {
	a := &answers{output: startAt(startOutput-1, 1)}
	store(&a.current, startOutput)
	return a
}

func (a *answers) learn(completion float64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.output.add(completion)
	if a.count++; a.count <= quick || a.count%pace == 0 {
		store(&a.current, a.output.above(0.9))
	}
}

// model is what the attempts at one model taught.
type model struct {
	mu      sync.Mutex
	answers uint64
	ratio   *histogram // bytes of request for each of its tokens, times scale
	output  *histogram // tokens of a completion
	events  *histogram // bytes of stream for each token

	current figures
}

// figures are published for readers that hold no lock: float64 bits.
type figures struct{ ratio, output, events atomic.Uint64 }

// group is the models that were picked from it.
type group struct {
	mu      sync.Mutex
	answers uint64
	models  map[*model]uint64 // with the number of its last answer
	current figures
}

func newModel() *model {
	m := &model{ratio: startAt(startRatio*scale, priors), output: startAt(startOutput-1, priors), events: startAt(startEvents, priors)}
	m.publish()
	return m
}

func newGroup() *group {
	g := &group{models: map[*model]uint64{}}
	store(&g.current.ratio, startRatio)
	store(&g.current.output, startOutput)
	return g
}

// Guess says what a request to a group is going to use.
func (b *Book) Guess(name string, r Request) Tokens {
	ratio, output := float64(startRatio), float64(startOutput)
	g, own := b.known(name, r.Caller)
	if g != nil {
		ratio, output = load(&g.current.ratio), load(&g.current.output)
	}
	if own != nil {
		output = load(&own.current)
	}
	if r.Most != nil {
		output = min(output, float64(*r.Most))
	}
	return Tokens{
		Input:  int64(math.Ceil(float64(r.Bytes)/ratio)) + r.BlobTokens,
		Output: int64(math.Ceil(min(output, largestOutput))) * r.Completions,
	}
}

// Streamed says how many tokens the first bytes of a stream are.
func (b *Book) Streamed(written string, bytes int64) int64 {
	each := float64(startEvents)
	b.mu.RLock()
	m := b.models[written]
	b.mu.RUnlock()
	if m != nil {
		each = load(&m.current.events)
	}
	return int64(math.Ceil(float64(bytes) / each))
}

// Plain says how many tokens an answer is that is no stream.
func Plain(bytes int64) int64 { return (bytes + startRatio - 1) / startRatio }

// Learn takes into account what an attempt at a model, picked from a group, used.
func (b *Book) Learn(name, written string, t Truth) {
	m, g := b.entries(name, written)
	g.learn(m, m.learn(t))
	if completion := t.completion(); completion > 0 && t.Caller != "" {
		b.answers(caller{name, t.Caller}).learn(completion)
	}
}

// known is what there is of a group and of who asks for it; nil for what there isn't.
func (b *Book) known(name, who string) (*group, *answers) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	if who == "" {
		return b.groups[name], nil
	}
	return b.groups[name], b.callers[caller{name, who}]
}

// answers makes those that are not there yet.
func (b *Book) answers(of caller) *answers {
	b.mu.RLock()
	a := b.callers[of]
	b.mu.RUnlock()
	if a != nil {
		return a
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return entry(b.callers, of, mostCallers, newAnswers)
}

// entries makes what is not there yet.
func (b *Book) entries(name, written string) (*model, *group) {
	b.mu.RLock()
	m, g := b.models[written], b.groups[name]
	b.mu.RUnlock()
	if m != nil && g != nil {
		return m, g
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return entry(b.models, written, mostModels, newModel), entry(b.groups, name, mostModels, newGroup)
}

func entry[K comparable, T any](all map[K]*T, name K, most int, fresh func() *T) *T {
	if e := all[name]; e != nil {
		return e
	}
	if len(all) == most {
		forgetOne(all)
	}
	e := fresh()
	all[name] = e
	return e
}

func forgetOne[K comparable, V any](all map[K]V) {
	for key := range all {
		delete(all, key)
		return
	}
}

// learn reports whether what is published of the model has been looked over.
func (m *model) learn(t Truth) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if t.Bytes >= telling && t.Prompt > 0 {
		m.ratio.add(scale * float64(t.Bytes) / float64(t.Prompt))
	}
	if completion := t.completion(); completion > 0 {
		m.output.add(completion)
	}
	if t.Sent > 0 && t.Completion > 0 {
		m.events.add(float64(t.Sent) / float64(t.Completion))
	}
	m.answers++
	if m.answers > quick && m.answers%pace != 0 {
		return false
	}
	m.publish()
	return true
}

// publish says of nine requests in ten no less than they use.
func (m *model) publish() {
	store(&m.current.ratio, m.ratio.below(0.1)/scale)
	store(&m.current.output, m.output.above(0.9))
	store(&m.current.events, m.events.below(0.1))
}

func (g *group) learn(m *model, changed bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.add(m); !changed {
		return
	}
	ratio, output := math.MaxFloat64, 0.0
	for m, last := range g.models {
		if g.answers-last > stale {
			delete(g.models, m)
			continue
		}
		ratio, output = min(ratio, load(&m.current.ratio)), max(output, load(&m.current.output))
	}
	store(&g.current.ratio, ratio)
	store(&g.current.output, output)
}

// add leaves another one out where there are too many.
func (g *group) add(m *model) {
	if _, ok := g.models[m]; !ok && len(g.models) == mostMixed {
		forgetOne(g.models)
	}
	g.answers++
	g.models[m] = g.answers
}

func store(to *atomic.Uint64, x float64) { to.Store(math.Float64bits(x)) }

func load(from *atomic.Uint64) float64 { return math.Float64frombits(from.Load()) }
