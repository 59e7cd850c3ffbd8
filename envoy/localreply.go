package envoy

import (
	"fmt"

	accesslogv3 "github.com/envoyproxy/go-control-plane/envoy/config/accesslog/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	celv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/access_loggers/filters/cel/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/nestor-gateway/nestor/envoy/message"
	nestorv1 "github.com/nestor-gateway/nestor/proto/nestor/v1"
)

// clientReplies puts Envoy's own answers at the outer level into the OpenAI error shape.
func clientReplies(o Options) *hcmv3.LocalReplyConfig {
	return &hcmv3.LocalReplyConfig{
		Mappers: []*hcmv3.ResponseMapper{
			reply(status(403), openAIError(invalidRequest, "403", "This path takes no upgrade to another protocol: send a plain HTTP request.")),
			reply(status(404), openAIError(invalidRequest, "404", "No such path. The paths are those of the OpenAI API, for example /v1/chat/completions.")),
			reply(status(408), openAIError(timedOut, "408", fmt.Sprintf("The request did not arrive within %v seconds.", o.RequestTimeout.Seconds()))),
			reply(status(413), tooLarge(o)),
			reply(status(431), openAIError(invalidRequest, "431", "The request headers are too large.")),
			reply(below500(), openAIError(invalidRequest, "", "The request is refused: %RESPONSE_CODE_DETAILS%.")),
			reply(status(503), openAIError(serverError, "503", "The gateway has no answer: %LOCAL_REPLY_BODY%.")),
		},
		BodyFormat: openAIError(serverError, "", "The gateway has no answer: %RESPONSE_CODE_DETAILS%."),
	}
}

// attemptReplies puts Envoy's own answers to an attempt into the OpenAI error shape, which
// holds when no processor is there to do it. The processor's refusals are local replies too,
// and stay as they are.
func attemptReplies(o Options) *hcmv3.LocalReplyConfig {
	unprocessed := reply(when("response.code_details.startsWith('ext_proc_error')"),
		openAIError(serverError, "503", "The gateway's processor did not answer; try again."))
	unprocessed.StatusCode = wrapperspb.UInt32(503)
	unprocessed.HeadersToAdd = []*corev3.HeaderValueOption{set(nestorv1.HeaderRetry, "processor")}
	return &hcmv3.LocalReplyConfig{
		Mappers: []*hcmv3.ResponseMapper{
			unprocessed,
			{Filter: when("'" + nestorv1.HeaderRefusal + "' in response.headers")}, // unchanged
			reply(status(413), tooLarge(o)),
			reply(status(504), openAIError(timedOut, "504", "The model did not answer in time.")),
			reply(when("response.code_details == 'cluster_not_found'"),
				openAIError(serverError, "503", "The model could not be reached: Envoy does not know its upstream.")),
			reply(status(503), openAIError(serverError, "503", "The model could not be reached: %LOCAL_REPLY_BODY%.")),
			reply(from400(), openAIError(serverError, "", "The model could not be reached: %RESPONSE_CODE_DETAILS%.")),
		},
	}
}

// Types of errors.
const (
	invalidRequest = "invalid_request_error"
	timedOut       = "timeout_error"
	serverError    = "api_error"
)

func tooLarge(o Options) *corev3.SubstitutionFormatString {
	return openAIError(invalidRequest, "413", fmt.Sprintf("The request body is larger than %d bytes.", o.BodyLimit))
}

func reply(filter *accesslogv3.AccessLogFilter, body *corev3.SubstitutionFormatString) *hcmv3.ResponseMapper {
	return &hcmv3.ResponseMapper{Filter: filter, BodyFormatOverride: body}
}

// openAIError is the body {"error":{"message","type","param","code"}}. Its code is the status, as
// LiteLLM has it, or null.
func openAIError(kind, code, message string) *corev3.SubstitutionFormatString {
	fields := map[string]*structpb.Value{
		"message": structpb.NewStringValue(message),
		"type":    structpb.NewStringValue(kind),
		"param":   structpb.NewNullValue(),
		"code":    structpb.NewNullValue(),
	}
	if code != "" {
		fields["code"] = structpb.NewStringValue(code)
	}
	return &corev3.SubstitutionFormatString{
		Format: &corev3.SubstitutionFormatString_JsonFormat{JsonFormat: &structpb.Struct{
			Fields: map[string]*structpb.Value{"error": structpb.NewStructValue(&structpb.Struct{Fields: fields})},
		}},
		ContentType: "application/json",
	}
}

func status(code uint32) *accesslogv3.AccessLogFilter {
	return compareStatus(accesslogv3.ComparisonFilter_EQ, code)
}

func below500() *accesslogv3.AccessLogFilter {
	return compareStatus(accesslogv3.ComparisonFilter_LE, 499)
}

func from400() *accesslogv3.AccessLogFilter {
	return compareStatus(accesslogv3.ComparisonFilter_GE, 400)
}

func compareStatus(op accesslogv3.ComparisonFilter_Op, code uint32) *accesslogv3.AccessLogFilter {
	return &accesslogv3.AccessLogFilter{FilterSpecifier: &accesslogv3.AccessLogFilter_StatusCodeFilter{
		StatusCodeFilter: &accesslogv3.StatusCodeFilter{Comparison: &accesslogv3.ComparisonFilter{
			Op:    op,
			Value: &corev3.RuntimeUInt32{DefaultValue: code, RuntimeKey: "nestor.local_reply"},
		}},
	}}
}

// when is a condition in the Common Expression Language.
func when(expression string) *accesslogv3.AccessLogFilter {
	return &accesslogv3.AccessLogFilter{FilterSpecifier: &accesslogv3.AccessLogFilter_ExtensionFilter{
		ExtensionFilter: &accesslogv3.ExtensionFilter{
			Name: "envoy.access_loggers.extension_filters.cel",
			ConfigType: &accesslogv3.ExtensionFilter_TypedConfig{
				TypedConfig: message.Pack(&celv3.ExpressionFilter{Expression: expression}),
			},
		},
	}}
}
