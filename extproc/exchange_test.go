package extproc

import (
	"context"
	"io"
	"log/slog"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/nestor-gateway/nestor/access"
	"github.com/nestor-gateway/nestor/extproc/provider"
	nestorv1 "github.com/nestor-gateway/nestor/proto/nestor/v1"
	"github.com/nestor-gateway/nestor/routing"
	"github.com/nestor-gateway/nestor/routing/config"
)

// wire plays Envoy's side of one exchange: what it sends, and what it was answered.
type wire struct {
	grpc.ServerStream
	ctx     context.Context
	send    []*extprocv3.ProcessingRequest
	replies []*extprocv3.ProcessingResponse
}

func (w *wire) Context() context.Context { return w.ctx }

func (w *wire) Recv() (*extprocv3.ProcessingRequest, error) {
	if len(w.send) == 0 {
		return nil, io.EOF
	}
	next := w.send[0]
	w.send = w.send[1:]
	return next, nil
}

// Send keeps what would arrive: the message as it is after the way over the wire.
func (w *wire) Send(m *extprocv3.ProcessingResponse) error {
	raw, err := proto.Marshal(m)
	if err != nil {
		return err
	}
	arrived := &extprocv3.ProcessingResponse{}
	w.replies = append(w.replies, arrived)
	return proto.Unmarshal(raw, arrived)
}

func (w *wire) last() *extprocv3.ProcessingResponse { return w.replies[len(w.replies)-1] }

// exchange runs one RPC to its end.
func exchange(t *testing.T, s *Server, messages ...*extprocv3.ProcessingRequest) *wire {
	t.Helper()
	w := &wire{ctx: t.Context(), send: messages}
	if err := s.Process(w); err != nil {
		t.Fatalf("exchange: %v", err)
	}
	return w
}

const masterKey = "sk-master"

// fixture is a server over a config in YAML, without the master key.
func fixture(t testing.TB, yaml string) *Server {
	t.Helper()
	return fixtureAt(t, yaml, time.Now)
}

func fixtureAt(t testing.TB, yaml string, now func() time.Time) *Server {
	t.Helper()
	return fixtureWith(t, yaml, now, newLedger(now))
}

// limited is a fixture whose ledger can be read.
func limited(t testing.TB, yaml string) (*Server, *ledger) {
	t.Helper()
	l := newLedger(time.Now)
	return fixtureWith(t, yaml, time.Now, l), l
}

func fixtureWith(t testing.TB, yaml string, now func() time.Time, l *ledger) *Server {
	t.Helper()
	none := func(string) (string, bool) { return "", false }
	cfg, err := config.Decode("config.yaml", []byte(yaml), none)
	if err != nil {
		t.Fatal(err)
	}
	table := provider.New(none)
	snapshot, _, err := routing.Compile(cfg, table)
	if err != nil {
		t.Fatal(err)
	}
	auth := access.NewMaster(masterKey)
	return New(Options{
		Router:      routing.NewRouter(routing.NewTracker(now), l, snapshot),
		Providers:   table,
		Auth:        func() Authenticator { return auth },
		Metrics:     NewMetrics(prometheus.NewRegistry()),
		ProbeSecret: "probe-secret",
		LargeBodies: 64 << 20,
		Log:         slog.New(slog.DiscardHandler),
		Now:         now,
	})
}

// requestHeaders is the first message of a decision exchange; more overwrites the usual headers.
func requestHeaders(more map[string]string) *extprocv3.ProcessingRequest {
	headers := map[string]string{
		":method": "POST", ":path": "/v1/chat/completions", ":authority": "localhost:4000", ":scheme": "http",
		"authorization": "Bearer " + masterKey, "content-type": "application/json",
		"x-nestor-request": "request-1", "x-envoy-attempt-count": "1",
	}
	for k, v := range more {
		headers[k] = v
	}
	return &extprocv3.ProcessingRequest{Request: &extprocv3.ProcessingRequest_RequestHeaders{
		RequestHeaders: &extprocv3.HttpHeaders{Headers: headerList(headers)},
	}}
}

func headerList(headers map[string]string) *corev3.HeaderMap {
	m := &corev3.HeaderMap{}
	for k, v := range headers {
		m.Headers = append(m.Headers, &corev3.HeaderValue{Key: k, RawValue: []byte(v)})
	}
	return m
}

func requestBody(body string) *extprocv3.ProcessingRequest {
	return &extprocv3.ProcessingRequest{Request: &extprocv3.ProcessingRequest_RequestBody{
		RequestBody: &extprocv3.HttpBody{Body: []byte(body), EndOfStream: true},
	}}
}

// failureOf is the first message of the failure exchange of a decided attempt.
func failureOf(decision *structpb.Struct, status string, end bool, more map[string]string) *extprocv3.ProcessingRequest {
	headers := map[string]string{":status": status}
	for k, v := range more {
		headers[k] = v
	}
	m := &extprocv3.ProcessingRequest{Request: &extprocv3.ProcessingRequest_ResponseHeaders{
		ResponseHeaders: &extprocv3.HttpHeaders{Headers: headerList(headers), EndOfStream: end},
	}}
	if decision != nil {
		m.MetadataContext = &corev3.Metadata{FilterMetadata: map[string]*structpb.Struct{
			nestorv1.Namespace: decision.Fields[nestorv1.Namespace].GetStructValue(),
		}}
	}
	return m
}

func responseBody(body string) *extprocv3.ProcessingRequest {
	return &extprocv3.ProcessingRequest{Request: &extprocv3.ProcessingRequest_ResponseBody{
		ResponseBody: &extprocv3.HttpBody{Body: []byte(body), EndOfStream: true},
	}}
}

// decideFor runs a decision exchange and returns its reply.
func decideFor(t *testing.T, s *Server, headers map[string]string, body string) *extprocv3.ProcessingResponse {
	t.Helper()
	return exchange(t, s, requestHeaders(headers), requestBody(body)).last()
}

// setHeaders lists what a mutation sets.
func setHeaders(m *extprocv3.HeaderMutation) map[string]string {
	got := map[string]string{}
	for _, h := range m.GetSetHeaders() {
		got[h.Header.Key] = string(h.Header.RawValue)
	}
	return got
}

// isMarked reports whether a reply asks for another attempt.
func isMarked(r *extprocv3.ProcessingResponse) bool {
	for _, m := range []*extprocv3.HeaderMutation{
		r.GetResponseHeaders().GetResponse().GetHeaderMutation(),
		r.GetResponseBody().GetResponse().GetHeaderMutation(),
	} {
		if setHeaders(m)[nestorv1.HeaderRetry] != "" {
			return true
		}
	}
	return false
}

func decisionIn(t *testing.T, r *extprocv3.ProcessingResponse) *nestorv1.Decision {
	t.Helper()
	d := decisionOf(&corev3.Metadata{FilterMetadata: map[string]*structpb.Struct{
		nestorv1.Namespace: r.GetDynamicMetadata().GetFields()[nestorv1.Namespace].GetStructValue(),
	}})
	if d == nil {
		t.Fatalf("no Decision in %v", r)
	}
	return d
}

func codeDetails(t *testing.T, details string) map[string]*structpb.Struct {
	t.Helper()
	s, err := structpb.NewStruct(map[string]any{"response.code_details": details})
	if err != nil {
		t.Fatal(err)
	}
	return map[string]*structpb.Struct{"envoy.filters.http.ext_proc": s}
}
