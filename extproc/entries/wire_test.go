package entries

import (
	"math"
	"slices"

	accesslogv3 "github.com/envoyproxy/go-control-plane/envoy/service/accesslog/v3"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protoreflect"
	"pgregory.net/rapid"

	nestorv1 "github.com/nestor-gateway/nestor/proto/nestor/v1"
)

// message is a serialized StreamAccessLogsMessage, mostly a good one: its fields in any order and number, unknown ones
// and groups among them, and sometimes cut off or with a wrong byte.
func message(t *rapid.T) []byte {
	raw := nested(t, (&accesslogv3.StreamAccessLogsMessage{}).ProtoReflect().Descriptor(), 9)
	switch damage := rapid.IntRange(0, 9).Draw(t, "damage"); {
	case damage == 0:
		raw = raw[:rapid.IntRange(0, len(raw)).Draw(t, "length")]
	case damage == 1 && len(raw) > 0:
		raw[rapid.IntRange(0, len(raw)-1).Draw(t, "at")] = rapid.Byte().Draw(t, "byte")
	}
	return raw
}

func nested(t *rapid.T, d protoreflect.MessageDescriptor, depth int) (raw []byte) {
	for range rapid.IntRange(0, 4).Draw(t, "fields") {
		fd := field(t, d)
		if depth == 0 || rapid.IntRange(0, 14).Draw(t, "known") == 0 {
			raw = unknown(t, raw, 3)
			continue
		}
		raw = value(t, raw, fd, depth)
	}
	return raw
}

// field draws one that is read more often than others.
func field(t *rapid.T, d protoreflect.MessageDescriptor) protoreflect.FieldDescriptor {
	if wanted := read()[d.Name()]; len(wanted) > 0 && rapid.IntRange(0, 9).Draw(t, "read") > 0 {
		return d.Fields().ByNumber(rapid.SampledFrom(wanted).Draw(t, "number"))
	}
	return d.Fields().Get(rapid.IntRange(0, d.Fields().Len()-1).Draw(t, "field"))
}

// read are the fields that are read, of messages that have others.
func read() map[protoreflect.Name][]protoreflect.FieldNumber {
	return map[protoreflect.Name][]protoreflect.FieldNumber{
		"StreamAccessLogsMessage": {2, 2, 2, 3},
		"HTTPAccessLogEntry":      {1, 1, 3, 4},
		"AccessLogCommon":         {5, 7, 9, 10, 16, 17, 17, 17, 18, 23, 33},
		"ResponseFlags":           {5, 7, 15, 17, 24, 28},
		"HTTPRequestProperties":   {13},
		"HTTPResponseProperties":  {1, 3, 6},
		"Metadata":                {1},
		"Value":                   {1, 2, 2, 3, 3, 4, 5, 6},
	}
}

func value(t *rapid.T, raw []byte, fd protoreflect.FieldDescriptor, depth int) []byte {
	switch fd.Kind() {
	case protoreflect.MessageKind:
		raw = protowire.AppendTag(raw, fd.Number(), protowire.BytesType)
		return protowire.AppendBytes(raw, nested(t, fd.Message(), depth-1))
	case protoreflect.StringKind, protoreflect.BytesKind:
		raw = protowire.AppendTag(raw, fd.Number(), protowire.BytesType)
		return protowire.AppendString(raw, text(t))
	case protoreflect.DoubleKind:
		raw = protowire.AppendTag(raw, fd.Number(), protowire.Fixed64Type)
		number := rapid.SampledFrom([]float64{0, -1, 1.5, 30, 1e300, math.NaN()}).Draw(t, "double")
		return protowire.AppendFixed64(raw, math.Float64bits(number))
	default: // each other kind that these messages have is a varint
		raw = protowire.AppendTag(raw, fd.Number(), protowire.VarintType)
		return protowire.AppendVarint(raw, varintOf(t))
	}
}

func text(t *rapid.T) string {
	return rapid.SampledFrom([]string{
		"", "via_upstream", "ZA==", "é", "é"[:1], "other",
		nestorv1.Namespace, nestorv1.Namespace, nestorv1.UsageNamespace, nestorv1.UsageNamespace,
		nestorv1.KeyDecision, nestorv1.KeyDecision, nestorv1.KeyPromptTokens, nestorv1.KeyCompletionTokens, nestorv1.KeyTotalTokens,
		nestorv1.KeyCachedTokens, nestorv1.KeyReasoningTokens, nestorv1.KeyFirstEvent, nestorv1.HeaderRequest, nestorv1.HeaderAttempt,
	}).Draw(t, "text")
}

func varintOf(t *rapid.T) uint64 {
	return rapid.SampledFrom([]uint64{0, 1, 2, 6, 200, 1 << 31, 1<<32 + 5, 1 << 40, math.MaxUint64}).Draw(t, "varint")
}

// unknown appends a field of any number and type: one that no message has, or that one has with another type.
func unknown(t *rapid.T, raw []byte, depth int) []byte {
	number := rapid.SampledFrom([]protowire.Number{1, 2, 3, 4, 5, 17, 99, protowire.MaxValidNumber, protowire.MaxValidNumber + 1, 0}).Draw(t, "number")
	kind := rapid.SampledFrom([]protowire.Type{0, 1, 2, 3, 5, 0, 1, 2, 3, 5, 4, 6}).Draw(t, "type")
	raw = protowire.AppendTag(raw, number, kind)
	switch kind {
	case protowire.VarintType:
		return protowire.AppendVarint(raw, varintOf(t))
	case protowire.Fixed64Type:
		return protowire.AppendFixed64(raw, varintOf(t))
	case protowire.Fixed32Type:
		return protowire.AppendFixed32(raw, 7)
	case protowire.BytesType:
		return protowire.AppendString(raw, text(t))
	case protowire.StartGroupType:
		if depth > 0 {
			raw = unknown(t, raw, depth-1)
		}
		return slices.Concat(raw, protowire.AppendTag(nil, number, protowire.EndGroupType))
	}
	return raw
}
