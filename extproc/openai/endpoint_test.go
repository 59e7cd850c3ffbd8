package openai

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestLookupKnowsTheEndpoints(t *testing.T) {
	for path, want := range map[string]Route{
		"/v1/chat/completions":                      {Endpoint: Chat},
		"/chat/completions":                         {Endpoint: Chat},
		"/v1/completions?x=1":                       {Endpoint: Completions},
		"/completions":                              {Endpoint: Completions},
		"/v1/embeddings":                            {Endpoint: Embeddings},
		"/embeddings?":                              {Endpoint: Embeddings},
		"/openai/deployments/fast/chat/completions": {Endpoint: Chat, Model: "fast"},
		"/openai/deployments/a/b/c/chat/completions?api-version": {Endpoint: Chat, Model: "a/b/c"},
		"/openai/deployments/a%2Fb%20c/completions":              {Endpoint: Completions, Model: "a/b c"},
		"/openai/deployments/chat/completions":                   {Endpoint: Completions, Model: "chat"},
		"/openai/deployments/e/embeddings":                       {Endpoint: Embeddings, Model: "e"},
		"/engines/groq/m/chat/completions":                       {Endpoint: Chat, Model: "groq/m"},
	} {
		t.Run(path, func(t *testing.T) {
			got, ok := Lookup(path)
			if diff := cmp.Diff(want, got); !ok || diff != "" {
				t.Errorf("found %v, -want +got:\n%s", ok, diff)
			}
		})
	}
}

func TestLookupKnowsNothingElse(t *testing.T) {
	for _, path := range []string{
		"", "/", "/v1", "/v1/", "/v1/chat/completions/", "/v1/v1/embeddings", "/v1/responses", "v1/chat/completions", "/V1/embeddings",
		"/openai/deployments/chat/completions/x", "/openai/deployments//chat/completions", "/openai/deployments/%zz/embeddings",
		"/openai/deployments/a%0d%0ab/embeddings", "/openai/deployments/a%00/embeddings", "/openai/deployments/%ff/embeddings",
		"/v1/engines/m/completions",
	} {
		if route, ok := Lookup(path); ok {
			t.Errorf("%q is %+v", path, route)
		}
	}
}

func TestEndpointsHaveNames(t *testing.T) {
	var got []string
	for _, e := range []Endpoint{Chat, Completions, Embeddings} {
		got = append(got, e.String())
	}
	if diff := cmp.Diff([]string{"chat", "completions", "embeddings"}, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}
