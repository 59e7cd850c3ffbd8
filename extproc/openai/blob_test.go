package openai

import (
	"strings"
	"testing"
)

func TestImagesAndSoundsAreNoText(t *testing.T) {
	picture := strings.Repeat("iVBORw0KGgo/+", 1000)
	for name, c := range map[string]struct {
		body  string
		blobs int64
	}{
		"data URL":             {`{"a":"data:image/png;base64,` + picture + `"}`, 1},
		"escaped slashes":      {`{"a":"data:image\/png;base64,` + strings.ReplaceAll(picture, "/", `\/`) + `"}`, 1},
		"bare base64, twice":   {`{"a":["` + picture + `","` + picture + `="]}`, 2},
		"long text":            {`{"a":"` + strings.Repeat("some words ", 1000) + `"}`, 0},
		"long text in Chinese": {`{"a":"` + strings.Repeat("你好", 2000) + `"}`, 0},
		"a short word":         {`{"a":"` + picture[:1000] + `"}`, 0},
		"a data URL of text":   {`{"a":"data:text/plain,` + strings.Repeat("some words ", 1000) + `"}`, 0},
	} {
		got, err := Scan([]byte(c.body))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if got.Blobs != c.blobs {
			t.Errorf("%s: %d blobs, want %d", name, got.Blobs, c.blobs)
		}
		if isText := got.TextBytes == int64(len(c.body)); isText != (c.blobs == 0) || got.TextBytes < 7 {
			t.Errorf("%s: %d of %d bytes are text", name, got.TextBytes, len(c.body))
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
