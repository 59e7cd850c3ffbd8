package test

import (
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// tour is a folder where a reader's commands can be typed. Addresses in them are replaced by those of the test.
type tour struct {
	t    *testing.T
	dir  string
	here *strings.Replacer
	url  string // of the gateway
	env  []string
}

// explore makes a folder with bin/nestor, which is on PATH too.
func explore(t *testing.T) *tour {
	t.Helper()
	if _, err := exec.LookPath("curl"); err != nil {
		t.Skip("curl is not installed")
	}
	tour := &tour{t: t, dir: t.TempDir()}
	var addresses []string
	ports := []string{"4000", "4001", "4002", "4010", "4011"}
	at := freeAddresses(t, len(ports))
	for i, port := range ports {
		addresses = append(addresses, "127.0.0.1:"+port, at[i])
	}
	tour.here, tour.url = strings.NewReplacer(addresses...), "http://"+at[0]
	programs := filepath.Join(tour.dir, "bin")
	tour.env = append(os.Environ(), "PATH="+programs+":"+os.Getenv("PATH"),
		"NESTOR_LISTEN="+at[0], "NESTOR_GRPC_LISTEN="+at[1], "NESTOR_HTTP_LISTEN="+at[2])
	if err := os.MkdirAll(programs, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(binary(t), filepath.Join(programs, "nestor")); err != nil {
		t.Fatal(err)
	}
	return tour
}

// quickstart is what `make run` starts.
func quickstart(t *testing.T) *tour {
	t.Helper()
	tour := explore(t)
	const folder = "examples/quickstart"
	if recipe := `&& ENVOY="$$envoy" exec ` + folder + "/run\n"; !strings.Contains(readFile(t, filepath.Join("..", "Makefile")), recipe) {
		t.Fatalf("make run does something else than %q", recipe)
	}
	for _, name := range []string{"run", "config.yaml"} {
		tour.write(filepath.Join(folder, name), tour.here.Replace(readFile(t, filepath.Join("..", folder, name))))
	}
	t.Setenv("ENVOY", need(t, "envoy"))
	for _, variable := range tour.env {
		if name, value, _ := strings.Cut(variable, "="); strings.HasPrefix(name, "NESTOR_") {
			t.Setenv(name, value)
		}
	}
	p := launch(t, tour.dir, "run.log", filepath.Join(tour.dir, folder, "run"))
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the quickstart wrote:\n%s", lastLines([]byte(p.text(t)), 20))
		}
	})
	eventually(t, 20*time.Second, "the line with msg=ready", func() bool { return strings.Contains(p.text(t), "msg=ready ") })
	return tour
}

func (tour *tour) write(name, text string) {
	tour.t.Helper()
	path := filepath.Join(tour.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		tour.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o700); err != nil {
		tour.t.Fatal(err)
	}
}

// types runs a command of a document as its reader does. What it prints must have something of each pattern.
func (tour *tour) types(command string, patterns ...string) {
	tour.t.Helper()
	shell := exec.Command("bash", "-c", tour.here.Replace(command))
	shell.Dir, shell.Env = tour.dir, tour.env
	out, err := shell.CombinedOutput()
	if err != nil {
		tour.t.Errorf("%s\n%v\n%s", command, err, out)
		return
	}
	for _, pattern := range patterns {
		if !regexp.MustCompile(pattern).Match(out) {
			tour.t.Errorf("%s\nprints nothing like %q:\n%s", command, pattern, out)
		}
	}
}

// commands are what a document tells its reader to type: lines of code blocks that begin with a program or a prompt,
// and the lines that continue them.
func commands(t *testing.T, document string) (found []string) {
	t.Helper()
	text := strings.ReplaceAll(readFile(t, filepath.Join("..", document)), "\\\n", "")
	begins := regexp.MustCompile(`^(?:    |\$ )((?:curl|make|nestor|bin/nestor) .*)$`)
	for line := range strings.Lines(text) {
		if m := begins.FindStringSubmatch(strings.TrimSuffix(line, "\n")); m != nil {
			found = append(found, m[1])
		}
	}
	return found
}

// yamlBlocks are the configs that a document shows.
func yamlBlocks(t *testing.T, document string) (found []string) {
	t.Helper()
	for _, m := range regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllStringSubmatch(readFile(t, filepath.Join("..", document)), -1) {
		found = append(found, m[1])
	}
	return found
}

const (
	isOK     = `^HTTP/1\.1 200 OK\r\n`
	isChat   = `"object":"chat\.completion"`
	isStream = `(?s)"object":"chat\.completion\.chunk".*data: \[DONE\]`
)

