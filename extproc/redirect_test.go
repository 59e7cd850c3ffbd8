package extproc

import (
	"strings"
	"testing"
)

func TestRedirectOfAProviderIsNotTheClientsToFollow(t *testing.T) {
	s := fixture(t, oneDeployment)
	decision := decideFor(t, s, nil, chat)
	for name, w := range map[string]*wire{
		"with a body":    exchange(t, s, failureOf(decision.DynamicMetadata, "307", false, nil), responseBody("moved")),
		"without a body": exchange(t, s, failureOf(decision.DynamicMetadata, "307", true, nil)),
	} {
		common := w.last().GetResponseBody().GetResponse()
		if common == nil {
			common = w.last().GetResponseHeaders().GetResponse()
		}
		if got := setHeaders(common.GetHeaderMutation())[":status"]; got != "502" {
			t.Errorf("%s: status %q, want 502", name, got)
		}
	}
}

func TestProvidersCredentialIsTakenOutOfItsErrors(t *testing.T) {
	s := fixture(t, oneDeployment)
	decision := decideFor(t, s, nil, chat)
	w := exchange(t, s, failureOf(decision.DynamicMetadata, "400", false, nil),
		responseBody(`{"error":{"message":"Bearer sk-provider is not known","type":"x","param":null,"code":null}}`))
	got := string(w.last().GetResponseBody().GetResponse().GetBodyMutation().GetBody())
	if strings.Contains(got, "sk-provider") || !strings.Contains(got, "[secret] is not known") {
		t.Errorf("the client gets %s", got)
	}
}

// As long as the mark that stands in its place, so that the length of the body says nothing.
func TestCredentialOfEightBytesIsTakenOutToo(t *testing.T) {
	s := fixture(t, strings.ReplaceAll(oneDeployment, "sk-provider", "sk-eight"))
	decision := decideFor(t, s, nil, chat)
	w := exchange(t, s, failureOf(decision.DynamicMetadata, "400", false, map[string]string{"content-type": "application/json"}),
		responseBody(`{"error":{"message":"sk-eight is not known","type":"x","param":null,"code":null}}`))
	got := string(w.last().GetResponseBody().GetResponse().GetBodyMutation().GetBody())
	if !strings.Contains(got, "[secret] is not known") {
		t.Errorf("the client gets %q in place of the provider's words", got)
	}
}
