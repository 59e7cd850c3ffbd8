package test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	goyaml "github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"
)

// composeFile is what this test reads of docker-compose.yaml.
type composeFile struct {
	Services map[string]composeService
}

type composeService struct {
	Image       string
	Entrypoint  []string
	Command     []string
	Environment map[string]string
	Volumes     []string
	Ports       []string
	DependsOn   map[string]struct{ Condition string } `yaml:"depends_on"`
	Healthcheck *struct{ Test []string }
}

// composition runs the services of docker-compose.yaml as processes of this machine: the host
// names become loopback, every port a free one, every volume a folder.
type composition struct {
	t     *testing.T
	dir   string
	file  composeFile
	ports map[string]string // the file's port -> the one here
	paths *strings.Replacer
}

const composeAddress = `(0\.0\.0\.0|127\.0\.0\.1|redis|nestor|envoy|groq|cerebras):(\d+)`

func TestComposeFileServesARequest(t *testing.T) {
	c := compose(t)
	t.Setenv("LITELLM_MASTER_KEY", expand(c.file.Services["nestor"].Environment["LITELLM_MASTER_KEY"]))
	c.redis()
	for _, name := range []string{"groq", "cerebras", "nestor"} {
		c.start(name)
	}
	c.healthy("nestor")
	if status := c.start("bootstrap").exitStatus(t, 10*time.Second); status != 0 {
		t.Fatalf("bootstrap ended with %d", status)
	}
	c.start("envoy")
	c.healthy("envoy")

	url := "http://127.0.0.1:" + c.ports["4000"]
	var status int
	var body string
	eventually(t, 20*time.Second, "a chat completion through Envoy", func() bool {
		status, body = chat(t.Context(), url, os.Getenv("LITELLM_MASTER_KEY"))
		return status == http.StatusOK
	})
	if !strings.Contains(body, `"object":"chat.completion"`) {
		t.Errorf("answer = %s", body)
	}
	c.gets(url+"/v1/models", `"id":"fast"`)
	c.gets(url+"/health", `"healthy_count":3`, `"unhealthy_count":0`)
	if status, _ := chat(t.Context(), url, "sk-wrong"); status != http.StatusUnauthorized {
		t.Errorf("with another key the status is %d, want 401", status)
	}
}

func TestComposeFileWaitsForWhatItNeeds(t *testing.T) {
	file := readCompose(t)
	waits := map[string]map[string]string{}
	for name, service := range file.Services {
		for on, how := range service.DependsOn {
			if waits[name] == nil {
				waits[name] = map[string]string{}
			}
			waits[name][on] = how.Condition
			if how.Condition == "service_healthy" && file.Services[on].Healthcheck == nil {
				t.Errorf("%s waits for the health of %s, which has no check", name, on)
			}
		}
	}
	want := map[string]map[string]string{
		"envoy":  {"bootstrap": "service_completed_successfully", "nestor": "service_healthy"},
		"nestor": {"redis": "service_healthy"},
	}
	if diff := cmp.Diff(want, waits); diff != "" {
		t.Errorf("depends_on (-want +got):\n%s", diff)
	}
	for name, service := range file.Services {
		for _, port := range service.Ports {
			if !strings.HasPrefix(port, "127.0.0.1:") {
				t.Errorf("%s publishes %s beyond this machine", name, port)
			}
		}
	}
}

func readCompose(t *testing.T) composeFile {
	t.Helper()
	var file composeFile
	if err := goyaml.Unmarshal([]byte(readFile(t, filepath.Join("..", "docker-compose.yaml"))), &file); err != nil {
		t.Fatal(err)
	}
	return file
}

