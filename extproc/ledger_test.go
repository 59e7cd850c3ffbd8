package extproc

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	datav3 "github.com/envoyproxy/go-control-plane/envoy/data/accesslog/v3"
	accesslogv3 "github.com/envoyproxy/go-control-plane/envoy/service/accesslog/v3"
	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	nestorv1 "github.com/nestor-gateway/nestor/proto/nestor/v1"
	"github.com/nestor-gateway/nestor/ratelimit"
)

// ledger is a store that tells how each entity stands, by its name.
type ledger struct {
	*ratelimit.Memory
	mu       sync.Mutex
	entities map[string]ratelimit.Entity
	// ended counts the reservations that were held and settled or given back.
	ended map[ratelimit.ID]int
}

func newLedger(now func() time.Time) *ledger {
	begin := now()
	return &ledger{
		Memory:   ratelimit.NewMemory(ratelimit.Options{Fresh: true, Now: func() time.Duration { return now().Sub(begin) }}),
		entities: map[string]ratelimit.Entity{}, ended: map[ratelimit.ID]int{},
	}
}

func (l *ledger) Declare(limits []ratelimit.Limit) []ratelimit.Entity {
	all := l.Memory.Declare(limits)
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, limit := range limits {
		l.entities[limit.Name] = all[i]
	}
	return all
}

func (l *ledger) Put(limit ratelimit.Limit) ratelimit.Entity {
	e := l.Memory.Put(limit)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.entities[limit.Name] = e
	return e
}

func (l *ledger) Settle(id ratelimit.ID, used ratelimit.Amounts) bool {
	return l.count(id, l.Memory.Settle(id, used))
}

func (l *ledger) Refund(id ratelimit.ID) bool { return l.count(id, l.Memory.Refund(id)) }

func (l *ledger) count(id ratelimit.ID, held bool) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if held {
		l.ended[id]++
	}
	return held
}

// used is what counts against an entity: requests, tokens, in flight.
func (l *ledger) used(t testing.TB, name string) ratelimit.Amounts {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	e, ok := l.entities[name]
	if !ok {
		t.Fatalf("%q is not declared: there are %v", name, l.entities)
	}
	return l.Usage(e).Used
}

// attempt is one as the tests play it: what was decided, and what Envoy says of it.
type attempt struct {
	decision *structpb.Struct
}

// begin runs a decision exchange; it is to decide on a deployment.
func begin(t *testing.T, s *Server, headers map[string]string, body string) attempt {
	t.Helper()
	reply := decideFor(t, s, headers, body)
	if reply.GetImmediateResponse() != nil {
		t.Fatalf("refused: %s", reply.GetImmediateResponse().GetBody())
	}
	return attempt{reply.DynamicMetadata}
}

// how is what an access log entry says beside the Decision.
type how struct {
	status  uint32
	details string
	abort   bool
	unsent  bool
	sent    uint64
	coding  string // the answer's content-encoding
	retry   bool   // it is marked for another attempt
	usage   map[string]any
	more    func(*datav3.HTTPAccessLogEntry)
}

// ended gives the server the access log entry of an attempt.
func (a attempt) ended(t *testing.T, s *Server, h how) {
	t.Helper()
	if err := s.readLog(a.logged(t, h)); err != nil {
		t.Fatal(err)
	}
}

// logged is the message of an access log that has the attempt's entry.
func (a attempt) logged(t *testing.T, h how) []byte {
	t.Helper()
	usage, err := structpb.NewStruct(h.usage)
	if err != nil {
		t.Fatal(err)
	}
	line := &datav3.HTTPAccessLogEntry{
		CommonProperties: &datav3.AccessLogCommon{
			Metadata:      &corev3.Metadata{FilterMetadata: map[string]*structpb.Struct{nestorv1.UsageNamespace: usage}},
			ResponseFlags: &datav3.ResponseFlags{DownstreamRemoteReset: h.abort},
			Duration:      durationpb.New(time.Second),
		},
		Response: &datav3.HTTPResponseProperties{
			ResponseCode: wrapperspb.UInt32(h.status), ResponseCodeDetails: h.details, ResponseBodyBytes: h.sent,
		},
	}
	if h.coding != "" {
		line.Response.ResponseHeaders = map[string]string{"content-encoding": h.coding}
	}
	if h.retry {
		line.Response.ResponseHeaders = map[string]string{nestorv1.HeaderRetry: "1"}
	}
	if a.decision != nil {
		line.CommonProperties.Metadata.FilterMetadata[nestorv1.Namespace] = a.decision.Fields[nestorv1.Namespace].GetStructValue()
	}
	if !h.unsent {
		line.CommonProperties.TimeToFirstUpstreamTxByte = durationpb.New(100 * time.Millisecond)
		line.CommonProperties.TimeToFirstUpstreamRxByte = durationpb.New(300 * time.Millisecond)
		line.CommonProperties.TimeToLastUpstreamRxByte = durationpb.New(900 * time.Millisecond)
	}
	if h.more != nil {
		h.more(line)
	}
	return messageOf(t, line)
}

// messageOf is the message of an access log that has one entry.
func messageOf(t testing.TB, line *datav3.HTTPAccessLogEntry) []byte {
	t.Helper()
	raw, err := proto.Marshal(&accesslogv3.StreamAccessLogsMessage{LogEntries: &accesslogv3.StreamAccessLogsMessage_HttpLogs{
		HttpLogs: &accesslogv3.StreamAccessLogsMessage_HTTPAccessLogEntries{LogEntry: []*datav3.HTTPAccessLogEntry{line}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// lives gives the server an entry of the attempt in flight, as it is amid a stream.
func (a attempt) lives(t *testing.T, s *Server) {
	t.Helper()
	a.ended(t, s, how{status: 200, sent: 100, usage: tokens(1, 1), more: func(line *datav3.HTTPAccessLogEntry) {
		line.CommonProperties.AccessLogType = datav3.AccessLogType_DownstreamPeriodic
	}})
}

// failed runs the failure exchange of an attempt, and returns its reply.
func (a attempt) failed(t *testing.T, s *Server, h how, headers map[string]string) *extprocv3.ProcessingResponse {
	t.Helper()
	m := failureOf(a.decision, fmt.Sprint(h.status), true, headers)
	m.Attributes = codeDetails(t, h.details)
	return exchange(t, s, m).last()
}

// tokens is a usage as OpenAI reports it.
func tokens(prompt, completion int) map[string]any {
	return map[string]any{"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}
}

// deaf is a wire that breaks when the n-th reply is sent.
type deaf struct {
	*wire
	n int
}

func (d *deaf) Send(m *extprocv3.ProcessingResponse) error {
	if d.n--; d.n == 0 {
		return errors.New("connection closed")
	}
	return d.wire.Send(m)
}

// onceEach reports whether no reservation ended twice.
func (l *ledger) onceEach() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, n := range l.ended {
		if n != 1 {
			return false
		}
	}
	return true
}

// headersOfRefusal are those that a refusal sets, of the names given.
func headersOfRefusal(r *extprocv3.ProcessingResponse, names ...string) map[string]string {
	all := setHeaders(r.GetImmediateResponse().GetHeaders())
	for name := range all {
		if !slices.Contains(names, name) {
			delete(all, name)
		}
	}
	return all
}
