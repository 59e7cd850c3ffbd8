package message

import "google.golang.org/protobuf/encoding/protowire"

// Field numbers of the messages that metadata is made of.
const (
	dynamicMetadataField = 8 // ProcessingResponse.dynamic_metadata, a Struct
	fieldsField          = 1 // Struct.fields, a map
	keyField             = 1 // of a map's entry
	valueField           = 2
	stringValueField     = 3 // Value.string_value
	structValueField     = 5 // Value.struct_value
)

// Metadata is a google.protobuf.Struct of strings, serialized as it grows. A Struct made of
// messages costs two dozen allocations and a walk by reflection for every request.
type Metadata struct{ fields []byte }

// NewMetadata returns metadata with room for some bytes.
func NewMetadata(room int) *Metadata { return &Metadata{fields: make([]byte, 0, room)} }

// Add appends a field; its key is a new one.
func (m *Metadata) Add(key, value string) {
	size := protowire.SizeTag(stringValueField) + protowire.SizeBytes(len(value))
	m.fields = appendEntry(m.fields, key, size)
	m.fields = protowire.AppendTag(m.fields, stringValueField, protowire.BytesType)
	m.fields = protowire.AppendString(m.fields, value)
}

// Dynamic is the field of a ProcessingResponse that holds the metadata under a namespace.
func (m *Metadata) Dynamic(namespace string) []byte {
	value := protowire.SizeTag(structValueField) + protowire.SizeBytes(len(m.fields))
	out := make([]byte, 0, len(m.fields)+64)
	out = protowire.AppendTag(out, dynamicMetadataField, protowire.BytesType)
	out = protowire.AppendVarint(out, uint64(sizeEntry(namespace, value)))
	out = appendEntry(out, namespace, value)
	out = protowire.AppendTag(out, structValueField, protowire.BytesType)
	return protowire.AppendBytes(out, m.fields)
}

// appendEntry begins an entry of Struct.fields; a Value of the given size is to follow.
func appendEntry(b []byte, key string, value int) []byte {
	b = protowire.AppendTag(b, fieldsField, protowire.BytesType)
	b = protowire.AppendVarint(b, uint64(sizeInside(key, value)))
	b = protowire.AppendTag(b, keyField, protowire.BytesType)
	b = protowire.AppendString(b, key)
	b = protowire.AppendTag(b, valueField, protowire.BytesType)
	return protowire.AppendVarint(b, uint64(value))
}

func sizeEntry(key string, value int) int {
	return protowire.SizeTag(fieldsField) + protowire.SizeBytes(sizeInside(key, value))
}

func sizeInside(key string, value int) int {
	return protowire.SizeTag(keyField) + protowire.SizeBytes(len(key)) + protowire.SizeTag(valueField) + protowire.SizeBytes(value)
}
