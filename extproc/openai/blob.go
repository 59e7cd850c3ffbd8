package openai

import "bytes"

const (
	// largestWord is the bytes up to which a string counts as text whatever it is: so much text is about as many tokens
	// as an image.
	largestWord = 4096
	// sample is how much is looked at of the beginning, the middle and the end of a string.
	sample = 512
	// leastBlob is the tokens of an image, and the least of a sound or a file.
	leastBlob = 1000
)

// blobs sums up the strings of a body that are no text: their bytes, and the tokens that they count for.
type blobs struct{ bytes, tokens int }

// look takes a string for an image, a sound or a file only where the API has them, and where it begins like one: text
// that a client puts there in base64 counts like other text.
func (b *blobs) look(key, inner []byte) {
	if !holdsBlobs(key) {
		return
	}
	each, ok := bytesOfToken(payload(inner))
	if !ok || !isBase64(inner) {
		return
	}
	b.bytes += len(inner)
	tokens := leastBlob
	if each > 0 {
		tokens = max(tokens, len(inner)/each)
	}
	b.tokens += tokens
}

// holdsBlobs reports whether a member of this name may be binary: the URL of an image (`url`, in Responses `image_url`),
// a sound's `data`, a file's `file_data`, a made image's `b64_json`, and what other providers call the like.
func holdsBlobs(key []byte) bool {
	switch string(key) {
	case "url", "image_url", "audio_url", "video_url", "file_url", "data", "file_data", "b64_json":
		return true
	}
	return false
}

// payload is what follows the comma of a data URL, and other strings whole.
func payload(inner []byte) []byte {
	if !bytes.HasPrefix(inner, []byte("data:")) {
		return inner
	}
	_, after, _ := bytes.Cut(inner[:min(sample, len(inner))], []byte(";base64,"))
	return after
}

// bytesOfToken says by the beginning of base64 how many bytes of it make a token: 0 for images, which count as one each
// whatever their size. False for what is none of the formats that models take.
//
// A second of sound is 10 tokens at OpenAI and 32 at Google, so a WAV of 8 kHz has some 660 for each, an MP3 of 40 kbit/s
// some 200. The pages of a PDF differ too much for any figure to be right: from a few of text to a thousand of a scan.
func bytesOfToken(base64 []byte) (each int, ok bool) {
	for _, format := range [...]struct {
		begins string
		each   int
	}{
		{"iVBORw0KGgo", 0}, {"/9j/", 0}, {`\/9j\/`, 0}, {"R0lGOD", 0}, // PNG, JPEG, GIF
		{"SUQz", 200}, {"//", 200}, {`\/\/`, 200}, {"T2dnUw", 200}, // MP3 with and without a tag, Ogg
		{"ZkxhQw", 200}, // FLAC
		{"JVBERi", 100}, // PDF
	} {
		if bytes.HasPrefix(base64, []byte(format.begins)) {
			return format.each, true
		}
	}
	return containerOfToken(base64)
}

// containerOfToken is bytesOfToken for formats that name their content behind a length.
func containerOfToken(base64 []byte) (each int, ok bool) {
	if len(base64) < 16 {
		return 0, false
	}
	switch {
	case string(base64[:5]) == "UklGR" && string(base64[11:16]) == "XRUJQ": // RIFF, of WEBP
		return 0, true
	case string(base64[:5]) == "UklGR": // of WAVE
		return 400, true
	case string(base64[:4]) == "AAAA" && string(base64[6:11]) == "Z0eXB", // ftyp: MP4
		string(base64[:6]) == "GkXfow": // WebM
		return 100, true
	}
	return 0, false
}

// isBase64 tells base64, bare or in a data URL, from text. Some JSON writers escape its slashes.
func isBase64(inner []byte) bool {
	if bytes.IndexByte(inner, ' ') >= 0 {
		return false
	}
	head, middle := payload(inner), len(inner)/2
	return isAlphabet(head[:min(sample, len(head))]) &&
		isAlphabet(inner[middle:middle+sample]) && isAlphabet(inner[len(inner)-sample:])
}

func isAlphabet(part []byte) bool {
	for _, c := range part {
		if letter := c | 0x20; (letter < 'a' || letter > 'z') && (c < '/' || c > '9') && bytes.IndexByte([]byte(`+-_=\\`), c) < 0 {
			return false
		}
	}
	return true
}
