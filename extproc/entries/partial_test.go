package entries

import (
	"slices"
	"testing"

	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"

	nestorv1 "github.com/nestor-gateway/nestor/proto/nestor/v1"
)

// partial is a schema of what is read and nothing else. The entries of maps that are read only where the key is wanted
// are pairs with the value's pieces in it, and HTTP logs are kept that other logs replace.
type partial struct{ file protoreflect.FileDescriptor }

func newPartial(t testing.TB) partial {
	t.Helper()
	described := &descriptorpb.FileDescriptorProto{}
	if err := prototext.Unmarshal([]byte(partialSchema), described); err != nil {
		t.Fatal(err)
	}
	file, err := protodesc.NewFile(described, nil)
	if err != nil {
		t.Fatal(err)
	}
	return partial{file}
}

// readable is the error of a message, if anything that is read of it is malformed.
func (p partial) readable(raw []byte) error {
	m, err := p.decode("Message", raw)
	if err != nil {
		return err
	}
	each := func(m protoreflect.Message, name protoreflect.Name, do func(protoreflect.Message)) {
		if list := m.Get(m.Descriptor().Fields().ByName(name)).List(); err == nil {
			for i := range list.Len() {
				do(list.Get(i).Message())
			}
		}
	}
	inner := func(m protoreflect.Message, name protoreflect.Name) protoreflect.Message {
		return m.Get(m.Descriptor().Fields().ByName(name)).Message()
	}
	each(inner(m, "logs"), "entry", func(entry protoreflect.Message) {
		each(inner(inner(entry, "common"), "metadata"), "filters", func(namespace protoreflect.Message) {
			keys := wanted()[keyOf(namespace)]
			if keys == nil || err != nil {
				return
			}
			var object protoreflect.Message
			if object, err = p.decode("Struct", valueOf(namespace)); err != nil {
				return
			}
			each(object, "fields", func(f protoreflect.Message) {
				if slices.Contains(keys, keyOf(f)) && err == nil {
					_, err = p.decode("Value", valueOf(f))
				}
			})
		})
	})
	return err
}

func wanted() map[string][]string {
	return map[string][]string{
		nestorv1.Namespace: {nestorv1.KeyDecision},
		nestorv1.UsageNamespace: {nestorv1.KeyPromptTokens, nestorv1.KeyCompletionTokens, nestorv1.KeyTotalTokens,
			nestorv1.KeyCachedTokens, nestorv1.KeyCacheCreationTokens, nestorv1.KeyReasoningTokens, nestorv1.KeyFirstEvent},
	}
}

func (p partial) decode(name protoreflect.Name, raw []byte) (protoreflect.Message, error) {
	m := dynamicpb.NewMessage(p.file.Messages().ByName(name))
	return m, proto.Unmarshal(raw, m)
}

func keyOf(pair protoreflect.Message) string {
	return pair.Get(pair.Descriptor().Fields().ByNumber(1)).String()
}

func valueOf(pair protoreflect.Message) (all []byte) {
	pieces := pair.Get(pair.Descriptor().Fields().ByNumber(2)).List()
	for i := range pieces.Len() {
		all = append(all, pieces.Get(i).Bytes()...)
	}
	return all
}

