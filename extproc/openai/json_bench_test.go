package openai

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/tidwall/gjson"
)

// chatBody is a chat request of about size bytes: a conversation, or one long base64 image.
func chatBody(size int, image bool) []byte {
	var b strings.Builder
	b.WriteString(`{"model":"fast","messages":[{"role":"system","content":"You are a careful assistant."}`)
	for i := 0; !image && b.Len() < size-150; i++ {
		fmt.Fprintf(&b, `,{"role":"user","content":"Turn %d: what does \"reservation\" mean here?\nPlease explain, with one example, in %d words."}`, i, i+10)
	}
	if image {
		fmt.Fprintf(&b, `,{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:image/png;base64,%s"}}]}`,
			strings.Repeat("iVBORw0KGgo/", (size-300)/12))
	}
	b.WriteString(`],"temperature":0.7,"max_tokens":256,"stream":true,"stream_options":{"include_usage":false}}`)
	return []byte(b.String())
}

// benchBodies are chat requests of the sizes that matter; text beyond ASCII has its own way through the scanner.
func benchBodies() map[string][]byte {
	return map[string][]byte{
		"1KB": chatBody(1<<10, false), "100KB": chatBody(100<<10, false),
		"10MB": chatBody(10<<20, false), "10MBimage": chatBody(10<<20, true),
		"100KBcjk": []byte(`{"model":"fast","messages":"` + strings.Repeat("群組可以由其他群組組成。", 2800) + `"}`),
	}
}

// BenchmarkScan compares the scanner with what else could do its work: encoding/json's validator with
// a decode of the top level, and gjson's validator with its walk (which does not see invalid UTF-8).
// BenchmarkScanJSONText, under GOEXPERIMENT=jsonv2, adds encoding/json/jsontext.
func BenchmarkScan(b *testing.B) {
	for name, body := range benchBodies() {
		for how, scan := range map[string]func([]byte) bool{
			"nestor": func(body []byte) bool { _, err := Scan(body); return err == nil },
			"encoding": func(body []byte) bool {
				var top struct {
					Model  string
					Stream bool
				}
				return json.Unmarshal(body, &top) == nil
			},
			"gjson": func(body []byte) bool {
				ok := gjson.ValidBytes(body)
				gjson.ParseBytes(body).ForEach(func(_, _ gjson.Result) bool { return true })
				return ok
			},
		} {
			b.Run(name+"/"+how, func(b *testing.B) {
				b.SetBytes(int64(len(body)))
				b.ReportAllocs()
				for b.Loop() {
					if !scan(body) {
						b.Fatal("refused")
					}
				}
			})
		}
	}
}
