// Package message makes the small messages that all parts of an Envoy configuration are made of.
package message

import (
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
)

// Pack wraps a message the same way every time: its bytes are its version. Marshalling fails
// only on text that is not UTF-8; what is left of such a message is refused by Envoy.
func Pack(m proto.Message) *anypb.Any {
	packed := &anypb.Any{}
	_ = anypb.MarshalFrom(packed, m, proto.MarshalOptions{Deterministic: true})
	return packed
}

// Extension is an extension with its settings.
func Extension(name string, m proto.Message) *corev3.TypedExtensionConfig {
	return &corev3.TypedExtensionConfig{Name: name, TypedConfig: Pack(m)}
}

// MS is a time in milliseconds.
func MS(n int64) *durationpb.Duration {
	return durationpb.New(time.Duration(n) * time.Millisecond)
}

// GRPC is a service at a cluster.
func GRPC(cluster string) *corev3.GrpcService {
	return &corev3.GrpcService{TargetSpecifier: &corev3.GrpcService_EnvoyGrpc_{
		EnvoyGrpc: &corev3.GrpcService_EnvoyGrpc{ClusterName: cluster},
	}}
}
