package message

import (
	"math"
	"net/http"
	"strconv"
	"time"

	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"

	"github.com/nestor-gateway/nestor/extproc/openai"
	nestorv1 "github.com/nestor-gateway/nestor/proto/nestor/v1"
)

// Refusal answers a request, which the client knows by its id, without any upstream. The details are for Envoy's access log.
func Refusal(id string, e *openai.Error, details string) *extprocv3.ProcessingResponse {
	m := &extprocv3.HeaderMutation{}
	Set(m, "content-type", "application/json")
	Set(m, nestorv1.HeaderRefusal, "1")
	Set(m, nestorv1.HeaderCallID, id)
	if e.Status == http.StatusMethodNotAllowed {
		Set(m, "allow", http.MethodPost)
	}
	if e.RetryAfter > 0 {
		SetRetryAfter(m, e.RetryAfter)
	}
	for _, h := range e.Headers {
		Set(m, h.Name, h.Value)
	}
	return &extprocv3.ProcessingResponse{Response: &extprocv3.ProcessingResponse_ImmediateResponse{
		ImmediateResponse: &extprocv3.ImmediateResponse{
			Status:  &typev3.HttpStatus{Code: typev3.StatusCode(e.Status)},
			Headers: m,
			Body:    e.Body(),
			Details: details,
		},
	}}
}

// SetRetryAfter sets retry-after, in whole seconds, rounded up: earlier would be refused again.
func SetRetryAfter(m *extprocv3.HeaderMutation, d time.Duration) {
	Set(m, "retry-after", strconv.Itoa(int(math.Ceil(d.Seconds()))))
}
