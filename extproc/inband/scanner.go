package inband

import "strconv"

// Usage is the tokens that a provider reported; 0 where it said nothing.
type Usage struct{ Prompt, Completion, Total, Cached, Reasoning int64 }

// mostTokens bounds what is believed of one answer.
const mostTokens = 1 << 32

// merge takes what an object says over what was said before it.
func (u *Usage) merge(found [counters]int64) {
	for i, to := range [counters]*int64{&u.Prompt, &u.Completion, &u.Total, &u.Cached, &u.Reasoning} {
		if found[i] >= 0 {
			*to = found[i]
		}
	}
}

// The counters, by their place in Usage.
const (
	prompt = iota
	completion
	total
	cached
	reasoning
	counters
)

// key is what the scanner knows a member's name as.
type key uint8

const (
	other key = iota
	choicesKey
	usageKey
	promptKey
	completionKey
	totalKey
	promptDetailsKey
	completionDetailsKey
	cachedKey
	reasoningKey
)

func keyOf(name []byte) key {
	switch string(name) {
	case "choices":
		return choicesKey
	case "usage":
		return usageKey
	case "prompt_tokens":
		return promptKey
	case "completion_tokens":
		return completionKey
	case "total_tokens":
		return totalKey
	case "prompt_tokens_details":
		return promptDetailsKey
	case "completion_tokens_details":
		return completionDetailsKey
	case "cached_tokens":
		return cachedKey
	case "reasoning_tokens":
		return reasoningKey
	}
	return other
}

// choices is what an object's own "choices" are.
type choices uint8

const (
	unseen choices = iota
	empty
	some // or no array
)

// state is where in the text the scanner is.
type state uint8

const (
	before   state = iota // before the object
	outside               // between tokens
	inString              // in a string
	escaped               // in a string, after a backslash
	bare                  // in a number or a word
	after                 // after the object
	broken                // this is no JSON object
)

// scanner reads one JSON object as its bytes come, in pieces of any size, and keeps none of them. It knows the
// object's own "choices", and the token counts of its "usage" as OpenAI's API has them. It does not judge whether the
// object is well formed in all its parts.
type scanner struct {
	state state
	depth int
	// keys are the names that lead to where the scanner is, by depth from 1; deeper ones matter to nobody.
	keys [4]key
	// token is the beginning of the last string, number or word, and size the length of all of it;
	// 0 where there is none since the last comma, colon or bracket.
	token [32]byte
	size  int

	choices  choices
	hasUsage bool // "usage" is an object
	noUsage  bool // "usage" is something else
	found    [counters]int64
}

func (s *scanner) reset() {
	*s = scanner{found: [counters]int64{-1, -1, -1, -1, -1}}
}

// whole reports whether a complete object was read, and nothing else.
func (s *scanner) whole() bool { return s.state == after }

// reports says whether the object is one that only reports usage: no choices, and counts of tokens.
func (s *scanner) reports() bool { return s.whole() && s.choices == empty && s.hasUsage }

// harmless says that the object will not turn out to report usage alone.
func (s *scanner) harmless() bool { return s.state == broken || s.choices == some || s.noUsage }

// feed reads the next bytes.
func (s *scanner) feed(data []byte) {
	for i := 0; i < len(data); i++ {
		c := data[i]
		switch s.state {
		case broken:
			return
		case inString:
			i = s.text(data, i)
		case escaped:
			s.state = inString
		case before:
			s.begin(c)
		case after:
			if !isSpace(c) {
				s.state = broken
			}
		case bare:
			if isBare(c) {
				s.keep(c)
				continue
			}
			s.state = outside
			s.structure(c)
		default:
			s.structure(c)
		}
	}
}

// begin looks for the object.
func (s *scanner) begin(c byte) {
	switch {
	case c == '{':
		s.state, s.depth = outside, 1
	case !isSpace(c):
		s.state = broken
	}
}

// text reads a string from i on, and returns where it ends or has a backslash.
func (s *scanner) text(data []byte, i int) int {
	begin := i
	for i < len(data) && data[i] != '"' && data[i] != '\\' {
		i++
	}
	if s.size < len(s.token) {
		copy(s.token[s.size:], data[begin:i])
	}
	s.size += i - begin
	if i < len(data) {
		if s.state = outside; data[i] == '\\' {
			s.state = escaped
			s.size = len(s.token) + 1 // no name or number that matters has one
		}
	}
	return i
}

