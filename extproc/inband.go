package extproc

import (
	"strconv"
	"strings"
	"time"

	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"

	"github.com/nestor-gateway/nestor/extproc/ending"
	"github.com/nestor-gateway/nestor/extproc/inband"
	"github.com/nestor-gateway/nestor/extproc/message"
	"github.com/nestor-gateway/nestor/extproc/openai"
	"github.com/nestor-gateway/nestor/extproc/standing"
	nestorv1 "github.com/nestor-gateway/nestor/proto/nestor/v1"
)

// maxError bounds what is kept of the body of a failure.
const maxError = 1 << 20

// answer is the second half of an exchange that goes on after its decision: what one attempt has come to.
type answer struct {
	decision *nestorv1.Decision
	told     []openai.Header // what the client is told of the decision
	strip    bool
	began    time.Time

	failure *failed // nil while the answer is a success
	said    []byte  // the body of a failure so far
	reader  inband.Reader
	entry   ending.Entry // as an access log would tell it
}

// answerTo keeps of a decision what its answer needs.
func (s *Server) answerTo(d *decided) *answer {
	now := s.Now()
	decision := d.complete(now)
	return &answer{
		decision: decision, told: d.told(), strip: d.strip, began: now,
		// Unless the end is seen the client has left.
		entry: ending.Entry{Decision: decision, Aborted: true},
	}
}

// follow goes on with an exchange to the end of its answer, or until the client leaves: an upstream
// that breaks off looks the same. It answers whatever messages the filter's mode makes Envoy send.
func (s *Server) follow(stream extprocv3.ExternalProcessor_ProcessServer, a *answer) error {
	defer s.finish(a)
	defer s.renewing(a.decision)()
	for a.entry.Aborted {
		m, err := stream.Recv()
		if err != nil {
			return err
		}
		if err := stream.Send(s.reply(a, m)); err != nil {
			a.entry.Aborted = true
			return err
		}
	}
	return nil
}

// finish takes the end of the attempt into account.
func (s *Server) finish(a *answer) {
	e := &a.entry
	e.Duration = s.Now().Sub(a.began)
	if e.Whole = e.Duration; a.reader != nil {
		u := a.reader.Usage()
		e.Usage = ending.Usage{Prompt: u.Prompt, Completion: u.Completion, Total: u.Total, Cached: u.Cached, Reasoning: u.Reasoning}
	}
	if p, ok := a.reader.(*inband.Packed); ok && p.Size() > 0 {
		e.Sent, e.Packed = p.Size(), false // what is learned of bytes is learned of text
	}
	if f := a.failure; f != nil && !f.whole && openai.BodyTells(f.status) {
		s.judge(f) // by what its headers say
	}
	s.record(*e)
}

func (s *Server) reply(a *answer, m *extprocv3.ProcessingRequest) *extprocv3.ProcessingResponse {
	switch part := m.Request.(type) {
	case *extprocv3.ProcessingRequest_ResponseHeaders:
		a.entry.Aborted = !part.ResponseHeaders.EndOfStream
		return s.replyToHeaders(a, m)
	case *extprocv3.ProcessingRequest_ResponseBody:
		a.entry.Aborted = !part.ResponseBody.EndOfStream
		return s.replyToBody(a, part.ResponseBody)
	case *extprocv3.ProcessingRequest_ResponseTrailers:
		a.entry.Aborted = false
		return &extprocv3.ProcessingResponse{Response: &extprocv3.ProcessingResponse_ResponseTrailers{ResponseTrailers: &extprocv3.TrailersResponse{}}}
	default:
		return &extprocv3.ProcessingResponse{Response: &extprocv3.ProcessingResponse_RequestTrailers{RequestTrailers: &extprocv3.TrailersResponse{}}}
	}
}

func (s *Server) replyToHeaders(a *answer, m *extprocv3.ProcessingRequest) *extprocv3.ProcessingResponse {
	headers, end := message.Headers(m.GetResponseHeaders().GetHeaders().GetHeaders()), m.GetResponseHeaders().EndOfStream
	mutation := a.mutation(headers)
	f := s.readFailure(m, headers.Renamed())
	a.entry.Status, a.entry.Details = f.status, f.details
	if f.status >= 200 && f.status < 300 {
		a.read(headers, mutation)
		return message.ToHeaders(&extprocv3.CommonResponse{HeaderMutation: mutation})
	}
	s.attribute(f, a.decision)
	a.failure = f // settled at its end, as everything in band
	if !openai.BodyTells(f.status) {
		s.judge(f)
	}
	f.announceJSON(mutation)
	f.tellWaits(mutation)
	if !end {
		return message.ToHeaders(&extprocv3.CommonResponse{HeaderMutation: mutation})
	}
	body := s.shown(a)
	message.Set(mutation, "content-length", strconv.Itoa(len(body)))
	return message.ToHeaders(&extprocv3.CommonResponse{
		Status: extprocv3.CommonResponse_CONTINUE_AND_REPLACE, HeaderMutation: mutation, BodyMutation: message.ReplaceBody(body),
	})
}

