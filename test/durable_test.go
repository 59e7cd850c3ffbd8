package test

import (
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nestor-gateway/nestor/cmd/nestor/mock"
)

// lasting has limits that a restart must not forget. References to the deployments tell their requests apart.
const lasting = `
model_list:
  - model_name: gpt
    litellm_params: {model: openai/m, api_base: $A/v1, api_key: k, rpm: 10}
    model_info: {id: ten}
  - model_name: few
    litellm_params: {model: openai/few, api_base: $A/v1, api_key: k, max_parallel_requests: 2}
    model_info: {id: two}
  - model_name: free
    litellm_params: {model: openai/free, api_base: $A/v1, api_key: k}
`

// admitted sends n requests, and counts those that were not refused for a limit.
func (g *gateway) admitted(model string, n int) int {
	g.t.Helper()
	count := 0
	for range n {
		switch got := g.chat(model, ""); got.Status {
		case http.StatusOK:
			count++
		case http.StatusTooManyRequests:
			got.refusedForNow(g.t)
		default:
			g.t.Errorf("status %d: %s", got.Status, got.Body)
		}
	}
	return count
}

func TestAKilledNestorHasForgottenNothingWhenItIsBack(t *testing.T) {
	t.Parallel()
	a := provideAs(t, mock.Options{Name: "a", Meter: true})
	g := run(t, yaml(lasting, a))
	if n := g.admitted("gpt", 6); n != 6 {
		t.Fatalf("%d of 6 admitted", n)
	}
	first := time.Now()
	held, rest := g.together(1, ask("few", "delay=4s")), g.together(1, ask("few", "events=60;gap=60ms", asStream))
	eventually(t, 5*time.Second, "both have reached the provider", func() bool { return a.Report().Open == 2 })
	for restart := range 2 {
		g.settled("ten")
		g.kill()
		g.start()
		if u := g.used(t, "two"); u.Parallel != 2 {
			t.Errorf("restart %d: %d of 2 in flight are known", restart, u.Parallel)
		}
		if got := g.chat("few", ""); got.Status != http.StatusTooManyRequests {
			t.Errorf("restart %d: a third request at once was not refused: %d", restart, got.Status)
		}
		if n := g.admitted("gpt", 2+10*restart); n != 2 {
			t.Errorf("restart %d: %d admitted, want 2", restart, n)
		}
	}
	for _, wait := range []func() []reply{held, rest} {
		if got := wait()[0]; got.Status != http.StatusOK {
			t.Errorf("an answer did not survive: %d", got.Status)
		}
	}
	g.idle()
	if u := g.used(t, "two"); u.Requests != 2 || u.Tokens != prompt+8+prompt+60 {
		t.Errorf("settled by the restarted one: %+v", u)
	}
	<-time.After(time.Until(first.Add(time.Minute + time.Second)))
	if n := g.admitted("gpt", 12); n > 10 || n < 6 {
		t.Errorf("%d admitted after the window", n)
	}
	arrivals := a.Arrivals("m")
	if peak, _ := mock.Peak(arrivals, time.Minute-way); peak != 10 {
		t.Errorf("%d requests in the fullest minute, want 10", peak)
	}
}

// settled waits until nothing is in flight at a deployment: the log entries on their way when nestor is killed are
// lost, and what they would have settled is held until it expires.
func (g *gateway) settled(id string) {
	g.t.Helper()
	eventually(g.t, secondsToSettle, "all at "+id+" is settled", func() bool { return g.used(g.t, id).Parallel == 0 })
}

func TestWhoKnowsNothingOfTheLastMinuteAdmitsNothing(t *testing.T) {
	t.Parallel()
	a := provideAs(t, mock.Options{Name: "a", Meter: true})
	g := prepare(t, yaml(lasting, a))
	g.args = slices.DeleteFunc(g.args, func(arg string) bool { return arg == "--fresh-limits" })
	g.start()
	began := time.Now()
	g.refusesAllThatIsLimited()
	// Nor after a restart, whose file is new but says so.
	g.kill()
	g.start()
	g.refusesAllThatIsLimited()
	<-time.After(time.Until(began.Add(time.Minute)))
	if n := g.admitted("gpt", 12); n != 10 {
		t.Errorf("%d admitted after a minute, want 10", n)
	}
}

func (g *gateway) refusesAllThatIsLimited() {
	g.t.Helper()
	for _, model := range []string{"gpt", "few"} {
		if got := g.chat(model, ""); got.Status != http.StatusTooManyRequests || got.Header.Get("Retry-After") == "" {
			g.t.Errorf("%s: status %d, want a refusal for a while: %s", model, got.Status, got.Body)
		}
	}
	g.chat("free", "").succeeds(g.t)
	if !strings.Contains(g.nestor.text(g.t), "limits admit nothing") {
		g.t.Error("the log does not say why")
	}
}

func TestALimitFileThatWasWrittenOverAdmitsNothing(t *testing.T) {
	t.Parallel()
	a := provide(t, "a")
	g := run(t, yaml(lasting, a))
	g.chat("gpt", "").succeeds(t)
	g.kill()
	spoiled := 0
	_ = filepath.WalkDir(filepath.Join(g.dir, "data"), func(path string, d os.DirEntry, err error) error {
		if err == nil && strings.HasPrefix(d.Name(), "limits") && !strings.HasSuffix(path, ".lock") {
			spoiled++
			return os.WriteFile(path, []byte("not what it was"), 0o600)
		}
		return nil
	})
	if spoiled != 1 {
		t.Fatalf("%d files of limits in the data directory", spoiled)
	}
	g.start()
	g.refusesAllThatIsLimited()
}
