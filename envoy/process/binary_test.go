package process_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nestor-gateway/nestor/envoy/process"
)

// fakeEnvoy writes a program that answers --version as an Envoy of that version does.
func fakeEnvoy(t *testing.T, dir, version string) string {
	t.Helper()
	path := filepath.Join(dir, "envoy")
	script := fmt.Sprintf("#!/bin/sh\necho\necho \"$0  version: 9e558093/%s/Clean/RELEASE/BoringSSL\"\n", version)
	if err := os.WriteFile(path, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestFindBinaryPrefersWhatWasNamedToThePath(t *testing.T) {
	onPath := fakeEnvoy(t, t.TempDir(), "1.38.0")
	named := fakeEnvoy(t, t.TempDir(), "1.40.0")
	t.Setenv("PATH", filepath.Dir(onPath)+":/bin:/usr/bin")

	for _, tc := range []struct{ name, explicit, path, version string }{
		{"named", named, named, "1.40.0"},
		{"PATH", "", onPath, "1.38.0"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			path, version, err := process.FindBinary(t.Context(), tc.explicit)
			if err != nil || path != tc.path || version != tc.version {
				t.Errorf("FindBinary = %q, %q, %v; want %q, %q", path, version, err, tc.path, tc.version)
			}
		})
	}
}

func TestFindBinaryMakesARelativePathAbsolute(t *testing.T) {
	named := fakeEnvoy(t, t.TempDir(), "1.40.0")
	t.Chdir(filepath.Dir(named))
	path, _, err := process.FindBinary(t.Context(), "./envoy")
	if err != nil || path != named {
		t.Errorf("FindBinary = %q, %v; want %q", path, err, named)
	}
}

func TestFindBinaryRefusesWhatWouldNotWork(t *testing.T) {
	stranger := filepath.Join(t.TempDir(), "envoy")
	if err := os.WriteFile(stranger, []byte("#!/bin/sh\necho envoy of the king\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", t.TempDir()+":/bin:/usr/bin")

	for _, tc := range []struct{ name, explicit, want string }{
		{"older than needed", fakeEnvoy(t, t.TempDir(), "1.37.9"), "is envoy 1.37.9, but 1.38 or newer is needed"},
		{"much older", fakeEnvoy(t, t.TempDir(), "0.99.0"), "1.38 or newer is needed"},
		{"not an envoy", stranger, "does not look like Envoy's"},
		{"named but missing", filepath.Join(t.TempDir(), "envoy"), "no such file"},
		{"nothing anywhere", "", "no envoy program found"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			path, _, err := process.FindBinary(t.Context(), tc.explicit)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("FindBinary = %q, %v; want an error with %q", path, err, tc.want)
			}
		})
	}
}
