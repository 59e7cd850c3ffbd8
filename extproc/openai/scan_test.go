package openai

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func ptr[T any](v T) *T { return &v }

func TestScanReadsWhatNestorNeeds(t *testing.T) {
	for body, want := range map[string]Fields{
		`{}`:                              {},
		" \t\r\n{ \"model\" : \"a\" } \n": {HasModel: true, Model: "a"},
		`{"model":"groq\/a\u002db \u00e9\ud83d\ude00é"}`:        {HasModel: true, Model: "groq/a-b é😀é"},
		`{"stream":true,"model":"a"}`:                           {HasModel: true, Model: "a", Stream: true},
		`{"stream":false}`:                                      {},
		`{"stream":null,"stream_options":null}`:                 {},
		`{"stream_options":{}}`:                                 {},
		`{"stream_options":{"x":[1],"include_usage":true}}`:     {IncludeUsage: ptr(true)},
		`{"stream_options":{"include_usage":false}}`:            {IncludeUsage: ptr(false)},
		`{"stream_options":{"include_usage":null}}`:             {},
		`{"max_tokens":10,"max_completion_tokens":20,"n":3}`:    {MaxTokens: ptr(int64(10)), MaxCompletionTokens: ptr(int64(20)), N: ptr(int64(3))},
		`{"max_tokens":0}`:                                      {MaxTokens: ptr(int64(0))},
		`{"max_tokens":-1,"max_completion_tokens":null}`:        {},
		`{"max_tokens":1e2,"n":2.0}`:                            {MaxTokens: ptr(int64(100)), N: ptr(int64(2))},
		`{"n":2,"best_of":5,"prompt":"a"}`:                      {N: ptr(int64(2)), BestOf: ptr(int64(5)), Prompts: 1},
		`{"best_of":null,"prompt":null}`:                        {Prompts: 1},
		`{"prompt":["a", "b" ,"c,d"]}`:                          {Prompts: 3},
		`{"prompt":[[1,2],[3]]}`:                                {Prompts: 2},
		`{"prompt":[1,2,3]}`:                                    {Prompts: 1},
		`{"prompt":[]}`:                                         {Prompts: 1},
		`{"fallbacks":["b",{"model":"c"}],"num_retries":0}`:     {Fallbacks: []string{"b", "c"}, NumRetries: ptr(0)},
		`{"fallbacks":null,"num_retries":null,"timeout":null}`:  {},
		`{"timeout":1.5,"disable_fallbacks":true}`:              {Timeout: ptr(1500 * time.Millisecond), DisableFallbacks: true},
		`{"x":1,"x":2,"\u0078":3,"X":4}`:                        {},
		`{"metadata":{"model":1,"model":2,"mod\u0065l":3}}`:     {},
		`{"messages":[{"role":"user","content":"\ud800 é"}]}`:   {},
		`{"a":-0.1e-5,"b":[true,false,null,[],{},""],"c":1E+2}`: {},
	} {
		t.Run(body, func(t *testing.T) {
			got, err := Scan([]byte(body))
			if err != nil {
				t.Fatal(err)
			}
			want.TextBytes = int64(len(body))
			if diff := cmp.Diff(&want, got, cmpopts.IgnoreUnexported(Fields{})); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestScanReadsWhomAClientAsksFor(t *testing.T) {
	long := strings.Repeat("é", 2000)
	for user, want := range map[string]string{
		`"ann"`:                               "ann",
		`" ann\t"`:                            "ann",
		`"a\u00e9\n\u0000b"`:                  "aéb",
		"\"a\u007f\u0085b\"":                  "ab",
		`"\ud83d\ude00"`:                      "😀",
		`"\ud800"`:                            "\ufffd",
		`"{\"id\":1}"`:                        `{"id":1}`,
		`17`:                                  "17",
		`-1.5e3`:                              "-1.5e3",
		`null`:                                "",
		`true`:                                "",
		`["ann"]`:                             "",
		`{"id":"ann"}`:                        "",
		`""`:                                  "",
		`"` + long + `"`:                      long[:256],
		`"x` + long[:300] + `"`:               "x" + long[:254],
		`"ann\u0021` + long + `"`:             "ann",
		strings.Repeat("1", 300):              strings.Repeat("1", 256),
		`"` + strings.Repeat(`\n`, 9e5) + `"`: "",
	} {
		fields, err := Scan([]byte(`{"user":` + user + `}`))
		if err != nil {
			t.Errorf("%.50s: %v", user, err)
		} else if fields.User != want {
			t.Errorf("%.50s is %q, want %q", user, fields.User, want)
		}
	}
}

func TestScanRefusesWhatIsNoJSONObject(t *testing.T) {
	const invalid = "the request body is not valid JSON: "
	checkRefusals(t, map[string]string{
		``:                         "the request body is empty; send a JSON object",
		" \n":                      "the request body is empty; send a JSON object",
		"\xef\xbb\xbf{}":           "the request body begins with a byte order mark; send UTF-8 without one",
		`[]`:                       "the request body must be a JSON object, found '[' at byte 0",
		` null`:                    "the request body must be a JSON object, found 'n' at byte 1",
		`{}x`:                      "the request body goes on after its JSON object: 'x' at byte 2",
		`{}{}`:                     "the request body goes on after its JSON object: '{' at byte 2",
		"{}\x00":                   `the request body goes on after its JSON object: '\x00' at byte 2`,
		`{`:                        invalid + "expected a member's name or '}', but the body ends at byte 1",
		`{"a":1,}`:                 invalid + "expected a member's name after the comma, found '}' at byte 7",
		`{"a":[1,]}`:               invalid + "expected a value, found ']' at byte 8",
		`{"a" 1}`:                  invalid + "expected ':' after a member's name, found '1' at byte 5",
		`{"a":1 "b":2}`:            invalid + `expected ',' or '}' after a member of an object, found '"' at byte 7`,
		`{"a":[1 2]}`:              invalid + "expected ',' or ']' after a value of an array, found '2' at byte 8",
		`{"a":01}`:                 invalid + "expected ',' or '}' after a member of an object, found '1' at byte 6",
		`{"a":1.}`:                 invalid + "expected a digit, found '}' at byte 7",
		`{"a":+1}`:                 invalid + "expected a value, found '+' at byte 5",
		`{"a":1e}`:                 invalid + "expected a digit, found '}' at byte 7",
		`{"a":-}`:                  invalid + "expected a digit, found '}' at byte 6",
		`{"a":nul}`:                invalid + "expected a value, found 'n' at byte 5",
		`{"a":NaN}`:                invalid + "expected a value, found 'N' at byte 5",
		`{'a':1}`:                  invalid + `expected a member's name or '}', found '\'' at byte 1`,
		`{a:1}`:                    invalid + "expected a member's name or '}', found 'a' at byte 1",
		`{"a":"b`:                  invalid + "expected the end of a string, but the body ends at byte 7",
		`{"a":"b\`:                 invalid + "expected an escape that JSON knows after the backslash, but the body ends at byte 8",
		`{"a":"\x41"}`:             invalid + "expected an escape that JSON knows after the backslash, found 'x' at byte 7",
		`{"a":"\u00g0"}`:           invalid + `expected four hexadecimal digits after \u, found 'g' at byte 10`,
		"{\"a\":\"b\nc\"}":         invalid + `expected a string without control characters, found '\n' at byte 7`,
		"{\"a\":\"\x00\"}":         invalid + `expected a string without control characters, found '\x00' at byte 6`,
		"{\"a\":\"é\xff\"}":        invalid + "invalid UTF-8 at byte 8",
		"{\"a\":\"\xed\xa0\x80\"}": invalid + "invalid UTF-8 at byte 6",
		"{\"a\":\xff}":             invalid + "expected a value, found the byte 0xff at byte 5",
		"{\"a\":1 /* */}":          invalid + "expected ',' or '}' after a member of an object, found '/' at byte 7",
	})
}

func TestScanRefusesWhatCanBeReadInTwoWays(t *testing.T) {
	checkRefusals(t, map[string]string{
		`{"model":"a","model":"b"}`:                 `the request body has "model" twice`,
		`{"model":"a","model":"a"}`:                 `the request body has "model" twice`,
		`{"mod\u0065l":"a"}`:                        `the request body has a member named "mod\\u0065l"; write it as "model", without escapes and in lower case`,
		`{"model":"a","Model":"b"}`:                 `the request body has a member named "Model"; write it as "model", without escapes and in lower case`,
		`{"ſtream":true}`:                           `the request body has a member named "ſtream"; write it as "stream", without escapes and in lower case`,
		`{"max_toKens":1}`:                          `the request body has a member named "max_toKens"; write it as "max_tokens", without escapes and in lower case`,
		`{"stream":true,"stream":1}`:                `the request body has "stream" twice`,
		`{"best_of":1,"best_of":1}`:                 `the request body has "best_of" twice`,
		`{"best\u005fof":1}`:                        `the request body has a member named "best\\u005fof"; write it as "best_of", without escapes and in lower case`,
		`{"num\u005fretries":1}`:                    `the request body has a member named "num\\u005fretries"; write it as "num_retries", without escapes and in lower case`,
		`{"n":1,"n":1}`:                             `the request body has "n" twice`,
		`{"user":"a","user":"b"}`:                   `the request body has "user" twice`,
		`{"stream_options":{},"stream_options":{}}`: `the request body has "stream_options" twice`,
		`{"stream_options":{"include_usage":true,"include_usage":true}}`: `stream_options has "include_usage" twice`,
		`{"stream_options":{"include_us\u0061ge":true}}`:                 `the request body has a member named "include_us\\u0061ge"; write it as "include_usage", without escapes and in lower case`,
		`{"stream_options":{"Include_Usage":true}}`:                      `the request body has a member named "Include_Usage"; write it as "include_usage", without escapes and in lower case`,
	})
}

func TestScanRefusesValuesOfAWrongKind(t *testing.T) {
	checkRefusals(t, map[string]string{
		`{"model":5}`:                            "model must be a string, found 5",
		`{"model":null}`:                         "model must be a string, found null",
		`{"model":["a"]}`:                        `model must be a string, found ["a"]`,
		`{"model":""}`:                           "model must not be empty",
		`{"model":"a\r\nb"}`:                     `model must not hold control characters or invalid UTF-8: "a\r\nb"`,
		`{"model":"a\u0000"}`:                    `model must not hold control characters or invalid UTF-8: "a\x00"`,
		`{"model":"a\ud800"}`:                    `model is not valid Unicode: "a\ud800"`,
		`{"stream":"true"}`:                      `stream must be true, false or null, found "true"`,
		`{"stream":1}`:                           "stream must be true, false or null, found 1",
		`{"stream_options":[]}`:                  "stream_options must be an object or null, found []",
		`{"stream_options":{"include_usage":1}}`: "stream_options.include_usage must be true, false or null, found 1",
		`{"max_tokens":"1"}`:                     `max_tokens must be an integer from -1 to 2147483647, found "1"`,
		`{"max_tokens":1.5}`:                     "max_tokens must be an integer from -1 to 2147483647, found 1.5",
		`{"max_tokens":-2}`:                      "max_tokens must be an integer from -1 to 2147483647, found -2",
		`{"max_completion_tokens":1e99}`:         "max_completion_tokens must be an integer from -1 to 2147483647, found 1e99",
		`{"max_tokens":99999999999999999999}`:    "max_tokens must be an integer from -1 to 2147483647, found 99999999999999999999",
		`{"best_of":"2"}`:                        `best_of must be an integer from 1 to 65536, found "2"`,
		`{"n":0}`:                                "n must be an integer from 1 to 65536, found 0",
		`{"n":true}`:                             "n must be an integer from 1 to 65536, found true",
		`{"num_retries":-1}`:                     "num_retries must be an integer from 0 to 2147483647, found -1",
		`{"timeout":0}`:                          "timeout must be a number of seconds over 0, at most 86400, found 0",
		`{"timeout":"5"}`:                        `timeout must be a number of seconds over 0, at most 86400, found "5"`,
		`{"timeout":1e300}`:                      "timeout must be a number of seconds over 0, at most 86400, found 1e300",
		`{"fallbacks":"b"}`:                      `fallbacks must be an array of model names, found "b"`,
		`{"fallbacks":[5]}`:                      "fallbacks must be an array of model names, found in it 5",
		`{"fallbacks":["a\nb"]}`:                 `fallbacks must be an array of model names, found in it "a\nb"`,
		`{"fallbacks":[{"model":"b","temperature":"1"}]}`: `fallbacks must be an array of model names, found in it {"model":"b","temperature":"1"}`,
	})
}

func checkRefusals(t *testing.T, messages map[string]string) {
	t.Helper()
	for body, want := range messages {
		t.Run(body, func(t *testing.T) {
			f, err := Scan([]byte(body))
			if err == nil {
				t.Fatalf("accepted as %+v", f)
			}
			if diff := cmp.Diff(want, err.Message); diff != "" || err.Status != 400 || err.Type != "invalid_request_error" {
				t.Errorf("status %d, type %s, -want +got:\n%s", err.Status, err.Type, diff)
			}
		})
	}
}

func TestScanBoundsWhatItReads(t *testing.T) {
	nested := func(depth int) string {
		return `{"a":` + strings.Repeat("[", depth-1) + strings.Repeat("]", depth-1) + `}`
	}
	for name, c := range map[string]struct{ body, want string }{
		"1000 levels":    {nested(1000), ""},
		"1001 levels":    {nested(1001), "the request body is not valid JSON: nested more than 1000 levels deep at byte 1004"},
		"a million open": {`{"a":` + strings.Repeat(`[{"a":`, 1<<19), "the request body is not valid JSON: nested more than 1000 levels deep at byte 3000"},
		"a long model":   {`{"model":"` + strings.Repeat("a", 1024) + `"}`, ""},
		"a longer model": {`{"model":"` + strings.Repeat("a", 1025) + `"}`, "model is longer than 1024 bytes"},
		"10000 members":  {`{"":1` + strings.Repeat(`,"":1`, 9999) + `}`, ""},
		"10001 members":  {`{"":1` + strings.Repeat(`,"":1`, 10000) + `}`, "the request body has more than 10000 members"},
		"33 fallbacks":   {`{"fallbacks":["a"` + strings.Repeat(`,"a"`, 32) + `]}`, "fallbacks has 33 models; at most 32 are taken"},
	} {
		t.Run(name, func(t *testing.T) {
			got := ""
			if _, err := Scan([]byte(c.body)); err != nil {
				got = err.Message
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// The body of LiteLLM's own example has a comma too many.
func TestScanNamesTheByteOfATrailingComma(t *testing.T) {
	body := " {\n\"model\": \"gpt-3.5-turbo\",\n\"messages\": [\n{\n\"role\": \"user\",\n\"content\": \"what llm are you\"\n}\n],\n}\n"
	_, err := Scan([]byte(body))
	want := Invalid("", "the request body is not valid JSON: expected a member's name after the comma, found '}' at byte 96")
	if diff := cmp.Diff(want, err); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}
