package routing

import (
	"net/url"
	"testing"
	"time"

	"github.com/nestor-gateway/nestor/routing/config"
)

type oneProvider struct{}

func (oneProvider) IsPrefix(string) bool { return true }

func (oneProvider) Split(written, _ string) (provider, model string, err error) {
	return "openai", written, nil
}

func (oneProvider) Lacks(string) uint8 { return 0 }

func (oneProvider) Base(string, string) (*url.URL, error) { return url.Parse("http://127.0.0.1:1/v1") }

// Requests may hold a view that nothing is picked from for a long time, while deployments go on failing.
func TestCooldownsEndInAViewWithoutPicks(t *testing.T) {
	cfg, err := config.Decode("config.yaml", []byte(`
model_list:
  - {model_name: g, litellm_params: {model: a}, model_info: {id: a}}
  - {model_name: g, litellm_params: {model: b}, model_info: {id: b}}
`), nil)
	if err != nil {
		t.Fatal(err)
	}
	s, _, err := Compile(cfg, oneProvider{})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Unix(1, 0)
	tracker := NewTracker(func() time.Time { return now })
	v := newView(s, NewRouter(tracker, nil, s), nil)
	v.cool("a", 5*time.Second)
	now = now.Add(10 * time.Second)
	v.cool("b", 20*time.Second)
	if end := v.state.CoolingUntil(s.byID["a"]); end != 0 {
		t.Errorf("a cooldown that ended is still kept until %v", end)
	}
	if end := v.state.CoolingUntil(s.byID["b"]); end != 20*time.Second {
		t.Errorf("the new cooldown ends at %v", end)
	}
}
