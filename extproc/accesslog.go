package extproc

import (
	"context"
	"log/slog"
	"strconv"
	"strings"
	"time"

	datav3 "github.com/envoyproxy/go-control-plane/envoy/data/accesslog/v3"
	accesslogv3 "github.com/envoyproxy/go-control-plane/envoy/service/accesslog/v3"
	"google.golang.org/grpc"

	"github.com/nestor-gateway/nestor/extproc/openai"
	nestorv1 "github.com/nestor-gateway/nestor/proto/nestor/v1"
	"github.com/nestor-gateway/nestor/routing"
)

// accessLog receives one entry for every attempt, some 20 ms after its end.
type accessLog struct {
	accesslogv3.UnimplementedAccessLogServiceServer
	server *Server
}

func registerAccessLog(g *grpc.Server, s *Server) {
	accesslogv3.RegisterAccessLogServiceServer(g, &accessLog{server: s})
}

// StreamAccessLogs reads entries until Envoy ends the stream.
func (a *accessLog) StreamAccessLogs(stream accesslogv3.AccessLogService_StreamAccessLogsServer) error {
	for {
		m, err := stream.Recv()
		if err != nil {
			return ended(err)
		}
		for _, line := range m.GetHttpLogs().GetLogEntry() {
			a.server.attemptEnded(line)
		}
	}
}

// entry is what an access log entry says about an attempt.
type entry struct {
	decision *nestorv1.Decision
	group    string // bounded by the config; "" when it is no longer there
	model    string // as written in the config; "" when it is no longer there
	status   int    // 0: no answer reached the client
	aborted  bool   // the client left
	cut      bool   // the upstream broke the answer off
	details  string // Envoy's response code details
	unsent   bool   // nothing of the request went to an upstream
	sent     int64  // bytes of the answer's body
	duration time.Duration
	whole    time.Duration // from the request to the end of the answer at the upstream; 0 is unknown
	first    time.Duration // from the request to the first piece of a stream
	reason   string        // why a connection could not be made
	usage    usage
}

// attemptEnded takes what an entry says into account. One that is made while an attempt goes on says nothing.
func (s *Server) attemptEnded(line *datav3.HTTPAccessLogEntry) {
	common := line.GetCommonProperties()
	switch common.GetAccessLogType() {
	case datav3.AccessLogType_NotSet, datav3.AccessLogType_DownstreamEnd:
	default:
		return
	}
	d := decisionOf(common.GetMetadata())
	if d == nil {
		s.neverDecided(line)
		return
	}
	s.record(readEntry(line, d))
}

// record takes the end of an attempt into account.
func (s *Server) record(e entry) {
	d := e.decision
	snapshot := s.views.at(d.Snapshot).Snapshot()
	if t, ok := snapshot.Resolve(d.Group); ok {
		e.group = t.Group
	}
	if deployment, ok := snapshot.Deployment(d.Deployment); ok {
		e.model = deployment.Written
	}
	s.settleEntry(e)
	if d.Probe {
		return
	}
	if e.outcome() == outcomeSuccess {
		s.Router.Succeeded(d.Deployment)
	} else {
		s.logFailure(e)
	}
	s.learn(e)
	if sample, ok := sampleOf(e); ok {
		s.Router.Observe(sample)
	}
	s.Metrics.ended(e)
}

// neverDecided gives back what was reserved for an attempt whose decision did not reach Envoy: the client
// left meanwhile, or the processor died. A refusal has reserved nothing.
func (s *Server) neverDecided(line *datav3.HTTPAccessLogEntry) {
	if line.GetCommonProperties().GetTimeToFirstUpstreamTxByte() != nil {
		return // something went to an upstream, whoever decided it
	}
	headers := line.GetRequest().GetRequestHeaders()
	attempt, err := strconv.ParseUint(headers[nestorv1.HeaderAttempt], 10, 32)
	id := headers[nestorv1.HeaderRequest]
	if id == "" || err != nil || strings.Contains(line.GetResponse().GetResponseCodeDetails(), refusalDetails) {
		return
	}
	s.refund("", "", reservationID(id, uint32(attempt)))
}

