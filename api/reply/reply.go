// Package reply writes the answers of the HTTP port: JSON, with errors in the shape of OpenAI's API.
package reply

import (
	"encoding/json"
	"net/http"
	"strconv"
)

// Problem is an error in the shape that OpenAI's SDKs read.
// Empty Param and Code are null.
type Problem struct {
	Status              int
	Message, Type       string
	Param, Code, Allows string
}

func (p Problem) Error() string { return p.Message }

// InvalidRequest is the type of errors that the request itself is the cause of.
const InvalidRequest = "invalid_request_error"

// Refuse answers with {"error":{"message","type","param","code"}}.
func Refuse(w http.ResponseWriter, p Problem) {
	if p.Allows != "" {
		w.Header().Set("Allow", p.Allows)
	}
	orNull := func(s string) any {
		if s == "" {
			return nil
		}
		return s
	}
	JSON(w, p.Status, Object{"error": Object{
		"message": p.Message, "type": p.Type, "param": orNull(p.Param), "code": orNull(p.Code),
	}})
}

// Object is a JSON object.
type Object map[string]any

// JSON answers with a value, which must be one that can be encoded.
func JSON(w http.ResponseWriter, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		status, body = http.StatusInternalServerError, []byte(`{"error":{"message":"internal error","type":"api_error","param":null,"code":null}}`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, _ = w.Write(body) // the only cause of an error is a client that left
}
