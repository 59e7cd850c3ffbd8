package extproc

import (
	"context"
	"log/slog"
	"strconv"
	"strings"

	datav3 "github.com/envoyproxy/go-control-plane/envoy/data/accesslog/v3"
	accesslogv3 "github.com/envoyproxy/go-control-plane/envoy/service/accesslog/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/nestor-gateway/nestor/access/record"
	"github.com/nestor-gateway/nestor/extproc/ending"
	"github.com/nestor-gateway/nestor/extproc/entries"
)

// registerAccessLog adds the access log service. Its messages are kept as bytes: package entries reads them.
func registerAccessLog(g *grpc.Server, s *Server) {
	generated := accesslogv3.AccessLogService_ServiceDesc
	g.RegisterService(&grpc.ServiceDesc{
		ServiceName: generated.ServiceName,
		Metadata:    generated.Metadata,
		Streams: []grpc.StreamDesc{{
			StreamName:    generated.Streams[0].StreamName,
			ClientStreams: true,
			Handler:       func(_ any, stream grpc.ServerStream) error { return s.streamAccessLogs(stream) },
		}},
	}, nil)
}

// streamAccessLogs reads entries until Envoy ends the stream. It gets one for every attempt some 20 ms after its end,
// and others while it is in flight.
func (s *Server) streamAccessLogs(stream grpc.ServerStream) error {
	for {
		var m emptypb.Empty // every field is one that it does not know
		if err := stream.RecvMsg(&m); err != nil {
			return ended(err)
		}
		if err := s.readLog(m.ProtoReflect().GetUnknown()); err != nil {
			return err
		}
	}
}

// readLog takes a message of entries into account, or none of it where it is malformed: an error like that of gRPC for
// what it can't read itself.
func (s *Server) readLog(message []byte) error {
	all, err := entries.Read(message)
	if err != nil {
		return status.Errorf(codes.Internal, "an access log message: %v", err)
	}
	for i := range all {
		s.read(&all[i])
	}
	return nil
}

// read takes what an entry says into account. One of an attempt in flight says that and nothing else.
func (s *Server) read(line *entries.Entry) {
	d := decode(line.Decision)
	switch line.Kind {
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
func (s *Server) neverDecided(line *entries.Entry) {
	if line.FirstSent.Said() {
		return // something went to an upstream, whoever decided it
	}
	attempt, err := strconv.ParseUint(line.Attempt, 10, 32)
	if line.Request == "" || err != nil || strings.Contains(line.Details, refusalDetails) {
		return
	}
	s.refund("", "", record.AttemptID(line.Request, uint32(attempt)))
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
