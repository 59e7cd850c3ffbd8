package test

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

const changing = `
model_list:
  - model_name: gpt
    litellm_params: {model: openai/$MODEL, api_base: $A/v1, api_key: k}
    model_info: {id: id-$MODEL}
`

func TestReloadsUnderLoadFailNoRequest(t *testing.T) {
	a, b := provide(t, "a"), provide(t, "b")
	config := func(number int, u *upstream) string {
		return yaml(strings.ReplaceAll(changing, "$MODEL", "m"+strconv.Itoa(number)), u)
	}
	g := run(t, config(0, a))
	l := g.load(8, ask("gpt", ""))
	for i := 1; i <= 8; i++ {
		// Each change brings an upstream that Envoy does not know yet, and drops the last one.
		fresh := provide(t, "fresh")
		g.configure(config(i, fresh))
		eventually(t, 5*time.Second, "change "+strconv.Itoa(i)+" is in force", func() bool { return fresh.total() > 0 })
		before := l.count()
		eventually(t, 5*time.Second, "the load goes on", func() bool { return l.count() > before+20 })
	}
	g.configure(config(9, b))
	eventually(t, 5*time.Second, "the last change is in force", func() bool { return b.total() > 0 })
	l.stop(t)
	if got := origin(g.chat("gpt", "").succeeds(t))["id"]; got != "id-m9" {
		t.Errorf("answered by %s, want the last config's deployment", got)
	}
	g.settles("nestor_cooldowns_total", samples{})
}

func TestABadFileChangesNothingAndSaysSo(t *testing.T) {
	t.Parallel()
	a := provide(t, "a")
	good := yaml(strings.ReplaceAll(changing, "$MODEL", "good"), a)
	g := run(t, good)
	for name, bad := range map[string]string{
		"no YAML":        "model_list: [",
		"an unknown key": good + "nonsense_settings: {}\n",
		"a cycle":        good + "  - model_name: x\n    litellm_params: {model: y}\n  - model_name: y\n    litellm_params: {model: x}\n",
		"empty":          "",
	} {
		failures := len(g.lines(notReloaded))
		g.configure(bad)
		eventually(t, 5*time.Second, "nestor complains about "+name, func() bool { return len(g.lines(notReloaded)) > failures })
		if line := last(g.lines(notReloaded)); !strings.Contains(line, "config.yaml") {
			t.Errorf("%s: the file is not named in %s", name, line)
		}
		if got := origin(g.chat("gpt", "").succeeds(t))["id"]; got != "id-good" {
			t.Errorf("%s: answered by %s", name, got)
		}
	}
}

// notReloaded is what nestor logs about a bad file.
const notReloaded = "config not reloaded: the one in force stays"

// Kubernetes mounts a config map as a link to a link, and swaps the second one.
func TestASwappedLinkIsSeen(t *testing.T) {
	t.Parallel()
	a, b := provide(t, "a"), provide(t, "b")
	g := prepare(t, "")
	for name, config := range map[string]string{
		"old": yaml(strings.ReplaceAll(changing, "$MODEL", "old"), a), "new": yaml(strings.ReplaceAll(changing, "$MODEL", "new"), b),
	} {
		g.write(filepath.Join(name, "config.yaml"), config)
	}
	g.link("..data", "old")
	g.link("config.yaml", filepath.Join("..data", "config.yaml"))
	g.start()
	if id := origin(g.chat("gpt", "").succeeds(t))["id"]; id != "id-old" {
		t.Fatalf("answered by %s", id)
	}
	g.link("..data", "new")
	eventually(t, 5*time.Second, "the new config is in force", func() bool {
		return origin(g.chat("gpt", "").succeeds(t))["id"] == "id-new"
	})
}

// link makes or replaces a symbolic link beside the config, in one step.
func (g *gateway) link(name, target string) {
	g.t.Helper()
	next := filepath.Join(g.dir, name+".next")
	if err := os.Symlink(target, next); err != nil {
		g.t.Fatal(err)
	}
	if err := os.Rename(next, filepath.Join(g.dir, name)); err != nil {
		g.t.Fatal(err)
	}
}

func (g *gateway) write(name, text string) {
	g.t.Helper()
	path := filepath.Join(g.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		g.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		g.t.Fatal(err)
	}
}

func TestSIGHUPReloads(t *testing.T) {
	t.Parallel()
	a := provide(t, "a")
	g := run(t, yaml(strings.ReplaceAll(changing, "$MODEL", "same"), a))
	before := len(g.lines("config reloaded"))
	g.nestor.signal(t, syscall.SIGHUP)
	eventually(t, 5*time.Second, "a reload", func() bool { return len(g.lines("config reloaded")) > before })
	g.chat("gpt", "").succeeds(t)
}

func TestRequestsInFlightFinishOnTheConfigTheyBeganWith(t *testing.T) {
	t.Parallel()
	a, b := provide(t, "a"), provide(t, "b")
	g := run(t, yaml(strings.ReplaceAll(changing, "$MODEL", "old"), a))
	wait := g.together(10, ask("gpt", "delay=1s"))
	eventually(t, 5*time.Second, "all requests have reached the provider", func() bool { return a.Report().Open == 10 })
	g.configure(yaml(strings.ReplaceAll(changing, "$MODEL", "new"), b))
	eventually(t, 5*time.Second, "the new config is in force", func() bool {
		return origin(g.chat("gpt", "").succeeds(t))["id"] == "id-new"
	})
	for _, got := range wait() {
		if id := origin(got.succeeds(t))["id"]; id != "id-old" {
			t.Errorf("answered by %s", id)
		}
	}
}

func TestAMasterKeyCanBeChanged(t *testing.T) {
	t.Parallel()
	a := provide(t, "a")
	withKey := func(key string) string {
		return yaml(strings.ReplaceAll(changing, "$MODEL", "m"), a) + "general_settings: {master_key: " + key + "}\n"
	}
	g := run(t, withKey("sk-old"))
	g.chat("gpt", "", "Authorization", "Bearer sk-old").succeeds(t)
	g.configure(withKey("sk-new"))
	eventually(t, 5*time.Second, "the new key is good", func() bool {
		return g.chat("gpt", "", "Authorization", "Bearer sk-new").Status == 200
	})
	if got := g.chat("gpt", "", "Authorization", "Bearer sk-old"); got.Status != 401 {
		t.Errorf("the old key: status %d", got.Status)
	}
}