const partialSchema = `
name: "partial.proto" package: "partial" syntax: "proto3"
message_type { name: "Message"
  field { name: "logs" number: 2 type: TYPE_MESSAGE type_name: ".partial.Logs" label: LABEL_OPTIONAL }
  field { name: "tcp" number: 3 type: TYPE_BYTES label: LABEL_OPTIONAL } }
message_type { name: "Logs"
  field { name: "entry" number: 1 type: TYPE_MESSAGE type_name: ".partial.Entry" label: LABEL_REPEATED } }
message_type { name: "Entry"
  field { name: "common" number: 1 type: TYPE_MESSAGE type_name: ".partial.Common" label: LABEL_OPTIONAL }
  field { name: "request" number: 3 type: TYPE_MESSAGE type_name: ".partial.Request" label: LABEL_OPTIONAL }
  field { name: "response" number: 4 type: TYPE_MESSAGE type_name: ".partial.Response" label: LABEL_OPTIONAL } }
message_type { name: "Common"
  field { name: "start" number: 5 type: TYPE_MESSAGE type_name: ".partial.Moment" label: LABEL_OPTIONAL }
  field { name: "first_sent" number: 7 type: TYPE_MESSAGE type_name: ".partial.Moment" label: LABEL_OPTIONAL }
  field { name: "first_received" number: 9 type: TYPE_MESSAGE type_name: ".partial.Moment" label: LABEL_OPTIONAL }
  field { name: "last_received" number: 10 type: TYPE_MESSAGE type_name: ".partial.Moment" label: LABEL_OPTIONAL }
  field { name: "flags" number: 16 type: TYPE_MESSAGE type_name: ".partial.Flags" label: LABEL_OPTIONAL }
  field { name: "metadata" number: 17 type: TYPE_MESSAGE type_name: ".partial.Metadata" label: LABEL_OPTIONAL }
  field { name: "reason" number: 18 type: TYPE_STRING label: LABEL_OPTIONAL }
  field { name: "duration" number: 23 type: TYPE_MESSAGE type_name: ".partial.Moment" label: LABEL_OPTIONAL }
  field { name: "kind" number: 33 type: TYPE_INT32 label: LABEL_OPTIONAL } }
message_type { name: "Moment"
  field { name: "seconds" number: 1 type: TYPE_INT64 label: LABEL_OPTIONAL }
  field { name: "nanos" number: 2 type: TYPE_INT32 label: LABEL_OPTIONAL } }
message_type { name: "Flags"
  field { name: "a" number: 5 type: TYPE_BOOL label: LABEL_OPTIONAL }
  field { name: "b" number: 7 type: TYPE_BOOL label: LABEL_OPTIONAL }
  field { name: "c" number: 15 type: TYPE_BOOL label: LABEL_OPTIONAL }
  field { name: "d" number: 17 type: TYPE_BOOL label: LABEL_OPTIONAL }
  field { name: "e" number: 24 type: TYPE_BOOL label: LABEL_OPTIONAL }
  field { name: "f" number: 28 type: TYPE_BOOL label: LABEL_OPTIONAL } }
message_type { name: "Metadata"
  field { name: "filters" number: 1 type: TYPE_MESSAGE type_name: ".partial.Pair" label: LABEL_REPEATED } }
message_type { name: "Pair"
  field { name: "key" number: 1 type: TYPE_STRING label: LABEL_OPTIONAL }
  field { name: "value" number: 2 type: TYPE_BYTES label: LABEL_REPEATED } }
message_type { name: "TextPair"
  field { name: "key" number: 1 type: TYPE_STRING label: LABEL_OPTIONAL }
  field { name: "value" number: 2 type: TYPE_STRING label: LABEL_OPTIONAL } }
message_type { name: "Struct"
  field { name: "fields" number: 1 type: TYPE_MESSAGE type_name: ".partial.Pair" label: LABEL_REPEATED } }
message_type { name: "Value"
  field { name: "number" number: 2 type: TYPE_DOUBLE label: LABEL_OPTIONAL }
  field { name: "string" number: 3 type: TYPE_STRING label: LABEL_OPTIONAL } }
message_type { name: "Request"
  field { name: "headers" number: 13 type: TYPE_MESSAGE type_name: ".partial.TextPair" label: LABEL_REPEATED } }
message_type { name: "Response"
  field { name: "code" number: 1 type: TYPE_MESSAGE type_name: ".partial.Code" label: LABEL_OPTIONAL }
  field { name: "body" number: 3 type: TYPE_UINT64 label: LABEL_OPTIONAL }
  field { name: "headers" number: 4 type: TYPE_MESSAGE type_name: ".partial.TextPair" label: LABEL_REPEATED }
  field { name: "details" number: 6 type: TYPE_STRING label: LABEL_OPTIONAL } }
message_type { name: "Code"
  field { name: "value" number: 1 type: TYPE_UINT32 label: LABEL_OPTIONAL } }
`
