package envoy_test

import (
	"errors"
	"io"
	"sync"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	entryv3 "github.com/envoyproxy/go-control-plane/envoy/data/accesslog/v3"
	accesslogv3 "github.com/envoyproxy/go-control-plane/envoy/service/accesslog/v3"
	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/structpb"

	nestorv1 "github.com/nestor-gateway/nestor/proto/nestor/v1"
)

type logEntry = entryv3.HTTPAccessLogEntry

// decision is what a test's processor does with an attempt.
type decision struct {
	upstream string
	headers  map[string]string // to set on the request
	remove   []string
	metadata map[string]string
	refuse   int  // answer with this status instead
	hang     bool // say nothing
	leave    bool // end the exchange without a decision
}

// decider decides about an attempt from its request headers.
type decider func(headers map[string]string) decision

// always sends every attempt to one upstream.
func always(upstream string, metadata ...string) decider {
	d := decision{upstream: upstream, metadata: map[string]string{}}
	for i := 0; i+1 < len(metadata); i += 2 {
		d.metadata[metadata[i]] = metadata[i+1]
	}
	return func(map[string]string) decision { return d }
}

// failure is what a processor was shown of an attempt that failed.
type failure struct {
	status, body, details string
	metadata              map[string]any
}

// processor is as little of an external processor as the filters need.
type processor struct {
	extprocv3.UnimplementedExternalProcessorServer
	accesslogv3.UnimplementedAccessLogServiceServer
	decide decider
	// fail returns headers to set on a failed answer.
	fail func(failure) map[string]string

	mu       sync.Mutex
	requests []map[string]string
	failures []failure
	answers  []map[string]string // the headers of each failure
	entries  []*logEntry
}

func (p *processor) register(s *grpc.Server) {
	extprocv3.RegisterExternalProcessorServer(s, p)
	accesslogv3.RegisterAccessLogServiceServer(s, p)
}

// Process runs one exchange, and ends it.
func (p *processor) Process(stream extprocv3.ExternalProcessor_ProcessServer) error {
	first, err := stream.Recv()
	if err != nil {
		return nil
	}
	if first.GetResponseHeaders() != nil {
		return p.failed(stream, first)
	}
	headers := headerMap(first.GetRequestHeaders().GetHeaders())
	p.mu.Lock()
	p.requests = append(p.requests, headers)
	p.mu.Unlock()
	d := p.decide(headers)
	if !first.GetRequestHeaders().GetEndOfStream() {
		if err := stream.Send(&extprocv3.ProcessingResponse{Response: &extprocv3.ProcessingResponse_RequestHeaders{
			RequestHeaders: &extprocv3.HeadersResponse{}}}); err != nil {
			return nil
		}
		if _, err := stream.Recv(); err != nil {
			return nil
		}
	}
	switch {
	case d.hang:
		<-stream.Context().Done()
		return nil
	case d.leave:
		return nil
	}
	if err := stream.Send(d.response(first.GetRequestHeaders().GetEndOfStream())); err != nil {
		return nil
	}
	return nil
}

func (d decision) response(headersOnly bool) *extprocv3.ProcessingResponse {
	if d.refuse != 0 {
		return &extprocv3.ProcessingResponse{Response: &extprocv3.ProcessingResponse_ImmediateResponse{
			ImmediateResponse: &extprocv3.ImmediateResponse{
				Status:  &typev3.HttpStatus{Code: typev3.StatusCode(d.refuse)},
				Headers: mutation(map[string]string{nestorv1.HeaderRefusal: "1", "content-type": "application/json"}, nil),
				Body:    []byte(`{"error":"refused"}`),
			},
		}}
	}
	set := map[string]string{nestorv1.HeaderCluster: d.upstream}
	for k, v := range d.headers {
		set[k] = v
	}
	metadata := map[string]any{}
	for k, v := range d.metadata {
		metadata[k] = v
	}
	fields, _ := structpb.NewStruct(map[string]any{nestorv1.Namespace: metadata})
	common := &extprocv3.CommonResponse{HeaderMutation: mutation(set, d.remove), ClearRouteCache: true}
	r := &extprocv3.ProcessingResponse{DynamicMetadata: fields}
	if headersOnly {
		r.Response = &extprocv3.ProcessingResponse_RequestHeaders{RequestHeaders: &extprocv3.HeadersResponse{Response: common}}
	} else {
		r.Response = &extprocv3.ProcessingResponse_RequestBody{RequestBody: &extprocv3.BodyResponse{Response: common}}
	}
	return r
}

