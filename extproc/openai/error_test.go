package openai

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/nestor-gateway/nestor/routing"
)

func TestRefusalsHaveOpenAIsShape(t *testing.T) {
	for want, e := range map[string]*Error{
		`400 {"error":{"message":"bad \"n\"","type":"invalid_request_error","param":"n","code":null}}`:                                                                                                       Invalid("n", `bad "n"`),
		`400 {"error":{"message":"the request names no model: set \"model\" in the body; GET /v1/models lists the names","type":"invalid_request_error","param":"model","code":null}}`:                       MissingModel(),
		`400 {"error":{"message":"Invalid model name passed in model=gpt-9. GET /v1/models lists the names.","type":"invalid_request_error","param":"model","code":"model_not_found"}}`:                      UnknownModel("gpt-9"),
		`404 {"error":{"message":"unknown endpoint POST /v1/x: Nestor has POST /v1/chat/completions, /v1/completions and /v1/embeddings","type":"invalid_request_error","param":null,"code":"unknown_url"}}`: UnknownEndpoint("POST", "/v1/x"),
		`405 {"error":{"message":"GET does not work on /v1/embeddings: use POST","type":"invalid_request_error","param":null,"code":"method_not_allowed"}}`:                                                  WrongMethod("GET", "/v1/embeddings"),
		`429 {"error":{"message":"No deployments available for selected model, Try again in 5 seconds. Passed model=fast.","type":"rate_limit_error","param":"model","code":"429"}}`:                         NoDeployment("fast", 4100*time.Millisecond),
		`503 {"error":{"message":"no connection","type":"server_error","param":null,"code":"503"}}`:                                                                                                          Unavailable("no connection"),
	} {
		got := fmt.Sprintf("%d %s", e.Status, e.Body())
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
	}
	if diff := cmp.Diff(4100*time.Millisecond, NoDeployment("fast", 4100*time.Millisecond).RetryAfter); diff != "" {
		t.Errorf("retry after, -want +got:\n%s", diff)
	}
}

func TestFailuresAreClassifiedAsLiteLLMDoes(t *testing.T) {
	message := func(text string) string {
		b, _ := json.Marshal(map[string]any{"error": map[string]any{"message": text}})
		return string(b)
	}
	for _, c := range []struct {
		status int
		body   string
		want   routing.Class
	}{
		{301, ``, routing.NotFound},
		{400, ``, routing.BadRequest},
		{401, ``, routing.Authentication},
		{402, ``, routing.PermissionDenied},
		{403, ``, routing.PermissionDenied},
		{404, ``, routing.NotFound},
		{408, ``, routing.Timeout},
		{409, ``, routing.Conflict},
		{413, ``, routing.BadRequest},
		{422, ``, routing.BadRequest},
		{429, ``, routing.RateLimit},
		{500, ``, routing.Internal},
		{503, message("overloaded"), routing.Internal},
		{504, `upstream request timeout`, routing.Timeout},
		{529, ``, routing.Internal},

		{400, `{"error":{"message":"too long","code":"context_length_exceeded"}}`, routing.ContextWindow},
		{400, message("This model's maximum context length is 4097 tokens, however you requested 5000"), routing.ContextWindow},
		{400, message("Please reduce the length. Current length is 9000 while limit is 8192"), routing.ContextWindow},
		{400, `{"type":"error","error":{"type":"invalid_request_error","message":"prompt is too long: 210000 tokens > 200000 maximum"}}`, routing.ContextWindow},
		{400, `[{"error":{"code":400,"message":"The input token count (2000000) exceeds the maximum number of tokens allowed (1048576).","status":"INVALID_ARGUMENT"}}]`, routing.ContextWindow},
		{422, `{"error":"Input validation error: ` + "`inputs` tokens + `max_new_tokens` must be <= 4096" + `","error_type":"validation"}`, routing.ContextWindow},
		{500, message("the request exceeds the available context size"), routing.ContextWindow},
		{400, `{"error":{"message":"Invalid 'user': string too long. Expected a string with maximum length 64","code":"string_above_max_length"}}`, routing.BadRequest},
		{500, `{"error":{"code":500,"message":"the prompt does not fit","type":"exceed_context_size_error"}}`, routing.ContextWindow},
		{500, message("Context size has been exceeded."), routing.ContextWindow},
		{429, message("maximum context length"), routing.RateLimit},
		{503, message("maximum context length"), routing.Internal},

		{400, `{"error":{"code":"content_filter","message":"The response was filtered due to the prompt triggering Azure OpenAI's content management policy."}}`, routing.ContentPolicy},
		{400, message("Your request was rejected as a result of our safety system."), routing.ContentPolicy},
		{400, message("Invalid prompt: your prompt was flagged as potentially violating our usage policy."), routing.ContentPolicy},
		{400, `{"type":"error","error":{"type":"invalid_request_error","message":"Output blocked by content filtering policy"}}`, routing.ContentPolicy},
		{403, message("openai/o1 requires moderation and your input was flagged for violence"), routing.ContentPolicy},
		{403, `{"code":"The caller does not have permission to execute the specified operation","error":"Content violates usage guidelines. Failed check: SAFETY_CHECK_TYPE_BIO"}`, routing.ContentPolicy},

		{413, `{"error":{"message":"Request too large for model on tokens per minute (TPM): Limit 6000","code":"rate_limit_exceeded"}}`, routing.RateLimit},
		{400, message("Service tier capacity exceeded for this model."), routing.RateLimit},
		{400, `{"code":"Client specified an invalid argument","error":"Incorrect API key provided: xa***"}`, routing.Authentication},
		{400, `[{"error":{"code":400,"message":"API key not valid. Please pass a valid API key.","status":"INVALID_ARGUMENT"}}]`, routing.Authentication},
		{400, `{"error":{"message":"no such model","code":"model_not_found"}}`, routing.NotFound},
	} {
		parsed, _ := ParseError([]byte(c.body))
		if got := Classify(c.status, parsed); got != c.want {
			t.Errorf("%d %s: %s, want %s", c.status, c.body, got, c.want)
		}
	}
}

