package extproc

import (
	"math"
	"net/http"
	"strconv"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"

	"github.com/nestor-gateway/nestor/extproc/openai"
	nestorv1 "github.com/nestor-gateway/nestor/proto/nestor/v1"
)

// set overwrites a header.
func set(m *extprocv3.HeaderMutation, name, value string) {
	h := &struct { // one allocation for both messages
		option corev3.HeaderValueOption
		header corev3.HeaderValue
	}{}
	h.header.Key, h.header.RawValue = name, []byte(value)
	h.option.Header, h.option.AppendAction = &h.header, corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD
	m.SetHeaders = append(m.SetHeaders, &h.option)
}

func replaceBody(body []byte) *extprocv3.BodyMutation {
	return &extprocv3.BodyMutation{Mutation: &extprocv3.BodyMutation_Body{Body: body}}
}

// goOn lets the request headers pass, so that the body comes.
func goOn() *extprocv3.ProcessingResponse {
	return &extprocv3.ProcessingResponse{Response: &extprocv3.ProcessingResponse_RequestHeaders{
		RequestHeaders: &extprocv3.HeadersResponse{},
	}}
}

// refusalDetails is how Envoy's access log tells an answer of the processor itself.
const refusalDetails = "nestor_refusal"

// refuse answers the client without any upstream, and ends the exchange.
func (s *Server) refuse(stream extprocv3.ExternalProcessor_ProcessServer, e *openai.Error) error {
	s.Metrics.refused(e.Status)
	m := &extprocv3.HeaderMutation{}
	set(m, "content-type", "application/json")
	set(m, nestorv1.HeaderRefusal, "1")
	if e.Status == http.StatusMethodNotAllowed {
		set(m, "allow", http.MethodPost)
	}
	if e.RetryAfter > 0 {
		set(m, "retry-after", retryAfter(e.RetryAfter))
	}
	for _, h := range e.Headers {
		set(m, h.Name, h.Value)
	}
	return stream.Send(&extprocv3.ProcessingResponse{Response: &extprocv3.ProcessingResponse_ImmediateResponse{
		ImmediateResponse: &extprocv3.ImmediateResponse{
			Status:  &typev3.HttpStatus{Code: typev3.StatusCode(e.Status)},
			Headers: m,
			Body:    e.Body(),
			Details: refusalDetails,
		},
	}})
}

// retryAfter is in whole seconds, rounded up: earlier would be refused again.
func retryAfter(d time.Duration) string {
	return strconv.Itoa(int(math.Ceil(d.Seconds())))
}
