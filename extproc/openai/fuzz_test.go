package openai

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/nestor-gateway/nestor/routing/config"
)

func seeds(f *testing.F) {
	for _, body := range []string{
		`{}`, ` {"model":"a","stream":true,"stream_options":{"include_usage":false},"n":1} `,
		`{"mod\u0065l":"a"}`, `{"\u0061pi_base":"b"}`, `{"model":"a","Model":"b"}`, `{"fallbacks":["b"],"timeout":1.5,"num_retries":2,"x":[1,{"y":null}]}`,
		`{"cache":1,"model":"\ud83d\ude00","max_tokens":-1,"cache":2}`, `{"a":"\ud800","b":1e-5,}`, "\xef\xbb\xbf{}", "{\"a\":\"\xff\"}",
		`{"ſtream":true}`, `{"stream_options":null,"stream":true}`, `{"user":" \ud83d\n\u00e9"}`, `{"prompt":["a",["b"],null],"n":2,"best_of":3}`, `{"prompt":[ [1, 2] ,[]],"best_of":null}`, string(chatBody(600, false)),
	} {
		f.Add([]byte(body))
	}
}

// FuzzScan compares with encoding/json, which is looser: it takes duplicates and other cases, and mends UTF-8.
func FuzzScan(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, body []byte) {
		fields, err := Scan(body)
		if err != nil {
			checkRefusal(t, body, err)
			return
		}
		if !json.Valid(body) || !utf8.Valid(body) {
			t.Fatalf("accepted %q", body)
		}
		var loose struct {
			Model  string `json:"model"`
			Stream bool   `json:"stream"`
			Usage  struct {
				Include *bool `json:"include_usage"`
			} `json:"stream_options"`
		}
		if err := json.Unmarshal(body, &loose); err != nil {
			t.Fatalf("%q: %v", body, err)
		}
		same := (loose.Usage.Include == nil) == (fields.IncludeUsage == nil) &&
			(fields.IncludeUsage == nil || *fields.IncludeUsage == *loose.Usage.Include)
		checkSizes(t, body, fields)
		if len(fields.User) > maxUser || !utf8.ValidString(fields.User) {
			t.Fatalf("%q asks for %q", body, fields.User)
		}
		if loose.Model != fields.Model || loose.Stream != fields.Stream || !same {
			t.Fatalf("%q was read as %+v, by encoding/json as %+v", body, fields, loose)
		}
	})
}

// checkSizes makes sure that what is reserved is in proportion to the body.
func checkSizes(t *testing.T, body []byte, f *Fields) {
	var loose struct {
		Prompt json.RawMessage `json:"prompt"`
	}
	want, items := int64(1), []json.RawMessage{}
	if json.Unmarshal(body, &loose) == nil && json.Unmarshal(loose.Prompt, &items) == nil && len(items) > 0 && (items[0][0] == '"' || items[0][0] == '[') {
		want = int64(len(items))
	}
	if f.Prompts != 0 && f.Prompts != want {
		t.Fatalf("%q has %d prompts, want %d", body, f.Prompts, want)
	}
	if f.TextBytes < 2 || f.TextBytes > int64(len(body)) || f.BlobTokens < 0 || f.Completions() < 1 {
		t.Fatalf("%q: %d bytes of text, %d tokens of blobs, %d completions", body, f.TextBytes, f.BlobTokens, f.Completions())
	}
}

// checkRefusal makes sure that a body is called invalid only when it is.
func checkRefusal(t *testing.T, body []byte, err *Error) {
	if len(err.Body()) == 0 || !json.Valid(err.Body()) {
		t.Fatalf("%q: the error is %q", body, err.Body())
	}
	syntax := strings.HasPrefix(err.Message, "the request body is not valid JSON") && !strings.Contains(err.Message, "levels deep")
	if syntax && json.Valid(body) && utf8.Valid(body) {
		t.Fatalf("%q is valid, refused with %s", body, err.Message)
	}
}

// FuzzRewrite: what comes out is valid, and differs from what went in by the edits alone.
func FuzzRewrite(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, body []byte) {
		if _, err := Scan(body); err != nil {
			t.Skip()
		}
		before := bytes.Clone(body)
		checkRewrite(t, body, Edits{Model: "x/\"y", IncludeUsage: true, Defaults: []config.Field{{Name: "user", JSON: json.RawMessage(`{"a":1}`)}}})
		if !bytes.Equal(before, body) {
			t.Fatalf("%q became %q in place", before, body)
		}
	})
}

// FuzzShape: whatever an upstream answers, a client can read an error in it.
func FuzzShape(f *testing.F) {
	for _, body := range []string{
		``, `{"error":{"message":"m","type":"t"}}`, `[{"error":{"code":400,"message":"m","status":"S"}}]`, `{"detail":[{"msg":"m"}]}`,
		`{"type":"error","error":{"message":"m"}}`, `<html>`, `no healthy upstream`, "\x1f\x8b", `{"errors":[[[{"message":{"error":"m"}}]]]}`,
	} {
		f.Add(502, "text/plain", []byte(body))
	}
	f.Fuzz(func(t *testing.T, status int, contentType string, body []byte) {
		shaped, changed := Shape(status, contentType, body)
		if !changed && !bytes.Equal(shaped, body) {
			t.Fatalf("%q became %q", body, shaped)
		}
		got, ok := ParseError(shaped)
		if !ok || got.Message == "" {
			t.Fatalf("%q became %q, read as %+v", body, shaped, got)
		}
		Classify(status, got)
	})
}
