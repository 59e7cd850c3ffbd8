package extproc

import (
	"context"
	"log/slog"
	"strconv"
	"strings"

	datav3 "github.com/envoyproxy/go-control-plane/envoy/data/accesslog/v3"
	accesslogv3 "github.com/envoyproxy/go-control-plane/envoy/service/accesslog/v3"
	"google.golang.org/grpc"

	"github.com/nestor-gateway/nestor/extproc/ending"
	nestorv1 "github.com/nestor-gateway/nestor/proto/nestor/v1"
)

// accessLog receives an entry for every attempt some 20 ms after its end, and others while it is in flight.
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
			a.server.read(line)
		}
	}
}

// read takes what an entry says into account. One of an attempt in flight says that and nothing else.
func (s *Server) read(line *datav3.HTTPAccessLogEntry) {
	common := line.GetCommonProperties()
	d := decisionOf(common.GetMetadata())
	switch common.GetAccessLogType() {
	case datav3.AccessLogType_NotSet, datav3.AccessLogType_DownstreamEnd:
		if d == nil {
			s.neverDecided(line)
			return
		}
		s.record(ending.Read(line, d))
	case datav3.AccessLogType_DownstreamPeriodic:
		if d != nil {
			s.renew(d)
		}
	}
}

// record takes the end of an attempt into account.
func (s *Server) record(e ending.Entry) {
	d := e.Decision
	snapshot := s.views.At(d.Snapshot).Snapshot()
	if t, ok := snapshot.Resolve(d.Group); ok {
		e.Group = t.Group
	}
	if deployment, ok := snapshot.Deployment(d.Deployment); ok {
		e.Model = deployment.Written
	}
	s.learn(e) // first: a request that waits for room is estimated by it
	s.settleEntry(e)
	if d.Probe {
		return
	}
	if e.Outcome() == ending.Success {
		s.Router.Succeeded(d.Deployment)
	} else {
		s.logFailure(e)
	}
	if sample, ok := e.Sample(); ok {
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

// logFailure tells why an attempt failed: for a connection that could not be made (a certificate that is
// not good, for example) at once, for the rest at the level of debugging.
func (s *Server) logFailure(e ending.Entry) {
	level := slog.LevelDebug
	if e.Reason != "" {
		level = slog.LevelWarn
	}
	s.Log.Log(context.Background(), level, "attempt failed", "call_id", e.Decision.RequestId, "deployment", e.Decision.Deployment,
		"attempt", e.Decision.Attempt, "outcome", e.Outcome(), "status", e.Status,
		"details", e.Details, "reason", e.Reason)
}
