package routing

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nestor-gateway/nestor/ratelimit"
	"github.com/nestor-gateway/nestor/routing/config"
)

func limitsOf(t *testing.T, yaml string) []ratelimit.Limit {
	t.Helper()
	cfg, err := config.Decode("config.yaml", []byte(yaml), nil)
	if err != nil {
		t.Fatal(err)
	}
	s, _, err := Compile(cfg, oneProvider{})
	if err != nil {
		t.Fatal(err)
	}
	return s.gates.Limits()
}

func TestWhatIsLimitedAndByWhatName(t *testing.T) {
	got := limitsOf(t, `
model_list:
  - {model_name: g, litellm_params: {model: a, rpm: 9, tpm: 100}, model_info: {id: a}}
  - {model_name: again, litellm_params: {model: a, rpm: 7, max_parallel_requests: 2}, model_info: {id: a}}
  - {model_name: g, litellm_params: {model: b}, model_info: {id: b}}
  - {model_name: "top:1", litellm_params: {model: g}}
  - {model_name: "top:1", litellm_params: {model: g, tpm: 5, order: 2}}
  - {model_name: "top:1", litellm_params: {model: alias, max_parallel_requests: 6, order: 1}}
  - {model_name: "50%", litellm_params: {model: "top:1", rpm: 4}}
router_settings: {model_group_alias: {alias: g}}
model_groups:
  g: {rpm: 3, hidden: true}
  "top:1": {timeout: 3}
`)
	some := func(requests, tokens, parallel int64) ratelimit.Amounts {
		return ratelimit.Amounts{requests, tokens, parallel}
	}
	want := []ratelimit.Limit{
		{Name: "deployment:a", Most: some(7, 100, 2)},
		{Name: "deployment:b", Most: ratelimit.Unlimited()},
		{Name: "reference:top%3A1:g:3", Most: some(ratelimit.None, ratelimit.None, 6)},
		{Name: "reference:top%3A1:g:2", Most: some(ratelimit.None, 5, ratelimit.None)},
		{Name: "reference:50%25:top%3A1:1", Most: some(4, ratelimit.None, ratelimit.None)},
		{Name: "group:g", Most: some(3, ratelimit.None, ratelimit.None)},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestWhatLimitsDoWithoutTheStore(t *testing.T) {
	got := map[string]ratelimit.Policy{}
	for _, l := range limitsOf(t, `
model_list:
  - {model_name: g, litellm_params: {model: a}, model_info: {id: a}}
  - {model_name: g, litellm_params: {model: b}, model_info: {id: b}}
  - {model_name: h, litellm_params: {model: b}, model_info: {id: b}}
  - {model_name: i, litellm_params: {model: c}, model_info: {id: c}}
  - {model_name: i, litellm_params: {model: b}, model_info: {id: b}}
  - {model_name: h, litellm_params: {model: g, rpm: 1}}
  - {model_name: h, litellm_params: {model: d}, model_info: {id: d}}
router_settings: {limits_without_redis: open}
model_groups:
  g: {rpm: 1, limits_without_redis: share}
  h: {rpm: 1}
  i: {rpm: 1, limits_without_redis: closed}
`) {
		got[l.Name] = l.Lost
	}
	want := map[string]ratelimit.Policy{
		"deployment:a": ratelimit.Share, "deployment:b": ratelimit.Closed, "deployment:c": ratelimit.Closed,
		"deployment:d": ratelimit.Open, "reference:h:g:1": ratelimit.Open,
		"group:g": ratelimit.Share, "group:h": ratelimit.Open, "group:i": ratelimit.Closed,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestLimitsOfZeroArePointedOut(t *testing.T) {
	cfg, err := config.Decode("config.yaml", []byte(`
model_list:
  - {model_name: g, litellm_params: {model: a, max_parallel_requests: 0}}
  - {model_name: g, litellm_params: {model: b, max_parallel_requests: 1}}
  - {model_name: g, litellm_params: {model: c, rpm: 0, tpm: 0}}
`), nil)
	if err != nil {
		t.Fatal(err)
	}
	_, notes, err := Compile(cfg, oneProvider{})
	if err != nil || len(notes) != 3 || notes[0].At.Line != 3 || notes[1].At.Line != 5 || notes[2].At.Line != 5 {
		t.Errorf("got %v, %v, want a note on the first entry and two on the last", notes, err)
	}
}
