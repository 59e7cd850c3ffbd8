package envoy

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func inbandOptions() Options {
	o := goldenOptions()
	o.Inband = true
	return o
}

func TestTheInbandListener(t *testing.T) {
	o, err := inbandOptions().withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	got, err := marshal(inbandListener(o))
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "listener_inband", got)
}

func TestInbandNeedsNothingButTheProcessor(t *testing.T) {
	config, err := Static(inbandOptions(), goldenUpstreams())
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{"lua", "json_to_metadata", "access_log\":", "nestor-log", "\"attempt\""} {
		if strings.Contains(string(config), part) {
			t.Errorf("there is %s", part)
		}
	}
}

func TestEnvoyTakesTheInbandConfiguration(t *testing.T) {
	if testing.Short() {
		t.Skip("needs an Envoy")
	}
	binary := os.Getenv("NESTOR_TEST_ENVOY")
	if binary == "" {
		t.Fatal("NESTOR_TEST_ENVOY is not set: it names the Envoy to test with (`make envoy` prints one), or use -short")
	}
	o := inbandOptions()
	o.CAFile = ""
	for name, make := range map[string]func() ([]byte, error){
		"bootstrap": func() ([]byte, error) { return Bootstrap(o) },
		"static":    func() ([]byte, error) { return Static(o, goldenUpstreams()) },
	} {
		config, err := make()
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(t.TempDir(), "envoy.json")
		if err := os.WriteFile(path, config, 0o600); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command(binary, "--mode", "validate", "-c", path).CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
	}
}
