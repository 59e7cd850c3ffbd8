package inband

import (
	"bytes"
	"compress/gzip"
	"io"
)

const (
	// maxPacked bounds what is kept of a compressed answer; of a longer one nothing is known.
	maxPacked = 1 << 20
	// maxUnpacked bounds what it is read to.
	maxUnpacked = 32 << 20
)

// Packed reads an answer that comes compressed with gzip though it was not to be. It passes as it is, its usage
// event too, and is unpacked once it is over, or broken off.
type Packed struct {
	inner Reader
	held  []byte
	long  bool
	size  int64 // of what was unpacked
}

// NewPacked reads what is packed with inner.
func NewPacked(inner Reader) *Packed { return &Packed{inner: inner} }

// Feed passes everything on.
func (p *Packed) Feed(piece []byte) []byte {
	if p.long = p.long || len(p.held)+len(piece) > maxPacked; p.long {
		p.held = nil
		return piece
	}
	p.held = append(p.held, piece...)
	return piece
}

// End holds nothing.
func (p *Packed) End() []byte { return nil }

// Size is how many bytes the answer has once unpacked, after Usage; 0 is unknown.
func (p *Packed) Size() int64 { return p.size }

// Usage unpacks what has come.
func (p *Packed) Usage() Usage {
	z, err := gzip.NewReader(bytes.NewReader(p.held))
	p.held = nil
	if err != nil {
		return p.inner.Usage()
	}
	rest := io.LimitReader(z, maxUnpacked)
	for room := make([]byte, 32<<10); err == nil; { // an answer that broke off ends with an error
		var n int
		n, err = rest.Read(room)
		p.size += int64(n)
		p.inner.Feed(room[:n])
	}
	p.inner.End()
	return p.inner.Usage()
}
