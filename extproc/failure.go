package extproc

import (
	"bytes"
	"encoding/base64"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	"google.golang.org/protobuf/proto"

	"github.com/nestor-gateway/nestor/extproc/announced"
	"github.com/nestor-gateway/nestor/extproc/ending"
	"github.com/nestor-gateway/nestor/extproc/message"
	"github.com/nestor-gateway/nestor/extproc/openai"
	"github.com/nestor-gateway/nestor/extproc/retry"
	"github.com/nestor-gateway/nestor/extproc/standing"
	nestorv1 "github.com/nestor-gateway/nestor/proto/nestor/v1"
	"github.com/nestor-gateway/nestor/ratelimit"
	"github.com/nestor-gateway/nestor/routing"
)

// failed is an attempt that ended without 2xx.
type failed struct {
	decision *nestorv1.Decision // nil: nothing was decided, so nothing is retried, cooled or counted
	view     *routing.View
	status   int
	headers  message.Headers
	details  string // Envoy's response code details, for example "cluster_not_found"
	class    routing.Class
	waits    announced.Waits // for how long the provider says that it has nothing left
	reach    ending.Reach
	tokens   int64  // that it used, as far as the headers say
	late     bool   // what comes next is judged when the body is there
	body     []byte // as far as it has been read
	whole    bool   // all of it has
}

// afterFailure runs the failure exchange: it marks the answer for another attempt, or
// passes it on in the OpenAI shape. The attempt holds what it has reserved until it is over: a body may never end.
func (s *Server) afterFailure(stream extprocv3.ExternalProcessor_ProcessServer, first *extprocv3.ProcessingRequest) error {
	m := first.GetResponseHeaders()
	f := s.readFailure(first, message.Headers(m.GetHeaders().GetHeaders()))
	f.whole = m.EndOfStream
	f.late = !m.EndOfStream && f.readsBody()
	if !f.late && s.again(f) {
		s.settleFailure(f)
		return stream.Send(markedHeaders())
	}
	if m.EndOfStream {
		s.settleFailure(f)
		return stream.Send(s.concludeHeaders(f))
	}
	if err := stream.Send(f.passHeaders()); err != nil {
		return err
	}
	over := s.awaitBody(f)
	next, err := stream.Recv()
	s.settleFailure(f)
	if err != nil {
		if f.late {
			s.judge(f) // by what its headers say
		}
		return err
	}
	over()
	return stream.Send(s.concludeBody(f, next.GetResponseBody().GetBody()))
}

func (s *Server) readFailure(m *extprocv3.ProcessingRequest, h message.Headers) *failed {
	status, _ := strconv.Atoi(h.Get(":status"))
	f := &failed{
		status:  status,
		headers: h,
		details: message.Attribute(m, "response.code_details"),
		class:   openai.Classify(status, openai.ErrorBody{}),
	}
	if d := decisionOf(m.GetMetadataContext()); d != nil {
		s.attribute(f, d)
	}
	if status == 503 && unreached(f.details) {
		f.class = routing.Connection
	}
	return f
}

// readKind takes the kind of failure from the body where that tells it, and reports whether it does.
func (f *failed) readKind(body []byte) bool {
	if !openai.BodyTells(f.status) {
		return false
	}
	parsed, _ := openai.ParseError(body)
	f.class = openai.Classify(f.status, parsed)
	return true
}

// attribute says what was decided for the attempt that failed.
func (s *Server) attribute(f *failed, d *nestorv1.Decision) {
	f.decision, f.view = d, s.views.At(d.Snapshot)
	f.reach, f.tokens = ending.SpentByFailure(d, f.details)
}

// unreached reports whether Envoy itself answered because no upstream did. Its details may go on after
// these words, as in "upstream_reset_before_response_started{remote_connection_failure}".
func unreached(details string) bool {
	for _, word := range []string{"upstream_reset_before_response_started", "no_healthy_upstream", "cluster_not_found"} {
		if strings.HasPrefix(details, word) {
			return true
		}
	}
	return false
}

