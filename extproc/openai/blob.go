package openai

import "bytes"

const (
	// largestWord is more bytes than anything has that is written without a space: a longer string
	// of base64 is an image, a sound or a file.
	largestWord = 4096
	// sample is how much of a string is looked at.
	sample = 512
)

// blobs counts the strings of a body that are no text, and their bytes.
type blobs struct{ count, bytes int }

func (b *blobs) look(inner []byte) {
	if isBase64(inner) {
		b.count++
		b.bytes += len(inner)
	}
}

// isBase64 tells base64, bare or in a data URL, from text by its beginning. Some JSON writers
// escape its slashes.
func isBase64(inner []byte) bool {
	head := inner[:min(sample, len(inner))]
	if bytes.HasPrefix(head, []byte("data:")) {
		if comma := bytes.IndexByte(head, ','); comma > 0 {
			head = head[comma+1:]
		}
	}
	for _, c := range head {
		if letter := c | 0x20; (letter < 'a' || letter > 'z') && (c < '/' || c > '9') && bytes.IndexByte([]byte(`+-_=\\`), c) < 0 {
			return false
		}
	}
	return true
}
