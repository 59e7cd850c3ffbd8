package openai

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"unicode/utf8"
)

// maxDepth bounds how deep objects and arrays may nest, the body itself included. Python's JSON
// readers, which most upstreams use, give up at about the same depth.
const maxDepth = 1000

// span is a part of the body, from inclusive, to exclusive.
type span struct{ from, to int }

func (p span) of(body []byte) []byte { return body[p.from:p.to] }

// entry is a member of an object: the key without its quotes, and the value.
type entry struct{ key, value span }

// start is where the key's opening quote stands.
func (e entry) start() int { return e.key.from - 1 }

// scanner walks over JSON, RFC 8259 to the letter, and remembers the first fault.
// Its methods leave at behind what they read and report whether it was well formed.
type scanner struct {
	body  []byte
	at    int
	depth int
	err   *Error
	blobs blobs
}

// fail says what was expected where the scanner stands.
func (s *scanner) fail(expected string) bool {
	if s.at >= len(s.body) {
		return s.refuse(fmt.Sprintf("expected %s, but the body ends at byte %d", expected, s.at))
	}
	return s.refuse(fmt.Sprintf("expected %s, found %s at byte %d", expected, printable(s.body[s.at:]), s.at))
}

func (s *scanner) refuse(why string) bool {
	s.err = Invalid("", "the request body is not valid JSON: "+why)
	return false
}

// printable shows the character that text begins with.
func printable(text []byte) string {
	r, size := utf8.DecodeRune(text)
	if r == utf8.RuneError && size <= 1 {
		return fmt.Sprintf("the byte 0x%02x", text[0])
	}
	return fmt.Sprintf("%q", r)
}

// peek is the byte the scanner stands at; 0, which begins nothing in JSON, at the end.
func (s *scanner) peek() byte {
	if s.at < len(s.body) {
		return s.body[s.at]
	}
	return 0
}

func (s *scanner) space() {
	for s.at < len(s.body) {
		switch s.body[s.at] {
		case ' ', '\n', '\r', '\t':
			s.at++
		default:
			return
		}
	}
}

// value reads any value; the scanner stands at its first byte.
func (s *scanner) value() bool {
	switch c := s.peek(); {
	case c == '"':
		return s.text()
	case c == '{':
		return s.object(nil)
	case c == '[':
		return s.array()
	case c == '-' || isDigit(c):
		return s.number()
	case c == 't':
		return s.word("true")
	case c == 'f':
		return s.word("false")
	case c == 'n':
		return s.word("null")
	}
	return s.fail("a value")
}

func (s *scanner) word(w string) bool {
	if len(s.body)-s.at < len(w) || string(s.body[s.at:s.at+len(w)]) != w {
		return s.fail("a value")
	}
	s.at += len(w)
	return true
}

// enter steps into an object or array, over its opening bracket.
func (s *scanner) enter() bool {
	if s.depth++; s.depth > maxDepth {
		return s.refuse(fmt.Sprintf("nested more than %d levels deep at byte %d", maxDepth, s.at))
	}
	s.at++
	s.space()
	return true
}

func (s *scanner) leave() bool {
	s.depth--
	s.at++
	return true
}

func (s *scanner) array() bool {
	if !s.enter() {
		return false
	}
	if s.peek() == ']' {
		return s.leave()
	}
	for s.value() {
		s.space()
		switch s.peek() {
		case ']':
			return s.leave()
		case ',':
			s.at++
			s.space()
		default:
			return s.fail("',' or ']' after a value of an array")
		}
	}
	return false
}

// object reads an object and shows its members to visit, which may be nil, in their order.
func (s *scanner) object(visit func(entry) *Error) bool {
	if !s.enter() {
		return false
	}
	if s.peek() == '}' {
		return s.leave()
	}
	for expected := "a member's name or '}'"; s.member(expected, visit); expected = "a member's name after the comma" {
		s.space()
		switch s.peek() {
		case '}':
			return s.leave()
		case ',':
			s.at++
			s.space()
		default:
			return s.fail("',' or '}' after a member of an object")
		}
	}
	return false
}

