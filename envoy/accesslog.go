package envoy

import (
	accesslogv3 "github.com/envoyproxy/go-control-plane/envoy/config/accesslog/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	datav3 "github.com/envoyproxy/go-control-plane/envoy/data/accesslog/v3"
	grpclogv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/access_loggers/grpc/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/nestor-gateway/nestor/envoy/cluster"
	"github.com/nestor-gateway/nestor/envoy/message"
	nestorv1 "github.com/nestor-gateway/nestor/proto/nestor/v1"
)

// accessLogs tell the processor of each attempt, with its Decision: how it ended and what it used, and before
// that, again and again, that it is in flight. The signs of life have a buffer of their own: they are worth nothing to
// a processor that was not there, and must not fill up the room in which ends wait for it.
func accessLogs() []*accesslogv3.AccessLog {
	ends := processorLog("nestor", message.MS(20), 16<<20)
	// They name the attempt where the client left while it was decided: its entry has no Decision.
	// The router has removed them from all others.
	ends.AdditionalRequestHeadersToLog = []string{nestorv1.HeaderRequest, nestorv1.HeaderAttempt}
	ends.AdditionalResponseHeadersToLog = []string{nestorv1.HeaderCoding, nestorv1.HeaderRetry}
	signs := processorLog("nestor.signs", message.MS(200), 1<<20)
	return []*accesslogv3.AccessLog{
		logOf(ends, datav3.AccessLogType_DownstreamEnd),
		logOf(signs, datav3.AccessLogType_DownstreamPeriodic),
	}
}

// processorLog sends entries soon after they are made. They wait in Envoy, up to the buffer's size, while every
// processor is down.
func processorLog(name string, flush *durationpb.Duration, buffer uint32) *grpclogv3.HttpGrpcAccessLogConfig {
	return &grpclogv3.HttpGrpcAccessLogConfig{CommonConfig: &grpclogv3.CommonGrpcAccessLogConfig{
		LogName:             name,
		TransportApiVersion: corev3.ApiVersion_V3,
		GrpcService:         message.GRPC(cluster.LogName),
		BufferFlushInterval: flush,
		BufferSizeBytes:     wrapperspb.UInt32(buffer),
	}}
}

// logOf has a log take the entries of one type.
func logOf(log *grpclogv3.HttpGrpcAccessLogConfig, kind datav3.AccessLogType) *accesslogv3.AccessLog {
	return &accesslogv3.AccessLog{
		Name: "envoy.access_loggers.http_grpc",
		Filter: &accesslogv3.AccessLogFilter{FilterSpecifier: &accesslogv3.AccessLogFilter_LogTypeFilter{
			LogTypeFilter: &accesslogv3.LogTypeFilter{Types: []datav3.AccessLogType{kind}},
		}},
		ConfigType: &accesslogv3.AccessLog_TypedConfig{TypedConfig: message.Pack(log)},
	}
}

// signsOfLife has an entry made of every attempt again and again while it is in flight, of the type
// DownstreamPeriodic: so the processor can tell one that goes on from one whose last entry was lost.
func signsOfLife(o Options) *hcmv3.HttpConnectionManager_HcmAccessLogOptions {
	return &hcmv3.HttpConnectionManager_HcmAccessLogOptions{AccessLogFlushInterval: durationpb.New(o.Signs)}
}
