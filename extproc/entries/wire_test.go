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

// message is a serialized StreamAccessLogsMessage: its fields in any order and number, unknown ones and groups among them.
// One of three has something that it must not have, or is cut off, or has a wrong byte.
func message(t *rapid.T) []byte {
	damage := rapid.IntRange(0, 15).Draw(t, "damage")
	raw := maker{t, damage == 3, damage == 4, damage == 5}.message((&accesslogv3.StreamAccessLogsMessage{}).ProtoReflect().Descriptor(), 11)
	switch {
	case damage == 0:
		raw = raw[:rapid.IntRange(0, len(raw)).Draw(t, "length")]
	case damage == 1 && len(raw) > 0:
		raw[rapid.IntRange(0, len(raw)-1).Draw(t, "at")] = rapid.Byte().Draw(t, "byte")
	}
	return raw
}

// maker makes messages; bad ones, with strings, numbers of fields or wire types too that no message may have.
type maker struct {
	*rapid.T
	badTexts, badNumbers, badTypes bool
}

func (t maker) message(d protoreflect.MessageDescriptor, depth int) (raw []byte) {
	for range rapid.IntRange(0, 4).Draw(t.T, "fields") {
		if depth == 0 || rapid.IntRange(0, 14).Draw(t.T, "known") == 0 {
			raw = t.unknown(raw, 3)
			continue
		}
		raw = t.value(raw, t.field(d), depth)
	}
	if wanted, ok := keys()[d.FullName()]; ok && depth > 0 {
		raw = protowire.AppendTag(raw, 1, protowire.BytesType)
		raw = protowire.AppendString(raw, rapid.SampledFrom(wanted).Draw(t.T, "key"))
		raw = t.value(raw, d.Fields().ByNumber(2), depth)
	}
	return raw
}

// keys are those that maps nearly always have here.
func keys() map[protoreflect.FullName][]string {
	return map[protoreflect.FullName][]string{
		"envoy.config.core.v3.Metadata.FilterMetadataEntry": {nestorv1.Namespace, nestorv1.UsageNamespace},
		"google.protobuf.Struct.FieldsEntry": {nestorv1.KeyDecision, nestorv1.KeyDecision, nestorv1.KeyDecision,
			nestorv1.KeyPromptTokens, nestorv1.KeyCompletionTokens, nestorv1.KeyTotalTokens,
			nestorv1.KeyCachedTokens, nestorv1.KeyCacheCreationTokens, nestorv1.KeyReasoningTokens, nestorv1.KeyFirstEvent},
		"envoy.data.accesslog.v3.HTTPRequestProperties.RequestHeadersEntry":   {nestorv1.HeaderRequest, nestorv1.HeaderAttempt},
		"envoy.data.accesslog.v3.HTTPResponseProperties.ResponseHeadersEntry": {nestorv1.HeaderCoding, nestorv1.HeaderRetry},
	}
}

// field draws one that is read more often than others.
func (t maker) field(d protoreflect.MessageDescriptor) protoreflect.FieldDescriptor {
	if wanted := read()[d.Name()]; len(wanted) > 0 && rapid.IntRange(0, 9).Draw(t.T, "read") > 0 {
		return d.Fields().ByNumber(rapid.SampledFrom(wanted).Draw(t.T, "number"))
	}
	return d.Fields().Get(rapid.IntRange(0, d.Fields().Len()-1).Draw(t.T, "field"))
}

// read are the fields that are read, of messages that have others.
func read() map[protoreflect.Name][]protoreflect.FieldNumber {
	return map[protoreflect.Name][]protoreflect.FieldNumber{
		"StreamAccessLogsMessage": {2, 2, 2, 3},
		"HTTPAccessLogEntry":      {1, 1, 3, 4},
		"AccessLogCommon":         {5, 7, 9, 10, 16, 17, 17, 17, 18, 23, 33},
		"ResponseFlags":           {5, 7, 15, 17, 24, 28},
		"HTTPRequestProperties":   {13},
		"HTTPResponseProperties":  {1, 3, 4, 6},
		"Metadata":                {1},
		"Value":                   {1, 2, 2, 3, 3, 4, 5, 6},
	}
}

func (t maker) value(raw []byte, fd protoreflect.FieldDescriptor, depth int) []byte {
	switch fd.Kind() {
	case protoreflect.MessageKind:
		raw = protowire.AppendTag(raw, fd.Number(), protowire.BytesType)
		return protowire.AppendBytes(raw, t.message(fd.Message(), depth-1))
	case protoreflect.StringKind, protoreflect.BytesKind:
		raw = protowire.AppendTag(raw, fd.Number(), protowire.BytesType)
		return protowire.AppendString(raw, t.text())
	case protoreflect.DoubleKind:
		raw = protowire.AppendTag(raw, fd.Number(), protowire.Fixed64Type)
		number := rapid.SampledFrom([]float64{0, -1, 1.5, 30, 1e300, math.NaN()}).Draw(t.T, "double")
		return protowire.AppendFixed64(raw, math.Float64bits(number))
	default: // each other kind that these messages have is a varint
		raw = protowire.AppendTag(raw, fd.Number(), protowire.VarintType)
		return protowire.AppendVarint(raw, t.varint())
	}
}

func (t maker) text() string {
	all := []string{"", "via_upstream", "ZA==", "é", "other"}
	if t.badTexts {
		all = append(all, "é"[:1])
	}
	return rapid.SampledFrom(all).Draw(t.T, "text")
}

func (t maker) varint() uint64 {
	return rapid.SampledFrom([]uint64{0, 1, 2, 6, 200, 1 << 31, 1<<32 + 5, 1 << 40, math.MaxUint64}).Draw(t.T, "varint")
}

// unknown appends a field of any number and type: one that no message has, or that one has with another type.
func (t maker) unknown(raw []byte, depth int) []byte {
	numbers, kinds := []protowire.Number{1, 2, 3, 4, 5, 17, 99, protowire.MaxValidNumber}, []protowire.Type{0, 1, 2, 3, 5}
	if t.badNumbers {
		numbers = append(numbers, protowire.MaxValidNumber+1, 0)
	}
	if t.badTypes {
		kinds = append(kinds, 4, 6)
	}
	number, kind := rapid.SampledFrom(numbers).Draw(t.T, "number"), rapid.SampledFrom(kinds).Draw(t.T, "type")
	raw = protowire.AppendTag(raw, number, kind)
	switch kind {
	case protowire.VarintType:
		return protowire.AppendVarint(raw, t.varint())
	case protowire.Fixed64Type:
		return protowire.AppendFixed64(raw, t.varint())
	case protowire.Fixed32Type:
		return protowire.AppendFixed32(raw, 7)
	case protowire.BytesType:
		return protowire.AppendString(raw, t.text())
	case protowire.StartGroupType:
		if depth > 0 {
			raw = t.unknown(raw, depth-1)
		}
		return slices.Concat(raw, protowire.AppendTag(nil, number, protowire.EndGroupType))
	}
	return raw
}
