package envoy

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"

	"github.com/nestor-gateway/nestor/envoy/cluster"
	"github.com/nestor-gateway/nestor/routing"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func goldenOptions() Options {
	return Options{
		Listen: ":4000", Processors: []string{"127.0.0.1:4001"}, API: "127.0.0.1:4002", Admin: "127.0.0.1:4003", CAFile: "/ca.pem",
	}
}

func goldenUpstreams() []routing.Upstream {
	return []routing.Upstream{
		{Name: "http_127.0.0.1_8000", Scheme: "http", Host: "127.0.0.1", Port: 8000},
		{Name: "http_vllm_8000", Scheme: "http", Host: "vllm", Port: 8000},
		{Name: "https_10.0.0.1_8443", Scheme: "https", Host: "10.0.0.1", Port: 8443},
		{Name: "https_api.openai.com_443", Scheme: "https", Host: "api.openai.com", Port: 443},
	}
}

func TestTranslators(t *testing.T) {
	o, err := goldenOptions().withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	two := o
	two.Processors = []string{"127.0.0.1:4001", "nestor:4001"}
	messages := map[string]proto.Message{
		"listener_client":        clientListener(o),
		"listener_attempt":       attemptListener(o),
		"cluster_attempt":        cluster.Attempt(),
		"cluster_api":            cluster.API(o.API),
		"cluster_ads":            cluster.ADS(o.Processors),
		"cluster_processor":      cluster.Processor(o.Processors),
		"cluster_processors_two": cluster.Processor(two.Processors),
		"cluster_log":            cluster.Log(o.Processors),
	}
	for _, u := range goldenUpstreams() {
		messages["cluster_"+u.Name] = cluster.Upstream(u, o.CAFile)
	}
	for name, m := range messages {
		got, err := marshal(m)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		golden(t, name, got)
	}
}

func TestBootstraps(t *testing.T) {
	dynamic, err := Bootstrap(goldenOptions())
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "bootstrap", dynamic)
	two := goldenOptions()
	two.Processors = []string{"127.0.0.1:4001", "nestor:4001"}
	dynamicTwo, err := Bootstrap(two)
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "bootstrap_two", dynamicTwo)
}

func TestTheSameInputMakesTheSameBytes(t *testing.T) {
	first, err := Static(goldenOptions(), goldenUpstreams())
	if err != nil {
		t.Fatal(err)
	}
	for range 20 {
		again, err := Static(goldenOptions(), goldenUpstreams())
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(first, again) {
			t.Fatal("the configuration differs from one time to the next")
		}
	}
}

func TestEnvoyTakesEveryConfiguration(t *testing.T) {
	binary := os.Getenv("NESTOR_TEST_ENVOY")
	if testing.Short() {
		t.Skip("needs an Envoy")
	}
	if binary == "" {
		t.Fatal("NESTOR_TEST_ENVOY is not set: it names the Envoy to test with (`make envoy` prints one), or use -short")
	}
	o := goldenOptions()
	o.CAFile = ""
	two := o
	two.Processors = []string{"127.0.0.1:4001", "localhost:4005"}
	for name, make := range map[string]func() ([]byte, error){
		"bootstrap":             func() ([]byte, error) { return Bootstrap(o) },
		"bootstrap, two":        func() ([]byte, error) { return Bootstrap(two) },
		"static":                func() ([]byte, error) { return Static(o, goldenUpstreams()) },
		"static, two":           func() ([]byte, error) { return Static(two, goldenUpstreams()) },
		"static, no deployment": func() ([]byte, error) { return Static(o, nil) },
	} {
		config, err := make()
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(t.TempDir(), "envoy.json")
		if err := os.WriteFile(path, config, 0o600); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.CommandContext(t.Context(), binary, "--mode", "validate", "-c", path).CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", name, err, out[max(0, len(out)-2000):])
		}
	}
}

func TestOptionsThatCannotBeUsed(t *testing.T) {
	for want, change := range map[string]func(*Options){
		`listen address: address "4000": want host:port, for example 127.0.0.1:4001`: func(o *Options) { o.Listen = "4000" },
		`listen address: address "nestor:4000": the host must be an IP address`:      func(o *Options) { o.Listen = "nestor:4000" },
		`admin address: address ":": the port must be a number up to 65535`:          func(o *Options) { o.Admin = ":" },
		`address ":http": the port must be a number up to 65535`:                     func(o *Options) { o.API = ":http" },
		`no address of the processor's gRPC port is given`:                           func(o *Options) { o.Processors = nil },
		`address "nestor": want host:port, for example 127.0.0.1:4001`:               func(o *Options) { o.Processors = append(o.Processors, "nestor") },
		`body limit 1073741824: the most is 1073741823 bytes`:                        func(o *Options) { o.BodyLimit = 1 << 30 },
	} {
		o := goldenOptions()
		change(&o)
		_, err := Bootstrap(o)
		if err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
		if updateErr := NewServer(o).Update(t.Context(), nil); updateErr == nil || updateErr.Error() != want {
			t.Errorf("Update: got %v, want %s", updateErr, want)
		}
	}
}

func TestTheDistributionsBundleIsFound(t *testing.T) {
	there := func(path string) func(string) (fs.FileInfo, error) {
		return func(p string) (fs.FileInfo, error) {
			if p == path {
				return file{}, nil
			}
			return nil, errors.New("no such file")
		}
	}
	got := []string{SystemCAFile(there("/etc/ssl/ca-bundle.pem")), SystemCAFile(there("nowhere"))}
	if diff := cmp.Diff([]string{"/etc/ssl/ca-bundle.pem", "/etc/ssl/certs/ca-certificates.crt"}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// file is a plain file.
type file struct{ fs.FileInfo }

func (file) IsDir() bool { return false }

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name+".json")
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(decode(t, want), decode(t, got)); diff != "" {
		t.Errorf("%s (-want +got):\n%s", path, diff)
	}
}

func decode(t *testing.T, raw []byte) (v any) {
	t.Helper()
	if err := json.Unmarshal(raw, &v); err != nil {
		t.Fatal(err)
	}
	return v
}
