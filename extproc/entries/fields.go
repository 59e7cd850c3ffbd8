package entries

import (
	"errors"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
)

var (
	errNumber = errors.New("a field number out of range")
	errUTF8   = errors.New("a string that is not UTF-8")
)

// fields goes through a serialized message, field by field.
type fields struct {
	rest []byte
	// tag is the number and the wire type, as they are on the wire: one of the wrong type is an unknown field.
	tag uint64
	// number is the value of a varint or of 8 fixed bytes, bytes that of a string, a message or bytes.
	number uint64
	bytes  []byte
	err    error
}

func over(message []byte) fields { return fields{rest: message} }

// next reads one field. False at the end, and where the message is malformed.
func (f *fields) next() bool {
	if len(f.rest) == 0 || f.err != nil {
		return false
	}
	tag, n := protowire.ConsumeVarint(f.rest)
	if n < 0 {
		return f.fail(protowire.ParseError(n))
	}
	if number := tag >> 3; number < uint64(protowire.MinValidNumber) || number > uint64(protowire.MaxValidNumber) {
		return f.fail(errNumber)
	}
	f.tag, f.rest = tag, f.rest[n:]
	if n = f.value(); n < 0 {
		return f.fail(protowire.ParseError(n))
	}
	f.rest = f.rest[n:]
	return true
}

// value reads the value of the field whose tag was read, and returns its length or protowire's code of an error.
func (f *fields) value() (n int) {
	number, kind := protowire.DecodeTag(f.tag)
	switch kind {
	case protowire.VarintType:
		f.number, n = protowire.ConsumeVarint(f.rest)
	case protowire.Fixed64Type:
		f.number, n = protowire.ConsumeFixed64(f.rest)
	case protowire.BytesType:
		f.bytes, n = protowire.ConsumeBytes(f.rest)
	default:
		n = protowire.ConsumeFieldValue(number, kind, f.rest)
	}
	return n
}

func (f *fields) fail(err error) bool {
	f.err = err
	return false
}

// into reads the field's message.
func (f *fields) into(read func(message []byte) error) {
	f.err = read(f.bytes)
}

// text is the value of a string field.
func (f *fields) text() []byte {
	if !utf8.Valid(f.bytes) {
		f.err = errUTF8
	}
	return f.bytes
}

// pair reads an entry of a map from strings to messages. One that has its value in pieces has the sum of them.
func pair(entry []byte) (key, value []byte, err error) {
	f := over(entry)
	for f.next() {
		switch f.tag {
		case pairKey:
			key = f.text()
		case pairValue:
			if value == nil {
				value = f.bytes
			} else {
				value = append(value[:len(value):len(value)], f.bytes...)
			}
		}
	}
	return key, value, f.err
}

// textPair reads an entry of a map from strings to strings.
func textPair(entry []byte) (key, value []byte, err error) {
	f := over(entry)
	for f.next() {
		switch f.tag {
		case pairKey:
			key = f.text()
		case pairValue:
			value = f.text()
		}
	}
	return key, value, f.err
}