// sampleOf is how fast the attempt was, by the upstream's own times, without the decision and the back-off before
// it. False where the attempt tells nothing about its deployment.
func sampleOf(e entry) (routing.Sample, bool) {
	sample := routing.Sample{Deployment: e.decision.Deployment}
	switch e.outcome() {
	case outcomeAbort:
		return sample, false
	case outcomeSuccess:
		sample.Whole, sample.FirstToken, sample.Completion = e.whole, e.first, e.usage.completion
		return sample, e.whole > 0
	}
	sample.Failed = true
	switch openai.Classify(e.status, openai.ErrorBody{}) {
	case routing.BadRequest, routing.NotFound, routing.ContextWindow, routing.ContentPolicy:
		return sample, e.outcome() == outcomeCut // the others are the request's own fault
	}
	return sample, true
}

// firstEvent is when the first piece of a stream came, from the beginning of the attempt: by the Lua filter's
// clock, which knows whole milliseconds, and not before its headers.
func firstEvent(common *datav3.AccessLogCommon) time.Duration {
	headers := common.GetTimeToFirstUpstreamRxByte().AsDuration()
	ms := common.GetMetadata().GetFilterMetadata()[nestorv1.UsageNamespace].GetFields()[nestorv1.KeyFirstEvent].GetNumberValue()
	if ms <= 0 || common.GetStartTime() == nil {
		return headers
	}
	return max(headers, time.UnixMilli(int64(ms)).Sub(common.GetStartTime().AsTime()))
}

// logFailure tells why an attempt failed: for a connection that could not be made (a certificate that is
// not good, for example) at once, for the rest at the level of debugging.
func (s *Server) logFailure(e entry) {
	level := slog.LevelDebug
	if e.reason != "" {
		level = slog.LevelWarn
	}
	s.Log.Log(context.Background(), level, "attempt failed", "call_id", e.decision.RequestId, "deployment", e.decision.Deployment,
		"attempt", e.decision.Attempt, "outcome", e.outcome(), "status", e.status,
		"details", e.details, "reason", e.reason)
}

func readEntry(line *datav3.HTTPAccessLogEntry, d *nestorv1.Decision) entry {
	common := line.GetCommonProperties()
	flags := common.GetResponseFlags()
	e := entry{
		decision: d,
		status:   int(line.GetResponse().GetResponseCode().GetValue()),
		aborted:  flags.GetDownstreamRemoteReset() || flags.GetDownstreamConnectionTermination(),
		cut:      isCut(flags, line.GetResponse().GetResponseCodeDetails()),
		details:  line.GetResponse().GetResponseCodeDetails(),
		unsent:   common.GetTimeToFirstUpstreamTxByte() == nil,
		sent:     int64(line.GetResponse().GetResponseBodyBytes()),
		duration: common.GetDuration().AsDuration(),
		reason:   common.GetUpstreamTransportFailureReason(),
		usage:    readUsage(common.GetMetadata().GetFilterMetadata()[nestorv1.UsageNamespace]),
	}
	if begin := common.GetTimeToFirstUpstreamTxByte().AsDuration(); begin > 0 {
		e.whole = common.GetTimeToLastUpstreamRxByte().AsDuration() - begin
		if d.Stream {
			e.first = firstEvent(common) - begin
		}
	}
	return e
}

// isCut reports whether the upstream broke off, or fell silent, after its headers.
func isCut(f *datav3.ResponseFlags, details string) bool {
	return f.GetUpstreamRemoteReset() || f.GetUpstreamConnectionTermination() || f.GetUpstreamProtocolError() ||
		f.GetStreamIdleTimeout() || strings.HasPrefix(details, "upstream_reset_after_response_started")
}

// outcome is how an attempt ended, as metrics and logs name it.
type outcome string

const (
	outcomeSuccess outcome = "success"
	outcomeFailure outcome = "failure"
	outcomeCut     outcome = "cut"   // it broke off after its headers
	outcomeAbort   outcome = "abort" // the client left
)

func (e entry) outcome() outcome {
	switch {
	case e.aborted:
		return outcomeAbort
	case e.status < 200 || e.status > 299:
		return outcomeFailure
	case e.cut:
		return outcomeCut
	default:
		return outcomeSuccess
	}
}