func (s *scanner) keep(c byte) {
	if s.size < len(s.token) {
		s.token[s.size] = c
	}
	s.size++
}

// structure reads a byte between tokens.
func (s *scanner) structure(c byte) {
	switch c {
	case ' ', '\t', '\n', '\r':
	case '"':
		s.size, s.state = 0, inString
		s.value()
	case ':':
		s.name()
	case ',':
		s.member()
	case '{', '[':
		s.open(c)
	case '}', ']':
		s.closing()
	default:
		s.size, s.state = 0, bare
		s.keep(c)
		s.value()
	}
}

// name takes the last string for the name of the member that follows.
func (s *scanner) name() {
	if s.depth < len(s.keys) {
		s.keys[s.depth] = other
		if s.size <= len(s.token) {
			s.keys[s.depth] = keyOf(s.token[:s.size])
		}
		if s.depth == 1 {
			s.named()
		}
	}
	s.size = 0
}

// named begins a member of the object itself. Of two with one name the last counts.
func (s *scanner) named() {
	switch s.keys[1] {
	case choicesKey:
		s.choices = unseen
	case usageKey:
		s.hasUsage, s.noUsage = false, false
	}
}

// value is where a value begins that is no object and no array; or a name, which changes nothing.
func (s *scanner) value() {
	switch {
	case s.depth == 1 && s.keys[1] == choicesKey && s.choices == unseen:
		s.choices = some
	case s.depth == 2 && s.keys[1] == choicesKey:
		s.choices = some
	case s.depth == 1 && s.keys[1] == usageKey && !s.hasUsage:
		s.noUsage = true
	}
}

// member ends a member or an element.
func (s *scanner) member() {
	s.count()
	s.size = 0
	if s.depth < len(s.keys) && s.depth > 0 {
		s.keys[s.depth] = other
	}
}

func (s *scanner) open(c byte) {
	switch {
	case s.depth == 1 && s.keys[1] == choicesKey && c == '[':
		s.choices = empty
	case s.depth <= 2 && s.keys[1] == choicesKey:
		s.choices = some
	case s.depth == 1 && s.keys[1] == usageKey:
		s.hasUsage, s.noUsage = c == '{', c != '{'
	}
	s.depth++
	s.size = 0
	if s.depth < len(s.keys) {
		s.keys[s.depth] = other
	}
}

func (s *scanner) closing() {
	s.member()
	if s.depth--; s.depth == 0 {
		s.state = after
	}
}

// count takes the last token for a count, where it is one.
func (s *scanner) count() {
	if s.size == 0 || s.size > len(s.token) || s.keys[1] != usageKey {
		return
	}
	if which, ok := s.counter(); ok {
		if n, ok := number(s.token[:s.size]); ok {
			s.found[which] = n
		}
	}
}

// counter tells by the names that lead to a value what it counts.
func (s *scanner) counter() (int, bool) {
	switch {
	case s.depth == 2:
		switch s.keys[2] {
		case promptKey:
			return prompt, true
		case completionKey:
			return completion, true
		case totalKey:
			return total, true
		}
	case s.depth == 3 && s.keys[2] == promptDetailsKey && s.keys[3] == cachedKey:
		return cached, true
	case s.depth == 3 && s.keys[2] == completionDetailsKey && s.keys[3] == reasoningKey:
		return reasoning, true
	}
	return 0, false
}

// number reads a count, also one that is written as text.
func number(text []byte) (int64, bool) {
	for _, c := range text {
		if (c < '0' || c > '9') && c != '.' && c != '-' && c != '+' && c != 'e' && c != 'E' {
			return 0, false
		}
	}
	f, err := strconv.ParseFloat(string(text), 64)
	return int64(min(max(f, 0), mostTokens)), err == nil
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\n' || c == '\r' }

// isBare reports whether a byte belongs to a number or a word.
func isBare(c byte) bool {
	switch c {
	case ' ', '\t', '\n', '\r', ',', ':', '{', '}', '[', ']', '"':
		return false
	}
	return true
}