// failed takes the headers and the body of an answer, and sets headers on it.
func (p *processor) failed(stream extprocv3.ExternalProcessor_ProcessServer, first *extprocv3.ProcessingRequest) error {
	headers := headerMap(first.GetResponseHeaders().GetHeaders())
	f := failure{status: headers[":status"], metadata: map[string]any{}}
	if a := first.GetAttributes()["envoy.filters.http.ext_proc"]; a != nil {
		f.details = a.GetFields()["response.code_details"].GetStringValue()
	}
	if m := first.GetMetadataContext().GetFilterMetadata()[nestorv1.Namespace]; m != nil {
		f.metadata = m.AsMap()
	}
	reply := &extprocv3.ProcessingResponse{Response: &extprocv3.ProcessingResponse_ResponseHeaders{
		ResponseHeaders: &extprocv3.HeadersResponse{}}}
	common := &extprocv3.CommonResponse{}
	if first.GetResponseHeaders().GetEndOfStream() {
		reply.GetResponseHeaders().Response = common
	} else {
		if err := stream.Send(reply); err != nil {
			return nil
		}
		next, err := stream.Recv()
		if err != nil {
			return nil
		}
		f.body = string(next.GetResponseBody().GetBody())
		reply = &extprocv3.ProcessingResponse{Response: &extprocv3.ProcessingResponse_ResponseBody{
			ResponseBody: &extprocv3.BodyResponse{Response: common}}}
	}
	p.mu.Lock()
	p.failures = append(p.failures, f)
	p.answers = append(p.answers, headers)
	p.mu.Unlock()
	if p.fail != nil {
		common.HeaderMutation = mutation(p.fail(f), nil)
	}
	return ignore(stream.Send(reply))
}

func ignore(error) error { return nil }

// StreamAccessLogs keeps the entries.
func (p *processor) StreamAccessLogs(stream accesslogv3.AccessLogService_StreamAccessLogsServer) error {
	for {
		m, err := stream.Recv()
		if err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		p.mu.Lock()
		p.entries = append(p.entries, m.GetHttpLogs().GetLogEntry()...)
		p.mu.Unlock()
	}
}

// seen returns the request headers of every attempt so far.
func (p *processor) seen() []map[string]string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]map[string]string(nil), p.requests...)
}

// failuresSeen returns the failed attempts so far.
func (p *processor) failuresSeen() []failure {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]failure(nil), p.failures...)
}

// answersSeen returns the response headers of the failed attempts so far.
func (p *processor) answersSeen() []map[string]string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]map[string]string(nil), p.answers...)
}

// logged returns the access log so far.
func (p *processor) logged() []*logEntry {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]*logEntry(nil), p.entries...)
}

func headerMap(h *corev3.HeaderMap) map[string]string {
	headers := map[string]string{}
	for _, v := range h.GetHeaders() {
		headers[v.GetKey()] = string(v.GetRawValue())
	}
	return headers
}

func mutation(set map[string]string, remove []string) *extprocv3.HeaderMutation {
	m := &extprocv3.HeaderMutation{RemoveHeaders: remove}
	for k, v := range set {
		m.SetHeaders = append(m.SetHeaders, &corev3.HeaderValueOption{
			Header:       &corev3.HeaderValue{Key: k, RawValue: []byte(v)},
			AppendAction: corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD,
		})
	}
	return m
}
