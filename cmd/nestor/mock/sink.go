package mock

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"net"
	"net/http"
	"strconv"
	"time"
)

const (
	jsonType = "application/json"
	sseType  = "text/event-stream"
	// splitGap keeps the two pieces of a split body in two reads of whoever reads them.
	splitGap = 3 * time.Millisecond
)

// sink writes one response and spoils it where the plan says so.
type sink struct {
	w       http.ResponseWriter
	ctx     context.Context
	plan    *Plan
	zip     *gzip.Writer
	zipped  bytes.Buffer
	written int
}

// begin does what comes before the headers; false means that nothing more is to be sent.
func (k *sink) begin() bool {
	if !k.wait(k.plan.Delay) {
		return false
	}
	if k.plan.Reset {
		k.breakOff()
		return false
	}
	return true
}

// wait reports whether the client is still there afterwards.
func (k *sink) wait(d time.Duration) bool {
	if d <= 0 {
		return true
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-k.ctx.Done():
		return false
	}
}

// head sends the status and the headers; size is that of the body, or -1.
func (k *sink) head(status int, contentType string, size int) {
	h := k.w.Header()
	if contentType != "" {
		h.Set("Content-Type", contentType)
	}
	if k.plan.RetryAfter != "" {
		h.Set("Retry-After", k.plan.RetryAfter)
	}
	if k.plan.Gzip {
		h.Set("Content-Encoding", "gzip")
		k.zip = gzip.NewWriter(&k.zipped)
		size = -1
	}
	if k.plan.Charset != "" {
		h.Set("Content-Type", contentType+"; charset="+k.plan.Charset)
	}
	for _, extra := range k.plan.Headers {
		h.Set(extra.Name, extra.Value)
	}
	if size >= 0 {
		h.Set("Content-Length", strconv.Itoa(size))
	}
	k.w.WriteHeader(status)
}

// whole sends a response that is no stream.
func (k *sink) whole(status int, contentType string, body []byte) {
	if k.plan.Spaced && contentType == jsonType {
		body = spaced(body)
	}
	k.head(status, contentType, len(body))
	if k.write(body) {
		k.end()
	}
}

// write sends a piece of the body; false means that nothing more is to be sent.
func (k *sink) write(p []byte) bool {
	if k.zip != nil {
		k.zip.Write(p)
		k.zip.Flush()
		p = bytes.Clone(k.zipped.Bytes())
		k.zipped.Reset()
	}
	if at := k.plan.Split - k.written; at > 0 && at < len(p) {
		if !k.put(p[:at]) {
			return false
		}
		k.flush()
		if !k.wait(splitGap) {
			return false
		}
		p = p[at:]
	}
	return k.putPieces(p)
}

func (k *sink) putPieces(p []byte) bool {
	for size := k.plan.Pieces; size > 0 && len(p) > size; p = p[size:] {
		if !k.put(p[:size]) {
			return false
		}
		k.flush()
		if !k.wait(splitGap) {
			return false
		}
	}
	return k.put(p)
}

func (k *sink) put(p []byte) bool {
	if k.plan.Cut != nil && k.written+len(p) >= *k.plan.Cut {
		k.w.Write(p[:max(0, *k.plan.Cut-k.written)])
		k.flush()
		k.breakOff()
		return false
	}
	k.written += len(p)
	_, err := k.w.Write(p)
	return err == nil
}

func (k *sink) end() {
	if k.zip == nil {
		return
	}
	k.zip.Close()
	k.w.Write(k.zipped.Bytes())
}

func (k *sink) flush() { http.NewResponseController(k.w).Flush() }

// breakOff ends the connection as it is. A handler called without one ends its answer instead.
func (k *sink) breakOff() {
	conn, _, err := http.NewResponseController(k.w).Hijack()
	if err != nil {
		return
	}
	if tcp, ok := conn.(*net.TCPConn); ok && !k.plan.Fin {
		tcp.SetLinger(0)
	}
	conn.Close()
}

// fail sends the error of the plan.
func (k *sink) fail() {
	status := k.plan.Status
	if status == 0 {
		status = http.StatusBadRequest
	}
	text := "mock: " + strconv.Itoa(status) + " " + http.StatusText(status)
	switch k.plan.Body {
	case "empty":
		k.whole(status, "", nil)
	case "text":
		k.whole(status, "text/plain", []byte(text))
	case "html":
		k.whole(status, "text/html", []byte("<html><body><h1>"+text+"</h1></body></html>\n"))
	case "context":
		k.whole(status, jsonType, errorBody("invalid_request_error", "context_length_exceeded",
			"This model's maximum context length is 8192 tokens. Please reduce the length of the messages."))
	case "policy":
		k.whole(status, jsonType, errorBody("invalid_request_error", "content_policy_violation",
			"Your request was rejected by the content policy of this provider."))
	default:
		k.whole(status, jsonType, errorBody(errorType(status), "", text))
	}
}

func errorType(status int) string {
	switch {
	case status == http.StatusTooManyRequests:
		return "rate_limit_error"
	case status >= http.StatusInternalServerError:
		return "server_error"
	}
	return "invalid_request_error"
}

// errorBody is OpenAI's shape of an error; an empty code is null.
func errorBody(kind, code, message string) []byte {
	detail := struct {
		Message string  `json:"message"`
		Type    string  `json:"type"`
		Param   *string `json:"param"`
		Code    *string `json:"code"`
	}{Message: message, Type: kind}
	if code != "" {
		detail.Code = &code
	}
	body, err := json.Marshal(map[string]any{"error": detail})
	if err != nil {
		return nil
	}
	return body
}

func writeError(w http.ResponseWriter, status int, kind, code, message string) {
	w.Header().Set("Content-Type", jsonType)
	w.WriteHeader(status)
	w.Write(errorBody(kind, code, message))
}
