package mock

import (
	"bytes"
	"net/url"
	"strings"

	"github.com/tidwall/gjson"
)

type endpoint uint8

const (
	none endpoint = iota
	chat
	completions
	embeddings
	models
)

// find tells the endpoint by the end of the path: providers differ in what stands before it.
func find(path string) endpoint {
	switch {
	case strings.HasSuffix(path, "/chat/completions"):
		return chat
	case strings.HasSuffix(path, "/completions"):
		return completions
	case strings.HasSuffix(path, "/embeddings"):
		return embeddings
	case strings.HasSuffix(path, "/models"), strings.Contains(path, "/models/"):
		return models
	}
	return none
}

// ask is what a request says, as far as its answer depends on it.
type ask struct {
	endpoint     endpoint
	model, user  string
	stream       bool
	includeUsage bool
	// prompt is the size of the messages, prompt or input, in bytes of JSON.
	prompt int
	// inputs, dimensions and base64 are those of embeddings.
	inputs, dimensions int
	base64             bool
}

// read understands a request; problem is what is wrong with its body, or empty.
func read(path string, body []byte) (a ask, problem string) {
	a = ask{endpoint: find(path), inputs: 1}
	if a.endpoint == none || a.endpoint == models {
		return a, ""
	}
	body = bytes.TrimSpace(body)
	if len(body) < 2 || body[0] != '{' || body[len(body)-1] != '}' {
		return a, "We could not parse the JSON body of your request."
	}
	gjson.ParseBytes(body).ForEach(func(key, value gjson.Result) bool {
		a.take(key.String(), value)
		return true
	})
	if a.model == "" {
		a.model = deploymentOf(path)
	}
	return a, ""
}

func (a *ask) take(key string, value gjson.Result) {
	switch key {
	case "model":
		a.model = value.String()
	case "user":
		a.user = value.String()
	case "stream":
		a.stream = value.Bool()
	case "stream_options":
		a.includeUsage = value.Get("include_usage").Bool()
	case "messages", "prompt":
		a.prompt = len(value.Raw)
	case "input":
		a.prompt = len(value.Raw)
		a.inputs = inputs(value)
	case "dimensions":
		a.dimensions = int(value.Int())
	case "encoding_format":
		a.base64 = value.String() == "base64"
	}
}

// inputs counts the texts of an embeddings request: one, several, or either of them as token numbers.
func inputs(value gjson.Result) int {
	if !value.IsArray() {
		return 1
	}
	list := value.Array()
	if len(list) == 0 || list[0].Type == gjson.Number {
		return 1
	}
	return len(list)
}

// deploymentOf reads the model from an Azure path, /openai/deployments/{model}/...
func deploymentOf(path string) string {
	_, rest, found := strings.Cut(path, "/deployments/")
	if !found {
		return ""
	}
	name, _, _ := strings.Cut(rest, "/")
	if plain, err := url.PathUnescape(name); err == nil {
		return plain
	}
	return name
}

// usage is the tokens of a request: a fourth of the prompt's JSON bytes, rounded up, and one a word.
type usage struct {
	prompt, completion int
	cached, reasoning  int // parts of these
}

func (a *ask) usage(p *Plan, words int) usage {
	return usage{(a.prompt + 3) / 4, words, p.Cached, p.Reasoning}
}