// The commands stand here in the order of the document: one that is added, changed or taken away is seen.
func TestCommandsOfTheReadmeDoWhatItSays(t *testing.T) {
	const document = "README.md"
	typed := commands(t, document)
	want := []string{"nestor explain", "nestor explain", "make run", "curl -s", "curl -si", "curl -sN", "bin/nestor explain",
		"make test", "nestor check", "nestor run", "curl -s"}
	if diff := cmp.Diff(want, firstWords(typed)); diff != "" {
		t.Fatalf("the commands of %s (-tested +there):\n%s", document, diff)
	}
	t.Run("a thousand lines fewer", func(t *testing.T) {
		tour := explore(t)
		for _, config := range yamlBlocks(t, document) {
			tour.write("config.yaml", config)
			tour.types(typed[8], `config\.yaml can be used`)
		}
		tour.env = append(tour.env, "GROQ_API_KEY=k", "CEREBRAS_API_KEY=k")
		tour.types(typed[0], `cerebras/gpt-oss-120b`, `groq/openai/gpt-oss-120b`, `cerebras/zai-glm-4\.7`)
		tour.types(typed[1], `cerebras/gpt-oss-120b`, `groq/openai/gpt-oss-120b`, `cerebras/zai-glm-4\.7`)
	})
	t.Run("run it", func(t *testing.T) {
		tour := quickstart(t)
		tour.types(typed[3], `"id":"fast"`)
		tour.types(typed[4], isOK, isChat, `(?m)^x-litellm-model-id: .`)
		tour.types(typed[5], isStream)
		tour.types(typed[6], `(?m) 0/30 .* eligible$`, `(?m) [012]/5,? .* eligible$`)
		if admitted := tour.admitted(50); admitted != 40-2 {
			t.Errorf("%d requests in a minute were admitted, not 40", admitted+2)
		}
		tour.types(typed[6], `(?s)(0\.00 %.* used up for .*){3}`)
	})
	t.Run("keys", func(t *testing.T) {
		tour := explore(t)
		g := run(t, yaml(keyed, provide(t, "a")))
		tour.here = strings.NewReplacer("http://127.0.0.1:4000", g.url)
		tour.env = append(tour.env, "NESTOR_MASTER_KEY="+masterSecret)
		tour.types(typed[10], `"key":"sk-`, `"models":\["fast"\]`, `"max_budget":5\b`, `"budget_duration":"30d"`, `"rpm_limit":60\b`)
		inline := regexp.MustCompile("`(nestor keys generate [^`]+)`").FindStringSubmatch(readFile(t, filepath.Join("..", document)))
		tour.types(inline[1]+" --address http://127.0.0.1:4000", `(?m)^sk-\S+$`)
	})
}

func TestCommandsOfTheQuickstartDoWhatItSays(t *testing.T) {
	const document = "examples/quickstart/README.md"
	typed := commands(t, document)
	want := []string{"make run", "curl -s", "curl -si", "curl -sN", "bin/nestor explain", "bin/nestor explain", "curl -si"}
	if diff := cmp.Diff(want, firstWords(typed)); diff != "" {
		t.Fatalf("the commands of %s (-tested +there):\n%s", document, diff)
	}
	tour := quickstart(t)
	tour.types(typed[1], `"id":"fast"`)
	tour.types(typed[2], isOK, isChat, `(?m)^x-litellm-model-id: .`)
	tour.types(typed[3], isStream)
	tour.types(typed[4], `cerebras-gpt-oss-120b +5 +100\.00 % +50\.00 %`, `cerebras-zai-glm-4\.7 +5 +100\.00 % +50\.00 %`)
	tour.types(typed[5], `cerebras-gpt-oss-120b .* left out`, `groq-gpt-oss-120b +30 +100\.00 % +85\.71 %`)
	tour.types(typed[6], isOK, `(?m)^x-litellm-attempted-retries: 1\r$`)
}

// firstWords are the first two of each command.
func firstWords(commands []string) (words []string) {
	for _, c := range commands {
		words = append(words, strings.Join(strings.Fields(c)[:2], " "))
	}
	return words
}

// admitted is how many of n requests to `fast` are answered; the others must have met a limit.
func (tour *tour) admitted(n int) (admitted int) {
	tour.t.Helper()
	client := httpClient(tour.t)
	for range n {
		r, err := do(client, http.MethodPost, tour.url+"/v1/chat/completions", ask("fast", ""))
		if err != nil {
			tour.t.Fatal(err)
		}
		switch r.Status {
		case http.StatusOK:
			admitted++
		case http.StatusTooManyRequests:
		default:
			tour.t.Fatalf("%d: %s", r.Status, r.Body)
		}
	}
	return admitted
}
