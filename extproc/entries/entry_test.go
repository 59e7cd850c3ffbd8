package entries

import (
	"testing"
	"time"

	datav3 "github.com/envoyproxy/go-control-plane/envoy/data/accesslog/v3"
	accesslogv3 "github.com/envoyproxy/go-control-plane/envoy/service/accesslog/v3"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"pgregory.net/rapid"

	nestorv1 "github.com/nestor-gateway/nestor/proto/nestor/v1"
)

func TestAnEntryIsReadWhole(t *testing.T) {
	m := &accesslogv3.StreamAccessLogsMessage{}
	if err := prototext.Unmarshal([]byte(`
		identifier { log_name: "nestor" }
		http_logs { log_entry {
			common_properties {
				start_time { seconds: 1700000000 nanos: 5 }
				time_to_first_upstream_tx_byte { nanos: 1000000 }
				time_to_first_upstream_rx_byte { nanos: 2000000 }
				time_to_last_upstream_rx_byte { nanos: 3000000 }
				duration { seconds: 1 }
				upstream_cluster: "d1"
				response_flags { upstream_remote_reset: true downstream_remote_reset: true }
				metadata { filter_metadata { key: "nestor.v1" value { fields { key: "decision" value { string_value: "ZA==" } } } }
				           filter_metadata { key: "nestor.usage" value { fields { key: "total_tokens" value { number_value: 30 } }
				                                                         fields { key: "prompt_tokens" value { string_value: "10" } } } } }
				upstream_transport_failure_reason: "reason"
				access_log_type: DownstreamEnd
			}
			request { path: "/v1" request_headers { key: "x-nestor-request" value: "r" } request_headers { key: "x-envoy-attempt-count" value: "2" } }
			response { response_code { value: 200 } response_body_bytes: 7 response_code_details: "via_upstream"
			           response_headers { key: "content-encoding" value: "br" } response_headers { key: "server" value: "s" } }
		} }`), m); err != nil {
		t.Fatal(err)
	}
	got, err := Read(marshal(t, m))
	if err != nil {
		t.Fatal(err)
	}
	want := []Entry{{
		Kind: datav3.AccessLogType_DownstreamEnd, Decision: []byte("ZA=="), Usage: Usage{Total: 30},
		Start: MomentOf(1_700_000_000, 5), FirstSent: MomentOf(0, 1e6), FirstReceived: MomentOf(0, 2e6), LastReceived: MomentOf(0, 3e6),
		Duration: MomentOf(1, 0), Flags: Flags{UpstreamRemoteReset: true, DownstreamRemoteReset: true}, Reason: "reason",
		Code: 200, Body: 7, Coding: "br", Details: "via_upstream", Request: "r", Attempt: "2",
	}}
	if diff := cmp.Diff(want, got, alike()); diff != "" {
		t.Error(diff)
	}
	if got[0].Start.Time() != time.Unix(1_700_000_000, 5).UTC() || got[0].Duration.Duration() != time.Second {
		t.Errorf("began %v, took %v", got[0].Start.Time(), got[0].Duration.Duration())
	}
}

// What is read is what the generated types read, and it is read wherever they read it. Where they don't, the fault is
// in a part that is not looked into.
func TestEntriesAreReadAsByGeneratedTypes(t *testing.T) {
	oracle := newPartial(t)
	var read, refused, ignored int
	rapid.Check(t, func(t *rapid.T) {
		for range 20 {
			switch oracle.compare(t, message(t)) {
			case agreed:
				read++
			case agreedOnError:
				refused++
			case faultUnread:
				ignored++
			}
		}
	})
	t.Logf("read %d, refused %d, read but for a fault elsewhere %d", read, refused, ignored)
	if read == 0 || refused == 0 || ignored == 0 {
		t.Error("not every kind of message came up")
	}
}

