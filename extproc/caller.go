package extproc

import (
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/nestor-gateway/nestor/access"
	"github.com/nestor-gateway/nestor/extproc/message"
	"github.com/nestor-gateway/nestor/extproc/openai"
	"github.com/nestor-gateway/nestor/routing"
)

// authenticate says who asks, and whether they may use the endpoint. A probe of /health has no key.
func (s *Server) authenticate(h message.Headers, path string, probe bool) (access.Principal, *openai.Error) {
	if probe {
		return access.Principal{Master: true}, nil
	}
	who, denial := s.Auth().Authenticate(h.Get)
	if denial == nil {
		denial = who.May(access.Call{Route: path})
	}
	if denial == nil {
		size, _ := strconv.ParseInt(h.Get("content-length"), 10, 64)
		return who, tooLarge(who, size)
	}
	return who, denied(denial)
}

// tooLarge refuses a body that is larger than the key allows.
func tooLarge(who access.Principal, size int64) *openai.Error {
	if who.Key == nil || who.Key.MaxRequestBytes == 0 || size <= who.Key.MaxRequestBytes {
		return nil
	}
	return &openai.Error{Status: http.StatusRequestEntityTooLarge, Type: "invalid_request_error", Code: "413",
		Message: fmt.Sprintf("the request has %d bytes, and the key allows %d", size, who.Key.MaxRequestBytes)}
}

// mayCall checks the called model and the fallbacks that the body names. Those of the config need no grant.
func mayCall(who access.Principal, model string, fields *openai.Fields) *openai.Error {
	if d := who.May(access.Call{Model: model}); d != nil {
		return denied(d)
	}
	for _, fallback := range fields.Fallbacks {
		if d := who.May(access.Call{Model: fallback}); d != nil {
			return denied(d)
		}
	}
	return nil
}

// meant are called names as routing resolves them: what was checked is then what is called.
func meant(who access.Principal, called []string) []string {
	var names []string
	for _, name := range called {
		names = append(names, who.Model(name))
	}
	return names
}

func denied(d *access.Denial) *openai.Error {
	return &openai.Error{Status: d.Status, Type: d.Type, Code: d.Code, Param: d.Param, Message: d.Message, RetryAfter: d.RetryAfter}
}

// callerFull says which limit of who asks stands in the way.
func (d *decided) callerFull(none *routing.NoneError, now time.Time) *openai.Error {
	name := "key"
	if l := d.callers.find(none.Entity); l != nil {
		name = l.Title()
	}
	return openai.CallerQuota(name, d.quota(none), now)
}
