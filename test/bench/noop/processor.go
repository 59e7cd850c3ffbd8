package main

import (
	"bytes"
	"encoding/base64"
	"errors"
	"io"
	"slices"
	"strconv"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	accesslog "github.com/envoyproxy/go-control-plane/envoy/service/accesslog/v3"
	extproc "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	nestorv1 "github.com/nestor-gateway/nestor/proto/nestor/v1"
)

// timeoutMillis is the timeout of every request, ten minutes as where nothing is configured.
const timeoutMillis = "600000"

// replies are what the processor answers with, made once.
type replies struct {
	proceed, passHeaders, passBody *extproc.ProcessingResponse
	headers                        *extproc.HeaderMutation
	metadata                       *structpb.Struct
}

func newReplies(cluster, path string) (*replies, error) {
	metadata, err := decision()
	if err != nil {
		return nil, err
	}
	common := func() *extproc.CommonResponse { return &extproc.CommonResponse{} }
	return &replies{
		proceed: &extproc.ProcessingResponse{Response: &extproc.ProcessingResponse_RequestHeaders{
			RequestHeaders: &extproc.HeadersResponse{Response: common()}}},
		passHeaders: &extproc.ProcessingResponse{Response: &extproc.ProcessingResponse_ResponseHeaders{
			ResponseHeaders: &extproc.HeadersResponse{Response: common()}}},
		passBody: &extproc.ProcessingResponse{Response: &extproc.ProcessingResponse_ResponseBody{
			ResponseBody: &extproc.BodyResponse{Response: common()}}},
		headers: &extproc.HeaderMutation{SetHeaders: []*core.HeaderValueOption{
			overwrite(nestorv1.HeaderCluster, cluster),
			overwrite(":path", path),
			overwrite("x-envoy-upstream-rq-timeout-ms", timeoutMillis),
		}},
		metadata: metadata,
	}, nil
}

func overwrite(name, value string) *core.HeaderValueOption {
	return &core.HeaderValueOption{
		Header:       &core.HeaderValue{Key: name, RawValue: []byte(value)},
		AppendAction: core.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD,
	}
}

// decision is dynamic metadata of the least size that a Decision has.
func decision() (*structpb.Struct, error) {
	d, err := proto.Marshal(&nestorv1.Decision{Model: "fast", Group: "fast", Deployment: "noop", Attempt: 1})
	if err != nil {
		return nil, err
	}
	return structpb.NewStruct(map[string]any{nestorv1.Namespace: map[string]any{
		nestorv1.KeyDecision: base64.StdEncoding.EncodeToString(d),
		nestorv1.KeyModelID:  "noop",
	}})
}

// decided answers the request's body, or its headers where it has none.
func (r *replies) decided(body []byte) *extproc.CommonResponse {
	c := &extproc.CommonResponse{HeaderMutation: r.headers, ClearRouteCache: true}
	if body != nil {
		c.BodyMutation = &extproc.BodyMutation{Mutation: &extproc.BodyMutation_Body{Body: body}}
	}
	return c
}

// processor serves both exchanges. See the design of the two: an RPC of two messages
// before an attempt, and another after one that failed.
type processor struct {
	extproc.UnimplementedExternalProcessorServer
	replies *replies
	usage   bool // it asks for the usage of streams
}

// Process ends the RPC itself, with OK, as soon as the exchange is over.
func (p processor) Process(s extproc.ExternalProcessor_ProcessServer) error {
	for {
		request, err := s.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		reply, last := p.reply(request)
		if reply == nil {
			return status.Errorf(codes.Unimplemented, "no answer to %T", request.GetRequest())
		}
		if err := s.Send(reply); err != nil || last {
			return err
		}
	}
}

// reply answers one message; last says that the exchange is over.
func (p processor) reply(request *extproc.ProcessingRequest) (reply *extproc.ProcessingResponse, last bool) {
	switch m := request.GetRequest().(type) {
	case *extproc.ProcessingRequest_RequestHeaders:
		if !m.RequestHeaders.GetEndOfStream() {
			return p.replies.proceed, false
		}
		return p.decide(&extproc.ProcessingResponse{Response: &extproc.ProcessingResponse_RequestHeaders{
			RequestHeaders: &extproc.HeadersResponse{Response: p.replies.decided(nil)}}}), true
	case *extproc.ProcessingRequest_RequestBody:
		return p.decide(&extproc.ProcessingResponse{Response: &extproc.ProcessingResponse_RequestBody{
			RequestBody: &extproc.BodyResponse{Response: p.asked(m.RequestBody.GetBody())}}}), true
	case *extproc.ProcessingRequest_ResponseHeaders:
		return p.replies.passHeaders, m.ResponseHeaders.GetEndOfStream()
	case *extproc.ProcessingRequest_ResponseBody:
		return p.replies.passBody, true
	}
	return nil, true
}

// asked answers a request's body; it asks for usage where it is to, if the body is that of a stream.
func (p processor) asked(body []byte) *extproc.CommonResponse {
	if !p.usage || !bytes.Contains(body, []byte(`"stream":true`)) {
		return p.replies.decided(body)
	}
	body = append([]byte(`{"stream_options":{"include_usage":true},`), body[1:]...)
	c := p.replies.decided(body)
	length := overwrite("content-length", strconv.Itoa(len(body)))
	c.HeaderMutation = &extproc.HeaderMutation{SetHeaders: append(slices.Clip(p.replies.headers.GetSetHeaders()), length)}
	return c
}

func (p processor) decide(r *extproc.ProcessingResponse) *extproc.ProcessingResponse {
	r.DynamicMetadata = p.replies.metadata
	return r
}

// deaf receives Envoy's access log and throws it away.
type deaf struct {
	accesslog.UnimplementedAccessLogServiceServer
}

// StreamAccessLogs reads until Envoy ends the stream.
func (deaf) StreamAccessLogs(s accesslog.AccessLogService_StreamAccessLogsServer) error {
	for {
		if _, err := s.Recv(); err != nil {
			return nil
		}
	}
}
