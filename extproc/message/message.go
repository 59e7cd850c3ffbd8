// Package message makes the messages that an external processor sends to Envoy, and reads those that it gets.
package message

import (
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
)

// Set overwrites a header.
func Set(m *extprocv3.HeaderMutation, name, value string) {
	h := &struct { // one allocation for both messages
		option corev3.HeaderValueOption
		header corev3.HeaderValue
	}{}
	h.header.Key, h.header.RawValue = name, []byte(value)
	h.option.Header, h.option.AppendAction = &h.header, corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD
	m.SetHeaders = append(m.SetHeaders, &h.option)
}

// ReplaceBody puts a body in the place of another.
func ReplaceBody(body []byte) *extprocv3.BodyMutation {
	return &extprocv3.BodyMutation{Mutation: &extprocv3.BodyMutation_Body{Body: body}}
}

// GoOn lets the request headers pass, so that the body comes.
func GoOn() *extprocv3.ProcessingResponse {
	return &extprocv3.ProcessingResponse{Response: &extprocv3.ProcessingResponse_RequestHeaders{
		RequestHeaders: &extprocv3.HeadersResponse{},
	}}
}

// ToBody is a reply to the body of an answer.
func ToBody(r *extprocv3.CommonResponse) *extprocv3.ProcessingResponse {
	return &extprocv3.ProcessingResponse{Response: &extprocv3.ProcessingResponse_ResponseBody{
		ResponseBody: &extprocv3.BodyResponse{Response: r},
	}}
}

// ToHeaders is a reply to the headers of an answer.
func ToHeaders(r *extprocv3.CommonResponse) *extprocv3.ProcessingResponse {
	return &extprocv3.ProcessingResponse{Response: &extprocv3.ProcessingResponse_ResponseHeaders{
		ResponseHeaders: &extprocv3.HeadersResponse{Response: r},
	}}
}

// Attribute returns one of the filter's response_attributes, or "".
func Attribute(m *extprocv3.ProcessingRequest, name string) string {
	for _, group := range m.GetAttributes() {
		if v, ok := group.GetFields()[name]; ok {
			return v.GetStringValue()
		}
	}
	return ""
}
