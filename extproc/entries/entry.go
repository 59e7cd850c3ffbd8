// Package entries reads Envoy's access log from its bytes: of the hundred fields of an entry Nestor needs two dozen, and
// to make messages of all of them costs more than the rest of what an entry is read for.
//
// What is read is read as proto.Unmarshal does: a field that comes again replaces, a message that comes again is
// merged, unknown fields are passed over. What is not read is not looked into, and may be malformed.
package entries

import datav3 "github.com/envoyproxy/go-control-plane/envoy/data/accesslog/v3"

// Entry is what is read of an envoy.data.accesslog.v3.HTTPAccessLogEntry; what it does not say is zero.
type Entry struct {
	Kind datav3.AccessLogType
	// Decision is the text of nestorv1.KeyDecision. It is a part of the message that was read.
	Decision []byte
	Usage    Usage

	Start Moment
	// These are times since Start. Nothing went to an upstream where FirstSent is not said.
	FirstSent, FirstReceived, LastReceived, Duration Moment

	Flags   Flags
	Reason  string // why a connection to the upstream could not be made
	Code    uint32
	Body    uint64 // bytes of the answer's body
	Coding  string // and what they are compressed with: the response header nestorv1.HeaderCoding
	Details string // Envoy's response code details
	Retry   bool   // the answer is marked for another attempt: it has the header nestorv1.HeaderRetry

	// Request and Attempt are the request headers nestorv1.HeaderRequest and nestorv1.HeaderAttempt.
	Request, Attempt string
}

// Usage is what is in nestorv1.UsageNamespace under the keys of the same names, as the filters have put it there: any
// number. What is no number is zero.
type Usage struct{ Prompt, Completion, Total, Cached, CacheCreation, Reasoning, FirstEvent float64 }

// Flags are those of the envoy.data.accesslog.v3.ResponseFlags that are read, under their names.
type Flags struct {
	UpstreamRemoteReset             bool
	UpstreamConnectionTermination   bool
	UpstreamProtocolError           bool
	StreamIdleTimeout               bool
	DownstreamRemoteReset           bool
	DownstreamConnectionTermination bool
}

// Read returns the HTTP entries of a serialized envoy.service.accesslog.v3.StreamAccessLogsMessage. They share its memory.
func Read(message []byte) (all []Entry, err error) {
	f := over(message)
	for f.next() {
		switch f.tag {
		case messageHTTPLogs:
			all, f.err = readLogs(all, f.bytes)
		case messageTCPLogs: // one of the two
			all = nil
		}
	}
	if f.err != nil {
		return nil, f.err
	}
	return all, nil
}

func readLogs(all []Entry, logs []byte) ([]Entry, error) {
	f := over(logs)
	for f.next() {
		if f.tag == logsEntry {
			all = append(all, Entry{})
			f.into(all[len(all)-1].read)
		}
	}
	return all, f.err
}

func (e *Entry) read(entry []byte) error {
	f := over(entry)
	for f.next() {
		switch f.tag {
		case entryCommon:
			f.into(e.readCommon)
		case entryRequest:
			f.into(e.readRequest)
		case entryResponse:
			f.into(e.readResponse)
		}
	}
	return f.err
}
