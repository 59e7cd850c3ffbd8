// Package pattern matches names against texts in which * stands for anything, as LiteLLM does.
package pattern

import "strings"

// Pattern is a text with at least one *.
type Pattern struct {
	// Text is as written.
	Text string
	// Literals counts the bytes that are no *.
	Literals int
	// parts are what stands around each *.
	parts []string
}

// New takes a text apart, which must hold a *.
func New(text string) Pattern {
	parts := strings.Split(text, "*")
	return Pattern{Text: text, Literals: len(text) - len(parts) + 1, parts: parts}
}

// Matches reports whether a name matches, without an allocation.
func (p *Pattern) Matches(name string) bool {
	last := len(p.parts) - 1
	rest, ok := strings.CutPrefix(name, p.parts[0])
	if !ok {
		return false
	}
	if rest, ok = strings.CutSuffix(rest, p.parts[last]); !ok {
		return false
	}
	for _, part := range p.parts[1:last] {
		if _, rest, ok = strings.Cut(rest, part); !ok {
			return false
		}
	}
	return true
}

// Match returns what each * takes, the first as much as it can: whatever stands between
// two of them is found as far right as it goes.
func (p *Pattern) Match(name string) ([]string, bool) {
	last := len(p.parts) - 1
	left, right := len(p.parts[0]), len(name)-len(p.parts[last])
	if left > right || !strings.HasPrefix(name, p.parts[0]) || !strings.HasSuffix(name, p.parts[last]) {
		return nil, false
	}
	captures := make([]string, last)
	for i := last - 1; i > 0; i-- {
		at := strings.LastIndex(name[left:right], p.parts[i])
		if at < 0 {
			return nil, false
		}
		captures[i] = name[left+at+len(p.parts[i]) : right]
		right = left + at
	}
	captures[0] = name[left:right]
	return captures, true
}

// Fill puts what was captured where the * of a text stand.
func Fill(text string, captures []string) string {
	parts := strings.Split(text, "*")
	var b strings.Builder
	for i, p := range parts {
		b.WriteString(p)
		if i < len(captures) {
			b.WriteString(captures[i])
		}
	}
	return b.String()
}