func (s *scanner) member(expected string, visit func(entry) *Error) bool {
	if s.peek() != '"' {
		return s.fail(expected)
	}
	var e entry
	e.key.from = s.at + 1
	if !s.text() {
		return false
	}
	e.key.to = s.at - 1
	s.space()
	if s.peek() != ':' {
		return s.fail("':' after a member's name")
	}
	s.at++
	s.space()
	e.value.from = s.at
	if !s.value() {
		return false
	}
	e.value.to = s.at
	if e.value.to-e.value.from > largestWord && s.body[e.value.from] == '"' {
		s.blobs.look(e.key.of(s.body), s.body[e.value.from+1:e.value.to-1])
	}
	if visit != nil {
		s.err = visit(e)
	}
	return s.err == nil
}

func isDigit(c byte) bool { return c-'0' <= 9 }

func (s *scanner) digits() bool {
	if !isDigit(s.peek()) {
		return s.fail("a digit")
	}
	for isDigit(s.peek()) {
		s.at++
	}
	return true
}

func (s *scanner) number() bool {
	if s.peek() == '-' {
		s.at++
	}
	if s.peek() == '0' {
		s.at++
	} else if !s.digits() {
		return false
	}
	if s.peek() == '.' {
		s.at++
		if !s.digits() {
			return false
		}
	}
	if c := s.peek(); c != 'e' && c != 'E' {
		return true
	}
	s.at++
	if c := s.peek(); c == '+' || c == '-' {
		s.at++
	}
	return s.digits()
}

// Eight bytes at a time: the bits that tell a byte that is not plain text in a string.
const (
	ones    = 0x0101010101010101
	highs   = 0x80 * ones
	quotes  = '"' * ones
	slashes = '\\' * ones
	spaces  = ' ' * ones
)

// special has the top bit set in the first byte of word that is a quote, a backslash or a
// control character; the bytes after that one are not to be trusted.
func special(word uint64) uint64 {
	q, b := word^quotes, word^slashes
	return ((q-ones)&^q | (b-ones)&^b | (word-spaces)&^word) & highs
}

// text reads a string; the scanner stands at its opening quote.
func (s *scanner) text() bool {
	s.at++
	start, foreign := s.at, uint64(0)
	for {
		foreign |= s.plain()
		switch c := s.peek(); {
		case s.at >= len(s.body):
			return s.fail("the end of a string")
		case c == '"':
			s.at++
			return foreign == 0 || s.utf8(start, s.at-1)
		case c == '\\':
			if !s.escape() {
				return false
			}
		default:
			return s.fail("a string without control characters")
		}
	}
}

// plain passes over the bytes of a string that need no look of their own.
// The result is not 0 when there may be one beyond ASCII among them.
func (s *scanner) plain() (foreign uint64) {
	b, i := s.body, s.at
	for ; i+8 <= len(b); i += 8 {
		word := binary.LittleEndian.Uint64(b[i:])
		foreign |= word & highs
		if stop := special(word); stop != 0 {
			s.at = i + bits.TrailingZeros64(stop)/8
			return foreign
		}
	}
	for ; i < len(b) && b[i] != '"' && b[i] != '\\' && b[i] >= ' '; i++ {
		foreign |= uint64(b[i] & 0x80)
	}
	s.at = i
	return foreign
}

func (s *scanner) escape() bool {
	s.at++
	switch s.peek() {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		s.at++
		return true
	case 'u':
		s.at++
		return s.hex()
	}
	return s.fail("an escape that JSON knows after the backslash")
}

func (s *scanner) hex() bool {
	for range 4 {
		c := s.peek()
		if lower := c | 0x20; !isDigit(c) && (lower < 'a' || lower > 'f') {
			return s.fail("four hexadecimal digits after \\u")
		}
		s.at++
	}
	return true
}

func (s *scanner) utf8(from, to int) bool {
	if utf8.Valid(s.body[from:to]) {
		return true
	}
	for from < to {
		r, size := utf8.DecodeRune(s.body[from:to])
		if r == utf8.RuneError && size == 1 {
			break
		}
		from += size
	}
	return s.refuse(fmt.Sprintf("invalid UTF-8 at byte %d", from))
}
