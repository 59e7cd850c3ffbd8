package api

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/nestor-gateway/nestor/api/reply"
)

func unknownPath(r *http.Request) reply.Problem {
	return reply.Problem{Status: http.StatusNotFound, Type: reply.InvalidRequest, Code: "unknown_url",
		Message: fmt.Sprintf("Nestor has no %.20s %.200s", r.Method, r.URL.Path)}
}

func wrongMethod(r *http.Request) reply.Problem {
	return reply.Problem{Status: http.StatusMethodNotAllowed, Type: reply.InvalidRequest, Code: "method_not_allowed", Allows: "GET, HEAD",
		Message: fmt.Sprintf("%.200s takes GET, not %.20s", r.URL.Path, r.Method)}
}

func unknownModel(name string) reply.Problem {
	return reply.Problem{Status: http.StatusNotFound, Type: reply.InvalidRequest, Param: "model", Code: "model_not_found",
		Message: fmt.Sprintf("there is no model %.200q; GET /v1/models lists those there are", name)}
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