// decisionOf unpacks the Decision from dynamic metadata; nil when there is none.
func decisionOf(m *corev3.Metadata) *nestorv1.Decision {
	return decode([]byte(m.GetFilterMetadata()[nestorv1.Namespace].GetFields()[nestorv1.KeyDecision].GetStringValue()))
}

// decode unpacks a Decision from its base64; nil when there is none.
func decode(text []byte) *nestorv1.Decision {
	raw, err := base64.StdEncoding.AppendDecode(nil, text)
	if err != nil || len(raw) == 0 {
		return nil
	}
	d := &nestorv1.Decision{}
	if proto.Unmarshal(raw, d) != nil {
		return nil
	}
	return d
}

// again counts the failure against its deployment and says whether there is another attempt.
func (s *Server) again(f *failed) bool {
	if f.decision == nil || f.decision.Probe {
		return false
	}
	b := s.blame(f)
	next, ok := retry.After(f.view, f.decision, b)
	if !ok || !b.Free && !s.affords(f) {
		return false
	}
	next.Failure = s.kept(f)
	s.pending.Put(f.decision.RequestId, next)
	return true
}

// blame counts the failure against its deployment, or closes what the provider has nothing left of.
func (s *Server) blame(f *failed) retry.Setback {
	wait := openai.RetryAfter(f.headers.Get("retry-after-ms"), f.headers.Get("retry-after"), s.Now())
	fresh := s.unresolved(f)
	closed := s.exhaust(f, wait)
	if !fresh && closed == 0 {
		s.count(f, wait)
	}
	return retry.Setback{Class: f.class, RetryAfter: wait, Closed: closed, Free: fresh, Counts: f.reach != ending.Nowhere}
}

// exhaust closes what the provider says it has nothing left of, and returns for how long; 0 when it says nothing.
// That is no fault of the deployment's, which is not left alone for it.
func (s *Server) exhaust(f *failed, wait time.Duration) time.Duration {
	if f.class != routing.RateLimit {
		return 0
	}
	f.waits = announced.Read(f.providerSays, f.decision.ReservedTokens, wait, s.Now())
	for dimension, w := range f.waits {
		if w > 0 {
			s.Router.Exhausted(f.decision.Deployment, ratelimit.Dimension(dimension), w)
			s.Metrics.exhausted(f.decision.Deployment, ratelimit.Dimension(dimension))
		}
	}
	return f.waits.Longest()
}

// providerSays reads a header of the provider's about its limits. The routes have renamed OpenAI's, whose
// names are now those of Nestor's own limits.
func (f *failed) providerSays(name string) string {
	if strings.HasPrefix(name, "x-ratelimit-") {
		name = nestorv1.HeaderProviderPrefix + name
	}
	return f.headers.Get(name)
}

// count tells the router, which may leave the deployment alone for a while.
func (s *Server) count(f *failed, wait time.Duration) {
	d, ok := f.view.Snapshot().Deployment(f.decision.Deployment)
	if !ok {
		return
	}
	t, _ := f.view.Snapshot().Resolve(f.decision.Group)
	cooled := s.Router.Failed(d, routing.Failure{
		Class: f.class, Status: f.status, RetryAfter: wait, Alone: !f.view.Others(t, uint8(f.decision.EndpointNumber), []string{d.ID}),
	})
	if cooled > 0 {
		s.Metrics.cooled(d.ID)
		s.Log.Warn("deployment cools down", "deployment", d.ID, "model", d.Written, "status", f.status, "for", cooled.String())
	}
}

// concludeHeaders ends a failed attempt whose answer has no body.
func (s *Server) concludeHeaders(f *failed) *extprocv3.ProcessingResponse {
	body, _ := openai.Shape(f.shown(), "", nil)
	return message.ToHeaders(&extprocv3.CommonResponse{
		Status:         extprocv3.CommonResponse_CONTINUE_AND_REPLACE,
		HeaderMutation: f.jsonHeaders(body),
		BodyMutation:   message.ReplaceBody(body),
	})
}

