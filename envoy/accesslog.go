package envoy

import (
	accesslogv3 "github.com/envoyproxy/go-control-plane/envoy/config/accesslog/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	grpclogv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/access_loggers/grpc/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	nestorv1 "github.com/nestor-gateway/nestor/proto/nestor/v1"
)

// accessLog tells the processor how each attempt ended, with its Decision and usage. Entries
// wait in Envoy, up to the buffer's size, while every processor is down.
func accessLog() *accesslogv3.AccessLog {
	return &accesslogv3.AccessLog{
		Name: "envoy.access_loggers.http_grpc",
		ConfigType: &accesslogv3.AccessLog_TypedConfig{TypedConfig: pack(&grpclogv3.HttpGrpcAccessLogConfig{
			CommonConfig: &grpclogv3.CommonGrpcAccessLogConfig{
				LogName:             "nestor",
				TransportApiVersion: corev3.ApiVersion_V3,
				GrpcService:         grpcTo(logClusterName),
				BufferFlushInterval: ms(20),
				BufferSizeBytes:     wrapperspb.UInt32(16 << 20),
			},
			// They name the attempt where the client left while it was decided: its entry has no Decision.
			// The router has removed them from all others.
			AdditionalRequestHeadersToLog: []string{nestorv1.HeaderRequest, nestorv1.HeaderAttempt},
		})},
	}
}

// signsOfLife has an entry made of every attempt again and again while it is in flight, of the type
// DownstreamPeriodic: so the processor can tell one that goes on from one whose last entry was lost.
func signsOfLife(o Options) *hcmv3.HttpConnectionManager_HcmAccessLogOptions {
	return &hcmv3.HttpConnectionManager_HcmAccessLogOptions{AccessLogFlushInterval: durationpb.New(o.Signs)}
}