func compose(t *testing.T) *composition {
	t.Helper()
	c := &composition{t: t, dir: t.TempDir(), file: readCompose(t), ports: map[string]string{}}
	config := readFile(t, filepath.Join("..", "examples", "docker-compose", "config.yaml"))
	c.choosePorts(config)
	for _, folder := range []string{"bootstrap", "config"} {
		if err := os.Mkdir(filepath.Join(c.dir, folder), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	c.paths = strings.NewReplacer("/bootstrap/", c.dir+"/bootstrap/", "/etc/nestor/", c.dir+"/config/",
		"/dev/tcp/127.0.0.1/4000", "/dev/tcp/127.0.0.1/"+c.ports["4000"])
	if err := os.WriteFile(filepath.Join(c.dir, "config", "config.yaml"), []byte(c.here(config)), 0o600); err != nil {
		t.Fatal(err)
	}
	// The nestor and the Envoy under test are found by name, as in their images.
	programs := filepath.Join(c.dir, "programs")
	if err := os.Mkdir(programs, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, path := range map[string]string{"nestor": binary(t), "envoy": need(t, "envoy")} {
		if err := os.Symlink(path, filepath.Join(programs, name)); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", programs+":"+os.Getenv("PATH"))
	t.Setenv("NESTOR_DATA_DIR", c.dir)
	return c
}

// choosePorts gives every port that the services speak of a free one.
func (c *composition) choosePorts(config string) {
	c.t.Helper()
	text := []string{config}
	for _, service := range c.file.Services {
		text = append(text, service.Command...)
	}
	var named []string
	for _, m := range regexp.MustCompile(composeAddress).FindAllStringSubmatch(strings.Join(text, "\n"), -1) {
		named = append(named, m[2])
	}
	slices.Sort(named)
	named = slices.Compact(named)
	for i, address := range freeAddresses(c.t, len(named)) {
		_, port, err := net.SplitHostPort(address)
		if err != nil {
			c.t.Fatal(err)
		}
		c.ports[named[i]] = port
	}
}

// here replaces addresses by those of this machine.
func (c *composition) here(text string) string {
	pattern := regexp.MustCompile(composeAddress)
	return pattern.ReplaceAllStringFunc(text, func(address string) string {
		return "127.0.0.1:" + c.ports[pattern.FindStringSubmatch(address)[2]]
	})
}

// start runs a service's command. Images of ours have nestor as their entry point.
func (c *composition) start(name string) *process {
	c.t.Helper()
	service, ok := c.file.Services[name]
	if !ok {
		c.t.Fatalf("docker-compose.yaml has no service %s", name)
	}
	entry := service.Entrypoint
	if entry == nil && service.Image == "nestor" {
		entry = []string{"nestor"}
	}
	argv := c.native(slices.Concat(entry, service.Command))
	p := launch(c.t, c.dir, name+".log", argv[0], argv[1:]...)
	c.t.Cleanup(func() {
		if c.t.Failed() {
			c.t.Logf("%s wrote:\n%s", name, lastLines([]byte(readFile(c.t, p.output)), 20))
		}
	})
	return p
}

func (c *composition) native(argv []string) []string {
	out := make([]string, len(argv))
	for i, a := range argv {
		out[i] = c.paths.Replace(c.here(a))
		if port, ok := c.ports[a]; ok {
			out[i] = port
		}
	}
	return out
}

// healthy waits until the service's own health check passes.
func (c *composition) healthy(name string) {
	c.t.Helper()
	test := c.file.Services[name].Healthcheck.Test
	if len(test) < 2 || test[0] != "CMD" {
		c.t.Fatalf("the health check of %s is %q, want a CMD", name, test)
	}
	argv := c.native(test[1:])
	eventually(c.t, 20*time.Second, fmt.Sprintf("%s is healthy by %q", name, argv), func() bool {
		return exec.Command(argv[0], argv[1:]...).Run() == nil
	})
}

// redis starts the service with the Redis of the tests. Its health check needs a redis-cli, which not every
// machine with a server has; without one a PING of this process stands in.
func (c *composition) redis() {
	c.t.Helper()
	program := os.Getenv("NESTOR_TEST_REDIS")
	if program == "" {
		if _, err := exec.LookPath("redis-server"); err != nil {
			program = need(c.t, "redis")
		}
	}
	if program != "" {
		c.t.Setenv("PATH", filepath.Dir(program)+string(filepath.ListSeparator)+os.Getenv("PATH"))
	}
	c.start("redis")
	if _, err := exec.LookPath("redis-cli"); err == nil {
		c.healthy("redis")
		return
	}
	eventually(c.t, 10*time.Second, "Redis answers", func() bool {
		conn, err := net.Dial("tcp", "127.0.0.1:"+c.ports["6379"])
		if err != nil {
			return false
		}
		defer conn.Close()
		_, _ = io.WriteString(conn, "PING\r\n")
		answer := make([]byte, len("+PONG"))
		_, err = io.ReadFull(conn, answer)
		return err == nil && string(answer) == "+PONG"
	})
}

// chat asks for one completion.
func chat(ctx context.Context, url, key string) (status int, body string) {
	ask := `{"model": "fast", "messages": [{"role": "user", "content": "Hello"}]}`
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url+"/v1/chat/completions", strings.NewReader(ask))
	if err != nil {
		return 0, err.Error()
	}
	req.Header.Set("Authorization", "Bearer "+key)
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, err.Error()
	}
	return resp.StatusCode, string(b)
}

// gets asks for a page of the HTTP port, through Envoy.
func (c *composition) gets(url string, want ...string) {
	c.t.Helper()
	got, err := do(httpClient(c.t), http.MethodGet, url, "", bearer(os.Getenv("LITELLM_MASTER_KEY"))...)
	if err != nil || got.Status != http.StatusOK {
		c.t.Fatalf("GET %s: %d %s, %v", url, got.Status, got.Body, err)
	}
	for _, text := range want {
		if !strings.Contains(string(got.Body), text) {
			c.t.Errorf("GET %s has no %s: %s", url, text, got.Body)
		}
	}
}

// expand does what compose does with ${NAME:-default}.
func expand(value string) string {
	m := regexp.MustCompile(`^\$\{(\w+):-(.*)\}$`).FindStringSubmatch(value)
	if m == nil {
		return os.ExpandEnv(value)
	}
	if set := os.Getenv(m[1]); set != "" {
		return set
	}
	return m[2]
}
