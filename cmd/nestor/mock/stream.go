package mock

import (
	"bytes"
	"net/http"
)

// stream answers with server-sent events: one a word, one that finishes, one with the usage when it was
// asked for, and [DONE]. Without a gap, and with nothing to spoil between them, all of them are one write.
func (s *Server) stream(k *sink, a *ask) {
	k.head(http.StatusOK, sseType, -1)
	if k.plan.First > 0 {
		k.flush()
		if !k.wait(k.plan.First) {
			return
		}
	}
	t := telling{plan: k.plan, ask: a}
	t.open = s.opening(nil, a, "chat.completion.chunk", "text_completion")
	if !t.tell(k) {
		return
	}
	k.end()
}

// telling makes the events of one stream.
type telling struct {
	plan *Plan
	ask  *ask
	open []byte
	buf  []byte
}

// tell writes all events; false means that the stream has been broken off.
func (t *telling) tell(k *sink) bool {
	piecewise := t.plan.Gap > 0 || t.plan.Stall != nil
	for i := range t.count() {
		if t.plan.Stall != nil && i == *t.plan.Stall {
			<-k.ctx.Done()
			return false
		}
		t.event(i)
		if !piecewise {
			continue
		}
		if !t.pass(k) || i < t.plan.events() && !k.wait(t.plan.Gap) {
			return false
		}
	}
	t.line("[DONE]")
	if t.plan.Unended {
		t.buf = bytes.TrimRight(t.buf, "\r\n")
	}
	return t.pass(k)
}

// pass writes what has been made so far.
func (t *telling) pass(k *sink) bool {
	if !k.write(t.buf) {
		return false
	}
	k.flush()
	t.buf = t.buf[:0]
	return true
}

// count is the number of events before [DONE].
func (t *telling) count() int {
	n := t.plan.events() + 1
	if t.closing() {
		n++
	}
	return n
}

// closing reports whether an event of its own has the usage.
func (t *telling) closing() bool { return t.ask.includeUsage && t.plan.Usage == "" }

func (t *telling) event(i int) {
	words := t.plan.events()
	b := append([]byte(nil), t.open...)
	b = t.choices(b, i, words)
	switch {
	case t.plan.Usage == "every":
		b = t.ask.usage(t.plan, min(i+1, words)).append(append(b, `,"usage":`...))
	case i > words:
		b = t.ask.usage(t.plan, words).append(append(b, `,"usage":`...))
	case t.closing():
		b = append(b, `,"usage":null`...)
	}
	b = append(b, '}')
	if t.plan.Spaced {
		b = spaced(b)
	}
	t.line(string(b))
}

func (t *telling) choices(b []byte, i, words int) []byte {
	if i > words {
		return append(b, `[]`...)
	}
	finish := `null`
	text := ""
	if i == words {
		finish = `"stop"`
	} else {
		text = word(i, t.plan.Size)
	}
	b = append(b, `[{"index":0,`...)
	switch {
	case t.ask.endpoint != chat:
		b = append(append(append(b, `"text":"`...), text...), `"`...)
	case i == words:
		b = append(b, `"delta":{}`...)
	case i == 0:
		b = append(append(append(b, `"delta":{"role":"assistant","content":"`...), text...), `"}`...)
	default:
		b = append(append(append(b, `"delta":{"content":"`...), text...), `"}`...)
	}
	return append(append(append(b, `,"logprobs":null,"finish_reason":`...), finish...), `}]`...)
}

// line adds one event with its separator.
func (t *telling) line(data string) {
	t.buf = append(append(t.buf, "data: "...), data...)
	if t.plan.CRLF {
		t.buf = append(t.buf, "\r\n\r\n"...)
		return
	}
	t.buf = append(t.buf, "\n\n"...)
}
