package inband

import (
	"bytes"
	"compress/gzip"
	"math/rand/v2"
	"strings"
	"testing"
)

func packed(t *testing.T, text string) string {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := z.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := z.Flush(); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestACompressedAnswerIsReadWhenItIsOver(t *testing.T) {
	stream := packed(t, whole(streams()["LF"]))
	object := packed(t, `{"usage":{"prompt_tokens":3,"completion_tokens":4,"total_tokens":7,"prompt_tokens_details":{"cached_tokens":2},"completion_tokens_details":{"reasoning_tokens":1}}}`)
	for cut := range len(stream) {
		p := NewPacked(NewStream(false))
		if _, all := read(p, stream[:cut], stream[cut:]); all != stream || p.Usage() != reported {
			t.Fatalf("cut after %d: usage %v", cut, p.Usage())
		}
	}
	p := NewPacked(NewWhole())
	read(p, object)
	for range 2 {
		if got := p.Usage(); got != reported {
			t.Errorf("usage %v", got)
		}
	}
	if want := int64(len(whole(streams()["LF"]))); size(stream) != want {
		t.Errorf("size %d, want %d", size(stream), want)
	}
}

func size(raw string) int64 {
	p := NewPacked(NewStream(false))
	p.Feed([]byte(raw))
	p.Usage()
	return p.Size()
}

func TestACompressedStreamThatBrokeOffIsReadAsFarAsItCame(t *testing.T) {
	raw := packed(t, whole(streams()["LF"]))
	p := NewPacked(NewStream(false))
	p.Feed([]byte(raw[:len(raw)-9])) // without the end of gzip's own
	if p.Usage() != reported {
		t.Errorf("usage %v", p.Usage())
	}
}

func TestWhatCanNotBeUnpackedSaysNothing(t *testing.T) {
	noise := make([]byte, 2*maxPacked)
	for i := range noise {
		noise[i] = byte(rand.IntN(256))
	}
	usage := `{"usage":{"total_tokens":7}}`
	for name, text := range map[string]string{
		"no gzip": usage, "nothing": "", "too long": packed(t, `{"a":"`+string(noise)+`",`+usage[1:]),
		"long once unpacked": packed(t, strings.Repeat(" ", 2*maxUnpacked)+usage),
	} {
		p := NewPacked(NewWhole())
		if _, all := read(p, text); all != text || p.Usage() != (Usage{}) {
			t.Errorf("%s: usage %v", name, p.Usage())
		}
		if len(p.held) > maxPacked {
			t.Errorf("%s: %d bytes are held", name, len(p.held))
		}
	}
}
