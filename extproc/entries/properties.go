package entries

import (
	datav3 "github.com/envoyproxy/go-control-plane/envoy/data/accesslog/v3"
	"google.golang.org/protobuf/encoding/protowire"

	nestorv1 "github.com/nestor-gateway/nestor/proto/nestor/v1"
)

// readCommon reads an envoy.data.accesslog.v3.AccessLogCommon.
func (e *Entry) readCommon(common []byte) error {
	f := over(common)
	for f.next() {
		switch f.tag {
		case commonStart:
			f.into(e.Start.read)
		case commonFirstSent:
			f.into(e.FirstSent.read)
		case commonFirstReceived:
			f.into(e.FirstReceived.read)
		case commonLastReceived:
			f.into(e.LastReceived.read)
		case commonDuration:
			f.into(e.Duration.read)
		case commonFlags:
			f.into(e.Flags.read)
		case commonMetadata:
			f.into(e.readMetadata)
		case commonReason:
			e.Reason = string(f.text())
		case commonKind:
			e.Kind = datav3.AccessLogType(f.number)
		}
	}
	return f.err
}

// readRequest reads an envoy.data.accesslog.v3.HTTPRequestProperties.
func (e *Entry) readRequest(request []byte) error {
	f := over(request)
	for f.next() {
		if f.tag != requestHeaders {
			continue
		}
		name, value, err := textPair(f.bytes)
		f.err = err
		switch string(name) {
		case nestorv1.HeaderRequest:
			e.Request = string(value)
		case nestorv1.HeaderAttempt:
			e.Attempt = string(value)
		}
	}
	return f.err
}

// readResponse reads an envoy.data.accesslog.v3.HTTPResponseProperties.
func (e *Entry) readResponse(response []byte) error {
	f := over(response)
	for f.next() {
		switch f.tag {
		case responseCode:
			f.into(e.readCode)
		case responseBody:
			e.Body = f.number
		case responseHeaders:
			name, value, err := textPair(f.bytes)
			f.err = err
			switch string(name) {
			case nestorv1.HeaderCoding:
				e.Coding = string(value)
			case nestorv1.HeaderRetry:
				e.Retry = true
			}
		case responseDetails:
			e.Details = details(f.text())
		}
	}
	return f.err
}

// details spares a copy where they are what they nearly always are.
func details(text []byte) string {
	const usual = "via_upstream"
	if string(text) == usual {
		return usual
	}
	return string(text)
}

// readCode reads a google.protobuf.UInt32Value.
func (e *Entry) readCode(wrapped []byte) error {
	f := over(wrapped)
	for f.next() {
		if f.tag == wrappedValue {
			e.Code = uint32(f.number)
		}
	}
	return f.err
}

func (g *Flags) read(flags []byte) error {
	f := over(flags)
	for f.next() {
		switch f.tag {
		case flagUpstreamRemoteReset:
			g.UpstreamRemoteReset = protowire.DecodeBool(f.number)
		case flagUpstreamTermination:
			g.UpstreamConnectionTermination = protowire.DecodeBool(f.number)
		case flagUpstreamProtocolError:
			g.UpstreamProtocolError = protowire.DecodeBool(f.number)
		case flagStreamIdleTimeout:
			g.StreamIdleTimeout = protowire.DecodeBool(f.number)
		case flagDownstreamRemoteReset:
			g.DownstreamRemoteReset = protowire.DecodeBool(f.number)
		case flagDownstreamTermination:
			g.DownstreamConnectionTermination = protowire.DecodeBool(f.number)
		}
	}
	return f.err
}
