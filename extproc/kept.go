package extproc

import (
	"slices"
	"strconv"
	"strings"

	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"

	"github.com/nestor-gateway/nestor/extproc/message"
	"github.com/nestor-gateway/nestor/extproc/openai"
	nestorv1 "github.com/nestor-gateway/nestor/proto/nestor/v1"
)

// What is kept of failures: bodies up to mostAwaited bytes are waited for, and up to mostKept bytes of what the client
// would see are there until the next attempt.
const (
	mostAwaited = 64 << 10
	mostKept    = 4 << 10
)

// readsBody reports whether the body of a failure is read before it is said what comes next: it may tell of another kind
// of failure than the status, or is what the client gets where limits or budgets of who asks deny another attempt. A body
// that does not say how long it is may never end, and is waited for only where it is the request that is refused.
func (f *failed) readsBody() bool {
	if f.decision == nil {
		return false
	}
	tells := openai.BodyTells(f.status)
	if tells && f.status < 500 {
		return true
	}
	n, err := strconv.Atoi(f.headers.Get("content-length"))
	return err == nil && n <= mostAwaited && (tells || len(f.decision.Key) > 0)
}

// kept is a failure as the client gets it where who asks may not have another attempt; nil where nobody could deny that.
func (s *Server) kept(f *failed) *openai.Error {
	if len(f.decision.Key) == 0 {
		return nil
	}
	body, _ := openai.Shape(f.shown(), "text/html", []byte("<")) // says that there was more
	changed := true
	if f.whole {
		if shaped, other := s.shape(f); len(shaped) <= mostKept {
			body, changed = shaped, other
		}
	}
	m := &extprocv3.HeaderMutation{}
	f.tellWaits(m)
	e := &openai.Error{Status: f.shown(), Text: body}
	for _, h := range f.headers {
		if isKept(h.Key) && !slices.Contains(m.RemoveHeaders, h.Key) && (h.Key != "content-type" || !changed) {
			e.Headers = append(e.Headers, openai.Header{Name: h.Key, Value: message.Value(h)})
		}
	}
	for _, h := range m.SetHeaders {
		e.Headers = append(e.Headers, openai.Header{Name: h.Header.Key, Value: string(h.Header.RawValue)})
	}
	return e
}

// isKept reports whether a header is the failure's own, and none of its transport's.
func isKept(name string) bool {
	switch name {
	case "content-length", "content-encoding", "transfer-encoding", "connection", "keep-alive", "upgrade", "trailer", "date",
		"server", nestorv1.HeaderRetry, nestorv1.HeaderRefusal:
		return false
	}
	return !strings.HasPrefix(name, ":") && !strings.HasPrefix(name, "x-envoy-")
}
