package inband

import "bytes"

// maxHeld bounds the bytes of an unfinished event that are held back; a longer one passes.
const maxHeld = 1 << 20

// column is where in a line of a stream the reader is: how many bytes of "data:" it has seen, or beyond.
type column uint8

const (
	field column = 5 // all of "data:"
	value column = 6 // in the data
	skip  column = 7 // in a line that is no data
)

// Stream reads a stream of server-sent events. Lines end with LF, CR or CR LF, and an event with an empty line;
// the standard allows all of them, mixed too.
type Stream struct {
	strip bool // the usage event is to be taken out
	usage Usage

	// The event that has begun.
	scanner scanner
	hasData bool
	column  column
	begun   bool // the line has a byte
	passing bool // its beginning was passed on
	held    []byte

	afterCR  bool // the last byte was a CR: an LF now belongs to it
	ended    bool // and that CR ended an event
	stripped bool // which was taken out
}

// NewStream returns a reader of a stream. With strip it takes out the event that only reports usage.
func NewStream(strip bool) *Stream {
	s := &Stream{strip: strip}
	s.scanner.reset()
	return s
}

// Usage is what the events said that are complete; of each count the last one.
func (s *Stream) Usage() Usage { return s.usage }

// Feed holds back no more than the beginning of an event that may be the one to take out.
func (s *Stream) Feed(piece []byte) []byte {
	if len(piece) == 0 {
		return piece
	}
	out := output{piece: piece}
	from, begin := s.lineFeed(piece, &out) // begin is where the event begins in this piece
	hasCR := bytes.IndexByte(piece, '\r') >= 0
	for from < len(piece) {
		end, next := lineEnd(piece, from, hasCR)
		s.line(piece[from:end])
		if next > end { // the line is complete
			s.afterCR = next == len(piece) && piece[next-1] == '\r'
			s.ended = !s.begun
			if s.ended {
				s.event(&out, begin, next)
				begin = next
			}
			s.endLine()
		}
		from = next
	}
	s.rest(&out, begin)
	return out.bytes()
}

// End passes on what was held: the beginning of an event that was never finished.
func (s *Stream) End() []byte {
	if s.hasData {
		s.count()
	}
	held := s.held
	s.held = nil
	return held
}

// lineFeed deals with an LF whose CR came with the last piece: it shares its fate. It returns where the piece
// goes on, and where in it the event begins.
func (s *Stream) lineFeed(piece []byte, out *output) (from, begin int) {
	follows := s.afterCR && piece[0] == '\n'
	s.afterCR = false
	switch {
	case !follows:
		return 0, 0
	case !s.ended:
		return 1, 0
	case s.stripped:
		out.drop(0, 1)
	}
	return 1, 1
}

// lineEnd returns where the line ends and where the next one begins; both are the end of the piece when it is unfinished.
func lineEnd(piece []byte, from int, hasCR bool) (end, next int) {
	var n int
	if hasCR {
		n = bytes.IndexAny(piece[from:], "\r\n")
	} else {
		n = bytes.IndexByte(piece[from:], '\n')
	}
	if n < 0 {
		return len(piece), len(piece)
	}
	end, next = from+n, from+n+1
	if piece[end] == '\r' && next < len(piece) && piece[next] == '\n' {
		next++
	}
	return end, next
}

// line reads the next bytes of a line, without its end.
func (s *Stream) line(text []byte) {
	if len(text) == 0 {
		return
	}
	s.begun = true
	for len(text) > 0 && s.column < field {
		if text[0] != "data:"[s.column] {
			s.column = skip
			return
		}
		if s.column++; s.column == field {
			s.beginData()
		}
		text = text[1:]
	}
	if len(text) > 0 && s.column == field {
		s.column = value
		if text[0] == ' ' {
			text = text[1:]
		}
	}
	if s.column == value {
		s.scanner.feed(text)
	}
}

// beginData joins the data of several lines by line ends.
func (s *Stream) beginData() {
	if s.hasData {
		s.scanner.feed([]byte{'\n'})
	}
	s.hasData = true
}

func (s *Stream) endLine() { s.column, s.begun = 0, false }

// event ends the event that is piece[begin:next], and what is held before it.
func (s *Stream) event(out *output, begin, next int) {
	s.stripped = s.strip && !s.passing && s.scanner.reports()
	if s.stripped {
		s.held = nil
		out.drop(begin, next)
	} else {
		out.before(s.release())
	}
	s.count()
	s.scanner.reset()
	s.hasData, s.passing = false, false
}

// rest keeps the beginning of an event back, or lets it pass.
func (s *Stream) rest(out *output, begin int) {
	tail := out.piece[begin:]
	if !s.strip || s.passing || len(tail) == 0 {
		return
	}
	if s.scanner.harmless() || len(s.held)+len(tail) > maxHeld {
		s.passing = true
		out.before(s.release())
		return
	}
	s.held = append(s.held, tail...)
	out.drop(begin, len(out.piece))
}

func (s *Stream) release() []byte {
	held := s.held
	s.held = nil
	return held
}

// count takes what a complete event says into account.
func (s *Stream) count() {
	if s.scanner.whole() {
		s.usage.merge(s.scanner.found)
	}
}

// output is a piece without what is dropped from it, and what comes before it.
type output struct {
	piece []byte
	from  int // of the piece, what is before has been dealt with
	out   []byte
	// changed says that out is in use: until then all of the piece passes as it is.
	changed bool
}

// before passes on what was held back before the piece; nothing of the piece has been passed on yet.
func (o *output) before(held []byte) {
	if len(held) > 0 {
		o.out, o.changed = append(held, o.out...), true
	}
}

// drop takes a part out; parts come in order.
func (o *output) drop(begin, end int) {
	o.out, o.changed = append(o.out, o.piece[o.from:begin]...), true
	o.from = end
}

func (o *output) bytes() []byte {
	if !o.changed {
		return o.piece
	}
	return append(o.out, o.piece[o.from:]...)
}