func FuzzEntriesAreReadAsByGeneratedTypes(f *testing.F) {
	oracle := newPartial(f)
	for seed := range 40 {
		f.Add(rapid.Custom(message).Example(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) { oracle.compare(t, raw) })
}

type verdict int

const (
	agreed verdict = iota
	agreedOnError
	faultUnread
)

// compare holds what is read of a message against the generated types, and its errors against those of the same
// messages with no field but those that are read.
func (p partial) compare(t rapid.TB, raw []byte) verdict {
	t.Helper()
	got, err := Read(raw)
	if readable := p.readable(raw); (err == nil) != (readable == nil) {
		t.Fatalf("error %v, want %v, for %x", err, readable, raw)
	}
	m := &accesslogv3.StreamAccessLogsMessage{}
	if strict := proto.Unmarshal(raw, m); strict != nil {
		if err != nil {
			return agreedOnError
		}
		return faultUnread
	}
	if err != nil {
		t.Fatalf("%v, for %x", err, raw)
	}
	var want []Entry
	for _, line := range m.GetHttpLogs().GetLogEntry() {
		want = append(want, generated(line))
	}
	if diff := cmp.Diff(want, got, alike()); diff != "" {
		t.Fatalf("%s\nfor %x", diff, raw)
	}
	return agreed
}

// generated reads an entry by its generated type.
func generated(line *datav3.HTTPAccessLogEntry) Entry {
	common, flags, response := line.GetCommonProperties(), line.GetCommonProperties().GetResponseFlags(), line.GetResponse()
	metadata := common.GetMetadata().GetFilterMetadata()
	usage := func(key string) float64 { return metadata[nestorv1.UsageNamespace].GetFields()[key].GetNumberValue() }
	headers := line.GetRequest().GetRequestHeaders()
	e := Entry{
		Kind:     common.GetAccessLogType(),
		Decision: []byte(metadata[nestorv1.Namespace].GetFields()[nestorv1.KeyDecision].GetStringValue()),
		Usage: Usage{
			Prompt: usage("prompt_tokens"), Completion: usage("completion_tokens"), Total: usage("total_tokens"),
			Cached: usage("cached_tokens"), CacheCreation: usage("cache_creation_tokens"), Reasoning: usage("reasoning_tokens"), FirstEvent: usage("first_event"),
		},
		FirstSent:     momentOf(common.GetTimeToFirstUpstreamTxByte()),
		FirstReceived: momentOf(common.GetTimeToFirstUpstreamRxByte()),
		LastReceived:  momentOf(common.GetTimeToLastUpstreamRxByte()),
		Duration:      momentOf(common.GetDuration()),
		Flags: Flags{
			flags.GetUpstreamRemoteReset(), flags.GetUpstreamConnectionTermination(), flags.GetUpstreamProtocolError(),
			flags.GetStreamIdleTimeout(), flags.GetDownstreamRemoteReset(), flags.GetDownstreamConnectionTermination(),
		},
		Reason: common.GetUpstreamTransportFailureReason(), Code: response.GetResponseCode().GetValue(),
		Body: response.GetResponseBodyBytes(), Coding: response.GetResponseHeaders()["content-encoding"], Details: response.GetResponseCodeDetails(),
		Request: headers[nestorv1.HeaderRequest], Attempt: headers[nestorv1.HeaderAttempt],
	}
	_, e.Retry = response.GetResponseHeaders()[nestorv1.HeaderRetry]
	if start := common.GetStartTime(); start != nil {
		e.Start = MomentOf(start.GetSeconds(), start.GetNanos())
	}
	return e
}

func momentOf(d *durationpb.Duration) Moment {
	if d == nil {
		return Moment{}
	}
	return MomentOf(d.GetSeconds(), d.GetNanos())
}

func alike() cmp.Options {
	return cmp.Options{cmp.AllowUnexported(Moment{}), cmpopts.EquateNaNs(), cmpopts.EquateEmpty()}
}

func marshal(t testing.TB, m proto.Message) []byte {
	t.Helper()
	raw, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}
