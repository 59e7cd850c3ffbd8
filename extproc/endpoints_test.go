package extproc

import (
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"github.com/nestor-gateway/nestor/ratelimit"
)

// Of these only openai has completions.
const mixedProviders = `
model_list:
  - {model_name: fast, litellm_params: {model: groq/a, api_key: k, rpm: 900}, model_info: {id: a}}
  - {model_name: fast, litellm_params: {model: openai/b, api_key: k, rpm: 100}, model_info: {id: b}}
  - {model_name: talk, litellm_params: {model: groq/c, api_key: k}, model_info: {id: c}}
  - {model_name: talk, litellm_params: {model: anthropic/d, api_key: k}, model_info: {id: d}}
  - {model_name: text, litellm_params: {model: openai/e, api_key: k}, model_info: {id: e}}
router_settings: {num_retries: 2}
`

func completions(request string) map[string]string {
	return map[string]string{":path": "/v1/completions", "x-nestor-request": request}
}

const prompt = `{"model":"fast","prompt":"x","max_tokens":1}`

func TestARequestGoesToADeploymentThatHasTheEndpoint(t *testing.T) {
	s, l := limited(t, mixedProviders)
	for n := range 20 {
		if d := decisionIn(t, decideFor(t, s, completions(itoa(n)), prompt)); d.Deployment != "b" {
			t.Fatalf("request %d went to %s", n, d.Deployment)
		}
	}
	if used := l.used(t, "deployment:a"); used != (ratelimit.Amounts{}) {
		t.Errorf("the one without the endpoint has used %v", used)
	}
}

func TestAModelThatHasNotTheEndpointIsRefused(t *testing.T) {
	s := fixture(t, mixedProviders)
	r := decideFor(t, s, completions("r"), `{"model":"talk","prompt":"x"}`).GetImmediateResponse()
	want := `{"error":{"message":"no deployment of model talk that can be used has an endpoint for completions: call another model","type":"invalid_request_error","param":"model","code":null}}`
	if diff := cmp.Diff(want, string(r.GetBody())); diff != "" || r.GetStatus().GetCode() != 400 {
		t.Errorf("status %v (-want +got):\n%s", r.GetStatus(), diff)
	}
}

func TestRetriesStayWithWhoHasTheEndpoint(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := fixture(t, mixedProviders)
		went, _ := attempts(t, s, completions("r"), prompt, failing("500", `{"error":{"message":"boom"}}`))
		if diff := cmp.Diff([]string{"b", "b", "b"}, went); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		went, _ = attempts(t, s, completions("r2"), prompt, failing("401", ""))
		if diff := cmp.Diff([]string{"b"}, went); diff != "" {
			t.Errorf("a refused key, of which there is no other (-want +got):\n%s", diff)
		}
	})
}

// The last failure is shown where what is left of the fallbacks does not have the endpoint.
func TestFallbacksWithoutTheEndpointArePassedOver(t *testing.T) {
	for fallbacks, want := range map[string][]string{"[talk, text]": {"b", "e"}, "[talk]": {"b"}} {
		synctest.Test(t, func(t *testing.T) {
			s := fixture(t, mixedProviders+"litellm_settings: {num_retries: 0, fallbacks: [{fast: "+fallbacks+"}]}\n")
			went, last := attempts(t, s, map[string]string{":path": "/v1/completions", "x-litellm-num-retries": "0"}, prompt, failing("500", `{"error":{"message":"boom"}}`))
			if diff := cmp.Diff(want, went); diff != "" || last.GetResponseBody() == nil {
				t.Errorf("%s: %v (-want +got):\n%s", fallbacks, last, diff)
			}
		})
	}
}

func TestAModelWithoutTheEndpointFallsBackToOneThatHasIt(t *testing.T) {
	s := fixture(t, mixedProviders+"litellm_settings: {fallbacks: [{talk: [text]}]}\n")
	d := decisionIn(t, decideFor(t, s, completions("r"), `{"model":"talk","prompt":"x"}`))
	if d.Deployment != "e" || d.Fallbacks != 1 {
		t.Errorf("went to %s by %d fallbacks", d.Deployment, d.Fallbacks)
	}
}
