package extproc

import (
	"context"
	"log/slog"
	"strings"
	"time"

	datav3 "github.com/envoyproxy/go-control-plane/envoy/data/accesslog/v3"
	accesslogv3 "github.com/envoyproxy/go-control-plane/envoy/service/accesslog/v3"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/structpb"

	nestorv1 "github.com/nestor-gateway/nestor/proto/nestor/v1"
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
	status   int    // 0: no answer reached the client
	aborted  bool   // the client left
	cut      bool   // the upstream broke the answer off
	duration time.Duration
	usage    usage
}

type usage struct{ prompt, completion, total float64 }

// attemptEnded takes what an entry says into account. An entry without a Decision is a
// request that never was an attempt.
func (s *Server) attemptEnded(line *datav3.HTTPAccessLogEntry) {
	common := line.GetCommonProperties()
	d := decisionOf(common.GetMetadata())
	if d == nil || d.Probe {
		return
	}
	e := readEntry(line, d)
	if t, ok := s.views.at(d.Snapshot).Snapshot().Resolve(d.Group); ok {
		e.group = t.Group
	}
	if e.outcome() == "success" {
		s.Router.Succeeded(d.Deployment)
	} else {
		s.logFailure(e, line)
	}
	s.Metrics.ended(e)
}

// logFailure tells why an attempt failed: for a connection that could not be made (a certificate that is
// not good, for example) at once, for the rest at the level of debugging.
func (s *Server) logFailure(e entry, line *datav3.HTTPAccessLogEntry) {
	level, reason := slog.LevelDebug, line.GetCommonProperties().GetUpstreamTransportFailureReason()
	if reason != "" {
		level = slog.LevelWarn
	}
	s.Log.Log(context.Background(), level, "attempt failed", "call_id", e.decision.RequestId, "deployment", e.decision.Deployment,
		"attempt", e.decision.Attempt, "outcome", e.outcome(), "status", e.status,
		"details", line.GetResponse().GetResponseCodeDetails(), "reason", reason)
}

func readEntry(line *datav3.HTTPAccessLogEntry, d *nestorv1.Decision) entry {
	common := line.GetCommonProperties()
	flags := common.GetResponseFlags()
	return entry{
		decision: d,
		status:   int(line.GetResponse().GetResponseCode().GetValue()),
		aborted:  flags.GetDownstreamRemoteReset() || flags.GetDownstreamConnectionTermination(),
		cut:      isCut(flags, line.GetResponse().GetResponseCodeDetails()),
		duration: common.GetDuration().AsDuration(),
		usage:    readUsage(common.GetMetadata().GetFilterMetadata()[nestorv1.UsageNamespace]),
	}
}

// isCut reports whether the upstream broke off, or fell silent, after its headers.
func isCut(f *datav3.ResponseFlags, details string) bool {
	return f.GetUpstreamRemoteReset() || f.GetUpstreamConnectionTermination() || f.GetUpstreamProtocolError() ||
		f.GetStreamIdleTimeout() || strings.HasPrefix(details, "upstream_reset_after_response_started")
}

func readUsage(s *structpb.Struct) usage {
	count := func(key string) float64 { return max(s.GetFields()[key].GetNumberValue(), 0) }
	return usage{
		prompt:     count(nestorv1.KeyPromptTokens),
		completion: count(nestorv1.KeyCompletionTokens),
		total:      count(nestorv1.KeyTotalTokens),
	}
}

// outcome is success, failure, cut or abort.
func (e entry) outcome() string {
	switch {
	case e.aborted:
		return "abort"
	case e.status < 200 || e.status > 299:
		return "failure"
	case e.cut:
		return "cut"
	default:
		return "success"
	}
}
