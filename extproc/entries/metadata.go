package entries

import (
	"math"

	nestorv1 "github.com/nestor-gateway/nestor/proto/nestor/v1"
)

// readMetadata reads an envoy.config.core.v3.Metadata.
func (e *Entry) readMetadata(metadata []byte) error {
	f := over(metadata)
	for f.next() {
		if f.tag != metadataFilters {
			continue
		}
		namespace, value, err := pair(f.bytes)
		if f.err = err; err != nil {
			break
		}
		switch string(namespace) {
		case nestorv1.Namespace:
			e.Decision = nil
			f.err = eachField(value, e.readDecision)
		case nestorv1.UsageNamespace:
			e.Usage = Usage{}
			f.err = eachField(value, e.Usage.read)
		}
	}
	return f.err
}

// eachField goes through the fields of a google.protobuf.Struct.
func eachField(object []byte, each func(key, value []byte) error) error {
	f := over(object)
	for f.next() {
		if f.tag != structFields {
			continue
		}
		key, value, err := pair(f.bytes)
		if f.err = err; err == nil {
			f.err = each(key, value)
		}
	}
	return f.err
}

func (e *Entry) readDecision(key, value []byte) error {
	if string(key) != nestorv1.KeyDecision {
		return nil
	}
	text, _, err := scalar(value)
	e.Decision = text
	return err
}

func (u *Usage) read(key, value []byte) error {
	var count *float64
	switch string(key) {
	case nestorv1.KeyPromptTokens:
		count = &u.Prompt
	case nestorv1.KeyCompletionTokens:
		count = &u.Completion
	case nestorv1.KeyTotalTokens:
		count = &u.Total
	case nestorv1.KeyCachedTokens:
		count = &u.Cached
	case nestorv1.KeyCacheCreationTokens:
		count = &u.CacheCreation
	case nestorv1.KeyReasoningTokens:
		count = &u.Reasoning
	case nestorv1.KeyFirstEvent:
		count = &u.FirstEvent
	default:
		return nil
	}
	_, number, err := scalar(value)
	*count = number
	return err
}

// scalar reads a google.protobuf.Value: a text, a number, or zero of both where it is something else.
func scalar(value []byte) (text []byte, number float64, err error) {
	f := over(value)
	for f.next() {
		switch f.tag {
		case valueString:
			text, number = f.text(), 0
		case valueNumber:
			text, number = nil, math.Float64frombits(f.number)
		case valueNull, valueBool, valueStruct, valueList:
			text, number = nil, 0
		}
	}
	return text, number, f.err
}
