package openai

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
)

func TestImagesSoundsAndFilesAreNoText(t *testing.T) {
	encoded := func(begins string, bytes int) string {
		return base64.StdEncoding.EncodeToString([]byte(begins + strings.Repeat("\x00\xff\x10\x83", bytes/4)))
	}
	png, mp3, wav := encoded("\x89PNG\r\n\x1a\n\x00\x00", 30_000), encoded("ID3\x04", 300_000), encoded("RIFF\x01\x02\x03\x04WAVEfmt ", 300_000)
	pdf, webp, mp4 := encoded("%PDF-1.7\n", 300_000), encoded("RIFF\x01\x02\x03\x04WEBPVP8 ", 300_000), encoded("\x00\x00\x00\x20ftypisom", 300_000)
	for name, c := range map[string]struct {
		body   string
		tokens int64
	}{
		"image":               {`{"url":"data:image/png;base64,` + png + `"}`, 1000},
		"image of Responses":  {`{"image_url":"data:image/webp;base64,` + webp + `"}`, 1000},
		"escaped slashes":     {`{"url":"data:image\/jpeg;base64,` + strings.ReplaceAll(encoded("\xff\xd8\xff\xe0", 30_000), "/", `\/`) + `"}`, 1000},
		"two bare images":     {`{"a":[{"b64_json":"` + png + `"},{"b64_json":"` + png + `"}]}`, 2000},
		"sound":               {`{"input_audio":{"data":"` + mp3 + `"}}`, int64(len(mp3) / 200)},
		"sound without a tag": {`{"data":"` + encoded("\xff\xfb\x90\x00", 300_000) + `"}`, 2000},
		"short sound":         {`{"data":"` + encoded("OggS", 30_000) + `"}`, 1000},
		"WAV":                 {`{"data":"` + wav + `"}`, int64(len(wav) / 400)},
		"file":                {`{"file":{"file_data":"data:application/pdf;base64,` + pdf + `"}}`, int64(len("data:application/pdf;base64,"+pdf) / 100)},
		"video":               {`{"url":"data:video/mp4;base64,` + mp4 + `"}`, int64(len("data:video/mp4;base64,"+mp4) / 100)},
	} {
		got, err := Scan([]byte(c.body))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if got.BlobTokens != c.tokens || got.TextBytes > 60 || got.TextBytes < 8 {
			t.Errorf("%s: %d tokens and %d bytes of text, want %d and a few", name, got.BlobTokens, got.TextBytes, c.tokens)
		}
	}
}

func TestTextCountsInFullWhateverItLooksLike(t *testing.T) {
	png := base64.StdEncoding.EncodeToString([]byte("\x89PNG\r\n\x1a\n" + strings.Repeat("\x00\xff\x10\x83", 10_000)))
	words := strings.Repeat(" word", 80_000)
	url := func(text string) string { return `{"url":"data:image/png;base64,` + text + `"}` }
	for name, body := range map[string]string{
		"a long word, then words":    `{"content":"` + strings.Repeat("a", 512) + words + `"}`,
		"base64 of a message":        `{"content":"` + strings.Repeat("QUJD", 10_000) + `"}`,
		"an image as a message":      `{"content":"data:image/png;base64,` + png + `"}`,
		"an image as text":           `{"type":"text","text":"` + png + `"}`,
		"an image in input":          `{"input":["` + png + `"]}`,
		"an image in a prompt":       `{"prompt":"` + png + `"}`,
		"an image in a list":         `{"data":["` + png + `"]}`,
		"an image as a name":         `{"` + png + `":1}`,
		"words after an image":       url(png + words),
		"words in an image":          url(png + words + png),
		"lines in an image":          url(png + strings.Repeat(`\n`+"word,", 5_000) + png),
		"text in base64":             `{"file_data":"data:text/plain;base64,` + strings.Repeat("QUJD", 10_000) + `"}`,
		"text in base64 as an image": url(strings.Repeat("QUJD", 10_000)),
		"a data URL of text":         `{"url":"data:text/plain,` + words + `"}`,
		"less than an image":         `{"b64_json":"` + png[:4000] + `"}`,
		"Chinese":                    `{"data":"` + strings.Repeat("你好", 2000) + `"}`,
		"no comma":                   `{"url":"data:` + strings.Repeat("a", 10_000) + `"}`,
	} {
		got, err := Scan([]byte(body))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if got.BlobTokens != 0 || got.TextBytes != int64(len(body)) {
			t.Errorf("%s: %d of %d bytes are text, and %d tokens", name, got.TextBytes, len(body), got.BlobTokens)
		}
	}
}

func TestTheMostThatABodyAllowsACompletion(t *testing.T) {
	for body, want := range map[string]string{
		`{}`:                          "unsaid",
		`{"max_tokens":7}`:            "7",
		`{"max_tokens":0}`:            "unsaid",
		`{"max_tokens":-1}`:           "unsaid",
		`{"max_tokens":null}`:         "unsaid",
		`{"max_completion_tokens":9}`: "9",
		`{"max_completion_tokens":1,"max_tokens":100000}`: "100000",
		`{"max_completion_tokens":100000,"max_tokens":1}`: "100000",
		`{"max_completion_tokens":0,"max_tokens":50}`:     "50",
		`{"max_completion_tokens":50,"max_tokens":null}`:  "50",
	} {
		fields, err := Scan([]byte(body))
		if err != nil {
			t.Fatal(err)
		}
		got := "unsaid"
		if most := fields.MostOutput(); most != nil {
			got = fmt.Sprint(*most)
		}
		if got != want {
			t.Errorf("%s: %s, want %s", body, got, want)
		}
	}
}

func TestCompletionsOfARequest(t *testing.T) {
	for body, want := range map[string]int64{
		`{}`: 1, `{"n":3}`: 3, `{"n":2,"best_of":4}`: 4, `{"n":2,"prompt":["a","b","c"]}`: 6, `{"prompt":"a"}`: 1,
	} {
		got, err := Scan([]byte(body))
		if err != nil {
			t.Fatal(err)
		}
		if got.Completions() != want {
			t.Errorf("%s: %d completions, want %d", body, got.Completions(), want)
		}
	}
}