// shown is the status that the client gets. A redirect is not for it to follow: that would
// take its key to an address that nobody configured.
func (f *failed) shown() int {
	if f.status < 400 {
		return http.StatusBadGateway
	}
	return f.status
}

// concludeBody ends a failed attempt whose answer has a body.
func (s *Server) concludeBody(f *failed, body []byte) *extprocv3.ProcessingResponse {
	f.body, f.whole = body, true
	f.readKind(body)
	if f.late && s.again(f) {
		return message.ToBody(&extprocv3.CommonResponse{HeaderMutation: marked()})
	}
	shaped, changed := s.shape(f)
	if !changed {
		m := &extprocv3.HeaderMutation{}
		f.tellWaits(m)
		return message.ToBody(&extprocv3.CommonResponse{HeaderMutation: m})
	}
	return message.ToBody(&extprocv3.CommonResponse{HeaderMutation: f.jsonHeaders(shaped), BodyMutation: message.ReplaceBody(shaped)})
}

// shape is what the client gets of a body, and whether that is anything else than the provider's answer.
func (s *Server) shape(f *failed) (shaped []byte, changed bool) {
	own := s.conceal(f, f.body)
	shaped, changed = openai.Shape(f.shown(), f.headers.Get("content-type"), own)
	return shaped, changed || !bytes.Equal(own, f.body) || f.shown() != f.status
}

// conceal keeps the provider's credential from the client.
func (s *Server) conceal(f *failed, body []byte) []byte {
	if f.decision == nil {
		return body
	}
	d, ok := f.view.Snapshot().Deployment(f.decision.Deployment)
	if !ok {
		return body
	}
	return s.Providers.Conceal(d, body)
}

func (f *failed) passHeaders() *extprocv3.ProcessingResponse {
	m := &extprocv3.HeaderMutation{}
	f.tellWaits(m)
	return message.ToHeaders(&extprocv3.CommonResponse{HeaderMutation: m})
}

// tellWaits tells the client when to come back where the provider has said it by its resets alone. Nestor's own
// limits, which may have plenty left, are left out for what the provider has nothing left of.
func (f *failed) tellWaits(m *extprocv3.HeaderMutation) {
	for d, wait := range f.waits {
		if wait > 0 {
			names := standing.Names(ratelimit.Dimension(d))
			m.RemoveHeaders = append(m.RemoveHeaders, names...)
			m.SetHeaders = slices.DeleteFunc(m.SetHeaders, func(h *corev3.HeaderValueOption) bool {
				return slices.Contains(names, h.GetHeader().GetKey())
			})
		}
	}
	if wait := f.waits.Longest(); wait > 0 && f.headers.Get("retry-after") == "" && f.headers.Get("retry-after-ms") == "" {
		message.SetRetryAfter(m, wait)
		message.Set(m, "retry-after-ms", strconv.FormatInt(wait.Milliseconds(), 10))
	}
}

func markedHeaders() *extprocv3.ProcessingResponse {
	return message.ToHeaders(&extprocv3.CommonResponse{HeaderMutation: marked()})
}

// marked asks the outer route for another attempt.
func marked() *extprocv3.HeaderMutation {
	m := &extprocv3.HeaderMutation{}
	message.Set(m, nestorv1.HeaderRetry, "1")
	return m
}

func (f *failed) jsonHeaders(body []byte) *extprocv3.HeaderMutation {
	m := &extprocv3.HeaderMutation{RemoveHeaders: []string{"content-encoding"}}
	message.Set(m, "content-type", "application/json")
	message.Set(m, "content-length", strconv.Itoa(len(body)))
	f.tellWaits(m)
	if f.shown() != f.status {
		message.Set(m, ":status", strconv.Itoa(f.shown()))
	}
	return m
}
