package api

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"

	"github.com/nestor-gateway/nestor/access"
)

// problem is an error in the shape that OpenAI's SDKs read.
// Empty Param and Code are null.
type problem struct {
	Status              int
	Message, Type       string
	Param, Code, Allows string
}

const invalidRequest = "invalid_request_error"

func unknownPath(r *http.Request) problem {
	return problem{Status: http.StatusNotFound, Type: invalidRequest, Code: "unknown_url",
		Message: fmt.Sprintf("Nestor has no %.20s %.200s", r.Method, r.URL.Path)}
}

func wrongMethod(r *http.Request) problem {
	return problem{Status: http.StatusMethodNotAllowed, Type: invalidRequest, Code: "method_not_allowed", Allows: "GET, HEAD",
		Message: fmt.Sprintf("%.200s takes GET, not %.20s", r.URL.Path, r.Method)}
}

func denied(d *access.Denial) problem {
	return problem{Status: d.Status, Type: d.Type, Code: d.Code, Param: d.Param, Message: d.Message}
}

func unknownModel(name string) problem {
	return problem{Status: http.StatusNotFound, Type: invalidRequest, Param: "model", Code: "model_not_found",
		Message: fmt.Sprintf("there is no model %.200q; GET /v1/models lists those there are", name)}
}

// refuse answers with {"error":{"message","type","param","code"}}.
func refuse(w http.ResponseWriter, p problem) {
	if p.Allows != "" {
		w.Header().Set("Allow", p.Allows)
	}
	orNull := func(s string) any {
		if s == "" {
			return nil
		}
		return s
	}
	answer(w, p.Status, object{"error": object{
		"message": p.Message, "type": p.Type, "param": orNull(p.Param), "code": orNull(p.Code),
	}})
}

// object is a JSON object.
type object map[string]any

// answer writes a value as JSON. Everything the package answers with can be encoded.
func answer(w http.ResponseWriter, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		status, body = http.StatusInternalServerError, []byte(`{"error":{"message":"internal error","type":"api_error","param":null,"code":null}}`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, _ = w.Write(body) // the only cause of an error is a client that left
}

// list writes {"data":[...]} row by row, so that a long one is never whole in memory.
type list struct {
	w     *bufio.Writer
	begun bool
}

func newList(w http.ResponseWriter) *list {
	w.Header().Set("Content-Type", "application/json")
	l := &list{w: bufio.NewWriterSize(w, 32<<10)}
	_, _ = l.w.WriteString(`{"data":[`)
	return l
}

// add writes one row. A failed write sticks to the bufio.Writer and means that the client left.
func (l *list) add(row any) {
	body, err := json.Marshal(row)
	if err != nil {
		return
	}
	if l.begun {
		_ = l.w.WriteByte(',')
	}
	l.begun = true
	_, _ = l.w.Write(body)
}

// close ends the array and the object; rest is what stands behind the array, for example `,"object":"list"`.
func (l *list) close(rest string) {
	_, _ = l.w.WriteString("]" + rest + "}")
	_ = l.w.Flush()
}
