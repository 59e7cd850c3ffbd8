// Package inband reads the token counts of answers from their bytes as they pass, where no filter of Envoy does,
// and takes out of a stream the event that its client did not ask for. What it does is what Envoy's
// json_to_metadata and the filter of package envoy do.
package inband

// Reader reads one answer, piece by piece.
type Reader interface {
	// Feed takes the next piece and returns what of it, and of what was held back before, is to be passed on.
	// The piece is not kept, but may be returned.
	Feed(piece []byte) []byte
	// End returns what is still held back when the answer is over.
	End() []byte
	// Usage is what was read so far.
	Usage() Usage
}

// Whole reads an answer that is one JSON object. Of a usage it knows only once the object is complete.
type Whole struct{ scanner scanner }

// NewWhole returns a reader of an answer in JSON.
func NewWhole() *Whole {
	w := &Whole{}
	w.scanner.reset()
	return w
}

// Feed passes everything on.
func (w *Whole) Feed(piece []byte) []byte {
	w.scanner.feed(piece)
	return piece
}

// End holds nothing.
func (w *Whole) End() []byte { return nil }

// Usage is nothing until the answer is complete.
func (w *Whole) Usage() Usage {
	var u Usage
	if w.scanner.whole() {
		u.merge(w.scanner.found)
	}
	return u
}
