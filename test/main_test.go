// Package test runs nestor as its users do: the program itself, a real Envoy, real SDKs, and mocks for providers.
//
// What it needs comes from the environment, and its absence is a failure, not a skip, unless
// NESTOR_TEST_WITHOUT (a list separated by commas: envoy, python, node, redis, postgres) says so:
//
//	NESTOR_TEST_ENVOY     an Envoy of at least 1.38
//	NESTOR_TEST_PYTHON    a Python with the openai package
//	NESTOR_TEST_NODE      a Node.js that finds the openai package (by NODE_PATH)
//	NESTOR_TEST_REDIS     a redis-server of at least 7.0; without it the one on PATH
//	NESTOR_TEST_POSTGRES  the folder of PostgreSQL's programs; without it that of the one on PATH, or Debian's
//
// NESTOR_TEST_BINARY names a nestor to test instead of a fresh build.
package test

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestMain(m *testing.M) {
	flag.Bool("update", false, "rewrite the golden files")
	flag.Parse()
	runTogether()
	os.Exit(build(m))
}

// runTogether has more tests at once than there are processors, unless -parallel says how many: the long ones
// wait for windows to pass.
func runTogether() {
	given := false
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == "test.parallel" })
	if !given {
		_ = flag.Set("test.parallel", "6")
	}
}

// build makes the program and runs the tests.
func build(m *testing.M) int {
	if os.Getenv("NESTOR_TEST_BINARY") == "" {
		path := filepath.Join("..", "bin", "nestor")
		out, err := exec.Command("go", "build", "-o", path, "../cmd/nestor").CombinedOutput()
		if err != nil {
			fmt.Fprintf(os.Stderr, "build nestor: %v\n%s", err, out)
			return 1
		}
	}
	return m.Run()
}

// binary returns the nestor under test.
func binary(t *testing.T) string {
	t.Helper()
	path := os.Getenv("NESTOR_TEST_BINARY")
	if path == "" {
		path = filepath.Join("..", "bin", "nestor")
	}
	whole, err := filepath.Abs(path)
	if err != nil {
		t.Fatal(err)
	}
	return whole
}

// need returns a program that the environment names. Without it the test fails, or is skipped when
// NESTOR_TEST_WITHOUT has the word.
func need(t *testing.T, word string) string {
	t.Helper()
	variable := "NESTOR_TEST_" + strings.ToUpper(word)
	if path := os.Getenv(variable); path != "" {
		return path
	}
	if slices.Contains(strings.Split(os.Getenv("NESTOR_TEST_WITHOUT"), ","), word) {
		t.Skipf("without %s, as NESTOR_TEST_WITHOUT says", word)
	}
	t.Fatalf("%s is not set: it names the %s to test with (NESTOR_TEST_WITHOUT=%s skips what needs it)", variable, word, word)
	return ""
}
