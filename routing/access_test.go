package routing_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nestor-gateway/nestor/routing"
)

const accessConfig = `
model_list:
  - {model_name: fast, litellm_params: {model: openai/a}, model_info: {id: one, access_groups: [beta, alpha]}}
  - {model_name: fast, litellm_params: {model: slow}, model_info: {access_groups: [beta]}}
  - {model_name: slow, litellm_params: {model: openai/b}, model_info: {id: taken}}
  - {model_name: slow, litellm_params: {model: openai/a, api_key: k}}
  - {model_name: "groq/*", litellm_params: {model: "groq/*"}, model_info: {id: many, access_groups: [open]}}
  - {model_name: "groq/x*", litellm_params: {model: "groq/x*"}}
  - {model_name: hidden, litellm_params: {model: groq/h}, model_info: {access_groups: [secret]}}
router_settings:
  model_group_alias: {quick: fast, quicker: quick, taken: fast, wild: groq/y, direct: one, hidden: slow}
`

func TestNamesMeanToAccessWhatTheyMeanToCalls(t *testing.T) {
	s, _, err := routing.Compile(decode(t, accessConfig), fakeProviders{})
	if err != nil {
		t.Fatal(err)
	}
	type meaning struct {
		Alias  string
		Groups []string
	}
	beta := []string{"alpha", "beta"}
	want := map[string]meaning{
		"fast": {"", beta}, "quick": {"fast", beta}, "quicker": {"fast", beta},
		"slow": {}, "one": {}, "openai/a": {}, "openai/b": {}, "unknown": {},
		"taken":  {}, // calls the deployment of that id
		"direct": {"one", nil},
		"groq/y": {"", []string{"open"}}, "wild": {"groq/y", []string{"open"}}, "groq/x1": {}, "groq/*": {"", []string{"open"}},
		"hidden": {"slow", nil},
	}
	got := map[string]meaning{}
	for name := range want {
		target, _ := s.Alias(name)
		got[name] = meaning{target, s.AccessGroups(name)}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestAskingForAccessAllocatesNothing(t *testing.T) {
	s, _, err := routing.Compile(decode(t, accessConfig), fakeProviders{})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"fast", "quicker", "groq/y", "unknown"} {
		if n := testing.AllocsPerRun(100, func() { s.Alias(name); s.AccessGroups(name) }); n != 0 {
			t.Errorf("%s: %v allocations, want 0", name, n)
		}
	}
}
