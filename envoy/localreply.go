package envoy

import (
	"fmt"

	accesslogv3 "github.com/envoyproxy/go-control-plane/envoy/config/accesslog/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	celv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/access_loggers/filters/cel/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	nestorv1 "github.com/nestor-gateway/nestor/proto/nestor/v1"
)

// clientReplies puts Envoy's own answers at the outer level into the OpenAI error shape.
func clientReplies(o Options) *hcmv3.LocalReplyConfig {
	seconds := int(o.RequestTimeout.Seconds())
	return &hcmv3.LocalReplyConfig{
		Mappers: []*hcmv3.ResponseMapper{
			reply(status(403), invalidRequest, "This path takes no upgrade to another protocol: send a plain HTTP request."),
			reply(status(404), invalidRequest, "No such path. The paths are those of the OpenAI API, for example /v1/chat/completions."),
			reply(status(408), "timeout_error", fmt.Sprintf("The request did not arrive within %d seconds.", seconds)),
			reply(status(413), invalidRequest, tooLarge(o)),
			reply(status(431), invalidRequest, "The request headers are too large."),
			reply(below500(), invalidRequest, "Envoy refused the request: %RESPONSE_CODE_DETAILS%."),
		},
		BodyFormat: openAIError(serverError, "The gateway has no answer: %LOCAL_REPLY_BODY%."),
	}
}

// attemptReplies puts Envoy's own answers to an attempt into the OpenAI error shape, which
// holds when no processor is there to do it. The processor's refusals are local replies too,
// and stay as they are.
func attemptReplies(o Options) *hcmv3.LocalReplyConfig {
	unprocessed := reply(when("response.code_details.startsWith('ext_proc_error')"), serverError,
		"The gateway's processor did not answer; try again.")
	unprocessed.StatusCode = wrapperspb.UInt32(503)
	unprocessed.HeadersToAdd = []*corev3.HeaderValueOption{set(nestorv1.HeaderRetry, "processor")}
	return &hcmv3.LocalReplyConfig{
		Mappers: []*hcmv3.ResponseMapper{
			unprocessed,
			{Filter: when("'" + nestorv1.HeaderRefusal + "' in response.headers")},
			reply(status(413), invalidRequest, tooLarge(o)),
			reply(status(504), "timeout_error", "The model did not answer in time."),
			reply(when("response.code >= 400"), serverError, "The model could not be reached: %LOCAL_REPLY_BODY%."),
		},
	}
}

const (
	invalidRequest = "invalid_request_error"
	serverError    = "api_error"
)

func tooLarge(o Options) string {
	return fmt.Sprintf("The request body is larger than %d bytes.", o.BodyLimit)
}

// reply gives the answers that a filter finds a body in the OpenAI error shape.
func reply(filter *accesslogv3.AccessLogFilter, kind, message string) *hcmv3.ResponseMapper {
	return &hcmv3.ResponseMapper{Filter: filter, BodyFormatOverride: openAIError(kind, message)}
}

// openAIError is the body {"error":{"message","type","param","code"}}; its code is the status, as LiteLLM has it.
func openAIError(kind, message string) *corev3.SubstitutionFormatString {
	return &corev3.SubstitutionFormatString{
		Format: &corev3.SubstitutionFormatString_JsonFormat{JsonFormat: &structpb.Struct{
			Fields: map[string]*structpb.Value{
				"error": structpb.NewStructValue(&structpb.Struct{Fields: map[string]*structpb.Value{
					"message": structpb.NewStringValue(message),
					"type":    structpb.NewStringValue(kind),
					"param":   structpb.NewNullValue(),
					"code":    structpb.NewStringValue("%RESPONSE_CODE%"),
				}}),
			},
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
				TypedConfig: pack(&celv3.ExpressionFilter{Expression: expression}),
			},
		},
	}}
}