func TestErrorsOfOpenAIsShapePassByteForByte(t *testing.T) {
	for _, body := range []string{
		`{"error":{"message":"m","type":"t","param":null,"code":"c"}}`,
		" { \"error\": {\"code\": 429, \"message\": \"m\", \"metadata\":{}} , \"user_id\":\"u\"}\n",
		`{"error":{"message":"m","innererror":{"code":"ResponsibleAIPolicyViolation"}}}`,
	} {
		got, changed := Shape(400, "application/json; charset=utf-8", []byte(body))
		if diff := cmp.Diff(body, string(got)); changed || diff != "" {
			t.Errorf("changed %v, -want +got:\n%s", changed, diff)
		}
	}
}

func TestForeignErrorsGetOpenAIsShape(t *testing.T) {
	nothing := func(status string) string {
		return "status " + status + " from the provider, without an error that can be shown"
	}
	for _, c := range []struct {
		status             int
		contentType, body  string
		message, typ, code string
	}{
		{502, "", "", "status 502 Bad Gateway with an empty body, from the provider or on the way to it", "server_error", ""},
		{599, "text/html", "<html><h1>502</h1></html>", nothing("599 "), "server_error", ""},
		{503, "text/html; charset=utf-8", "Down for maintenance", nothing("503 Service Unavailable"), "server_error", ""},
		{500, "text/plain", "it broke\n", "it broke", "server_error", ""},
		{500, "text/plain", "\x1f\x8b\x08\x00", nothing("500 Internal Server Error"), "server_error", ""},
		{500, "application/json", "null", nothing("500 Internal Server Error"), "server_error", ""},
		{500, "application/json", "{}", nothing("500 Internal Server Error"), "server_error", ""},
		{500, "application/json", `"text"`, "text", "server_error", ""},
		{404, "application/json", `{"detail":"Not Found"}`, "Not Found", "invalid_request_error", ""},
		{422, "application/json", `{"detail":[{"loc":["body","n"],"msg":"field required","type":"missing"}]}`, "field required", "missing", ""},
		{400, "application/json", `[{"error":{"code":400,"message":"API key not valid.","status":"INVALID_ARGUMENT"}}]`, "API key not valid.", "invalid_request_error", "INVALID_ARGUMENT"},
		{529, "application/json", `{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}`, "Overloaded", "overloaded_error", ""},
		{400, "application/json", `{"error":"model is required"}`, "model is required", "invalid_request_error", ""},
		{401, "application/json", `{"object":"error","message":"Unauthorized","type":null,"code":1401}`, "Unauthorized", "authentication_error", "1401"},
		{422, "application/json", `{"object":"error","message":{"detail":[{"msg":"Extra inputs are not permitted"}]},"type":"invalid_request_error"}`, "Extra inputs are not permitted", "invalid_request_error", ""},
		{403, "application/json", `{"errors":[{"message":"blocked","code":1010}]}`, "blocked", "permission_error", "1010"},
		{503, "text/plain", "upstream connect error or disconnect/reset before headers. reset reason: connection timeout",
			"the provider could not be reached or closed the connection before it answered (reset reason: connection timeout)", "server_error", ""},
		{503, "text/plain", "no healthy upstream", "the provider could not be reached: its address does not resolve or no host is healthy", "server_error", ""},
		{504, "text/plain", "upstream request timeout", "the provider did not answer within the timeout", "timeout_error", ""},
		{413, "text/plain", "Payload Too Large", "the request body is larger than this gateway takes", "invalid_request_error", ""},
	} {
		got, changed := Shape(c.status, c.contentType, []byte(c.body))
		want := (&Error{Message: c.message, Type: c.typ, Code: c.code}).Body()
		if diff := cmp.Diff(string(want), string(got)); !changed || diff != "" {
			t.Errorf("%s: changed %v, -want +got:\n%s", c.body, changed, diff)
		}
	}
}

func TestRetryAfterIsReadInAllItsForms(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for _, c := range []struct {
		milliseconds, seconds string
		want                  time.Duration
	}{
		{"", "", 0}, {"", "20", 20 * time.Second}, {"", " 1.5 ", 1500 * time.Millisecond}, {"250", "20", 250 * time.Millisecond},
		{"x", "3", 3 * time.Second}, {"", "-5", 0}, {"", "0", 0}, {"", "soon", 0}, {"", "NaN", 0}, {"", "Inf", time.Hour}, {"", "1e18", time.Hour},
		{"", "Fri, 02 Jan 2026 03:05:05 GMT", time.Minute}, {"", "Fri, 02 Jan 2026 03:00:00 GMT", 0}, {"", "Sat, 02 Jan 2027 03:00:00 GMT", time.Hour},
	} {
		if got := RetryAfter(c.milliseconds, c.seconds, now); got != c.want {
			t.Errorf("%q %q: %v, want %v", c.milliseconds, c.seconds, got, c.want)
		}
	}
}