// mutation is message.ForClient, and tells the client what was decided.
func (a *answer) mutation(h message.Headers) *extprocv3.HeaderMutation {
	m := message.ForClient(h)
	for _, t := range a.told { // Envoy removes first
		message.Set(m, t.Name, t.Value)
	}
	return m
}

// announceJSON says that the body will be an error in the OpenAI shape, of a length that is not known yet.
func (f *failed) announceJSON(m *extprocv3.HeaderMutation) {
	m.RemoveHeaders = append(m.RemoveHeaders, "content-length", "content-encoding")
	message.Set(m, "content-type", "application/json")
	if f.shown() != f.status {
		message.Set(m, ":status", strconv.Itoa(f.shown()))
	}
}

// read chooses how the usage of a success is read: not at all where it is of another kind, or
// compressed in a way that Go's library does not know.
func (a *answer) read(h message.Headers, m *extprocv3.HeaderMutation) {
	kind, encoding := h.Get("content-type"), h.Get(nestorv1.HeaderCoding)
	a.entry.Packed = ending.IsPacked(encoding)
	plain := !a.entry.Packed
	switch {
	case !plain && encoding != "gzip":
		return
	case strings.Contains(kind, "text/event-stream"):
		a.reader = inband.NewStream(a.strip && plain)
		if a.strip && plain {
			m.RemoveHeaders = append(m.RemoveHeaders, "content-length")
		}
	case strings.Contains(kind, "json"):
		a.reader = inband.NewWhole()
	default:
		return
	}
	if !plain {
		a.reader = inband.NewPacked(a.reader)
	}
}

func (s *Server) replyToBody(a *answer, m *extprocv3.HttpBody) *extprocv3.ProcessingResponse {
	if a.failure != nil {
		return message.ToBody(&extprocv3.CommonResponse{BodyMutation: message.ReplaceBody(s.failurePiece(a, m))})
	}
	if a.entry.First == 0 && len(m.Body) > 0 && a.decision.Stream {
		a.entry.First = s.Now().Sub(a.began)
	}
	passed, changed := a.pass(m)
	a.entry.Sent += int64(len(passed))
	if !changed {
		return message.ToBody(&extprocv3.CommonResponse{})
	}
	return message.ToBody(&extprocv3.CommonResponse{BodyMutation: message.ReplaceBody(passed)})
}

// pass returns what the client gets for a piece, and whether that is anything else.
func (a *answer) pass(m *extprocv3.HttpBody) (passed []byte, changed bool) {
	if a.reader == nil {
		return m.Body, false
	}
	passed = a.reader.Feed(m.Body)
	changed = len(passed) != len(m.Body) || len(passed) > 0 && &passed[0] != &m.Body[0]
	if m.EndOfStream {
		held := a.reader.End()
		passed, changed = append(passed, held...), changed || len(held) > 0
	}
	return passed, changed
}

// failurePiece holds the body of a failure back until it is whole: then the client gets it, in the OpenAI shape.
func (s *Server) failurePiece(a *answer, m *extprocv3.HttpBody) []byte {
	if len(a.said)+len(m.Body) <= maxError {
		a.said = append(a.said, m.Body...)
	}
	if !m.EndOfStream {
		return nil
	}
	body := s.shown(a)
	a.entry.Sent += int64(len(body))
	return body
}

// shown is the body that the client gets for a failure.
func (s *Server) shown(a *answer) []byte {
	f := a.failure
	f.whole = true
	if f.readKind(a.said) {
		s.judge(f)
	}
	body, _ := openai.Shape(f.shown(), f.headers.Get("content-type"), s.conceal(f, a.said))
	return body
}

// judge counts a failure. No outer level could try again.
func (s *Server) judge(f *failed) {
	if !f.decision.Probe {
		s.blame(f)
	}
}

// told is what the routes take from the decision's metadata elsewhere.
func (d *decided) told() []openai.Header {
	told := []openai.Header{
		{Name: nestorv1.HeaderModelID, Value: d.pick.Deployment.ID},
		{Name: nestorv1.HeaderModelGroup, Value: d.target.Group},
		{Name: nestorv1.HeaderModelAPIBase, Value: d.pick.Deployment.Base.String()},
		{Name: nestorv1.HeaderAttemptedRetries, Value: strconv.Itoa(int(d.plan.Retries))},
		{Name: nestorv1.HeaderAttemptedFallbacks, Value: strconv.Itoa(int(d.plan.Fallbacks))},
		{Name: nestorv1.HeaderCallID, Value: d.request.id},
	}
	if d.keySpend != "" {
		told = append(told, openai.Header{Name: nestorv1.HeaderKeySpend, Value: d.keySpend})
	}
	return append(told, standing.Headers(d.pick.Standing)...)
}
