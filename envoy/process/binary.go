package process

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"time"
)

// ErrNoBinary says that no Envoy program was found where it was looked for.
var ErrNoBinary = errors.New("no envoy program found; name one with --envoy or $ENVOY, or put envoy 1.38 or newer on PATH")

// The oldest Envoy that the configuration is written for.
const (
	leastMajor = 1
	leastMinor = 38
)

const versionTimeout = 10 * time.Second

// FindBinary returns the absolute path and version ("1.40.0") of the Envoy to run: explicit
// when it is not empty, else `envoy` on PATH.
// A program that is older than 1.38 or that is no Envoy is an error, not passed over,
// so that nobody runs another Envoy than the one they think.
func FindBinary(ctx context.Context, explicit string) (path, version string, err error) {
	path, err = locate(explicit)
	if err != nil {
		return "", "", err
	}
	if path, err = filepath.Abs(path); err != nil {
		return "", "", fmt.Errorf("envoy program: %w", err)
	}
	version, err = binaryVersion(ctx, path)
	if err != nil {
		return "", "", err
	}
	return path, version, nil
}

func locate(explicit string) (string, error) {
	if explicit != "" {
		path, err := exec.LookPath(explicit)
		if err != nil {
			return "", fmt.Errorf("envoy program %q: %w", explicit, err)
		}
		return path, nil
	}
	path, err := exec.LookPath("envoy")
	if err != nil {
		return "", ErrNoBinary
	}
	return path, nil
}

func binaryVersion(ctx context.Context, path string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, versionTimeout)
	defer cancel()
	out, err := exec.CommandContext(ctx, path, "--version").Output()
	if err != nil {
		return "", fmt.Errorf("ask %s for its version: %w", path, err)
	}
	version, ok := parseVersion(string(out))
	if !ok {
		return "", fmt.Errorf("%s --version does not look like Envoy's: %.80q", path, out)
	}
	if !recent(version) {
		return "", fmt.Errorf("%s is envoy %s, but %d.%d or newer is needed; name a newer one with --envoy or $ENVOY",
			path, version, leastMajor, leastMinor)
	}
	return version, nil
}

// parseVersion reads "envoy  version: COMMIT/1.40.0/Clean/RELEASE/BoringSSL".
func parseVersion(out string) (string, bool) {
	m := regexp.MustCompile(`version: [0-9a-f]*/(\d+\.\d+\.\d+[^/\s]*)/`).FindStringSubmatch(out)
	if m == nil {
		return "", false
	}
	return m[1], true
}

func recent(version string) bool {
	m := regexp.MustCompile(`^(\d+)\.(\d+)`).FindStringSubmatch(version)
	if m == nil {
		return false
	}
	major, errMajor := strconv.Atoi(m[1])
	minor, errMinor := strconv.Atoi(m[2])
	if errMajor != nil || errMinor != nil {
		return false
	}
	return major > leastMajor || major == leastMajor && minor >= leastMinor
}
