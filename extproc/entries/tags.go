package entries

// Wire types.
const (
	varint  = 0
	fixed64 = 1
	bytes   = 2 // strings and messages too
)

// Tags of the fields that are read: the number, shifted by 3, and the wire type.
const (
	// envoy.service.accesslog.v3.StreamAccessLogsMessage
	messageHTTPLogs = 2<<3 | bytes
	messageTCPLogs  = 3<<3 | bytes
	// and its HTTPAccessLogEntries
	logsEntry = 1<<3 | bytes

	// envoy.data.accesslog.v3.HTTPAccessLogEntry
	entryCommon   = 1<<3 | bytes
	entryRequest  = 3<<3 | bytes
	entryResponse = 4<<3 | bytes

	// envoy.data.accesslog.v3.AccessLogCommon
	commonStart         = 5<<3 | bytes
	commonFirstSent     = 7<<3 | bytes
	commonFirstReceived = 9<<3 | bytes
	commonLastReceived  = 10<<3 | bytes
	commonFlags         = 16<<3 | bytes
	commonMetadata      = 17<<3 | bytes
	commonReason        = 18<<3 | bytes
	commonDuration      = 23<<3 | bytes
	commonKind          = 33<<3 | varint

	// envoy.data.accesslog.v3.ResponseFlags
	flagUpstreamRemoteReset   = 5<<3 | varint
	flagUpstreamTermination   = 7<<3 | varint
	flagDownstreamTermination = 15<<3 | varint
	flagStreamIdleTimeout     = 17<<3 | varint
	flagUpstreamProtocolError = 24<<3 | varint
	flagDownstreamRemoteReset = 28<<3 | varint

	// envoy.data.accesslog.v3.HTTPRequestProperties
	requestHeaders = 13<<3 | bytes

	// envoy.data.accesslog.v3.HTTPResponseProperties
	responseCode    = 1<<3 | bytes
	responseBody    = 3<<3 | varint
	responseHeaders = 4<<3 | bytes
	responseDetails = 6<<3 | bytes

	// envoy.config.core.v3.Metadata
	metadataFilters = 1<<3 | bytes

	// google.protobuf.Struct and Value
	structFields = 1<<3 | bytes
	valueNull    = 1<<3 | varint
	valueNumber  = 2<<3 | fixed64
	valueString  = 3<<3 | bytes
	valueBool    = 4<<3 | varint
	valueStruct  = 5<<3 | bytes
	valueList    = 6<<3 | bytes

	// google.protobuf.Timestamp and Duration, and UInt32Value
	timeSeconds  = 1<<3 | varint
	timeNanos    = 2<<3 | varint
	wrappedValue = 1<<3 | varint

	// an entry of any map
	pairKey   = 1<<3 | bytes
	pairValue = 2<<3 | bytes
)
