package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func update() bool {
	f := flag.Lookup("update")
	return f != nil && f.Value.String() == "true"
}

func TestMain(m *testing.M) {
	flag.Bool("update", false, "rewrite the golden files")
	flag.Parse()
	os.Exit(m.Run())
}

// golden compares text with a file, or writes the file.
func golden(t *testing.T, path, got string) {
	t.Helper()
	if update() {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", path, diff)
	}
}

// env is an environment for tests.
func env(values map[string]string) func(string) (string, bool) {
	return func(name string) (string, bool) {
		value, ok := values[name]
		return value, ok
	}
}

// render writes diagnostics as the command line does, paths shortened to the file's name.
func render(kind string, all []Diagnostic) string {
	var b strings.Builder
	for _, d := range all {
		d.At.File = filepath.Base(d.At.File)
		fmt.Fprintf(&b, "%s: %s\n", kind, d)
		if d.Hint != "" {
			fmt.Fprintf(&b, "hint: %s\n", d.Hint)
		}
	}
	return b.String()
}

func problems(t *testing.T, err error) []Diagnostic {
	t.Helper()
	bad, ok := errors.AsType[*Error](err)
	if !ok {
		t.Fatalf("got error %v, want a *config.Error", err)
	}
	return bad.Problems
}

func TestSeedsDecodeToTheirGoldenFiles(t *testing.T) {
	decodesToGolden(t, "testdata/seeds", map[string]string{"OPENAI_API_KEY": "sk-test"})
}

func TestValidFilesDecodeToTheirGoldenFiles(t *testing.T) {
	decodesToGolden(t, "testdata/valid", map[string]string{"KEY": "sk-very-secret", "NUMBER": "12", "TRUE": "True", "EMPTY": ""})
}

func decodesToGolden(t *testing.T, folder string, variables map[string]string) {
	files, err := filepath.Glob(folder + "/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatal("no files", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			cfg, err := Load(file, env(variables))
			if err != nil {
				t.Fatal(err)
			}
			text := render("warning", cfg.Warnings)
			cfg.Warnings = nil
			var b bytes.Buffer
			e := json.NewEncoder(&b)
			e.SetIndent("", "  ")
			e.SetEscapeHTML(false)
			if err := e.Encode(cfg); err != nil {
				t.Fatal(err)
			}
			golden(t, strings.TrimSuffix(file, ".yaml")+".golden", text+strings.ReplaceAll(b.String(), folder+"/", ""))
		})
	}
}

func TestInvalidFilesAreExplained(t *testing.T) {
	files, err := filepath.Glob("testdata/invalid/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatal("no files", err)
	}
	environment := env(map[string]string{"SECRET_TEXT": "sk-very-secret", "TWO_LINES": "sk-very\nsecret"})
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			_, err := Load(file, environment)
			text := strings.ReplaceAll(render("error", problems(t, err)), "testdata/invalid/", "")
			if strings.Contains(text, "very-secret") {
				t.Errorf("a secret is shown:\n%s", text)
			}
			golden(t, strings.TrimSuffix(file, ".yaml")+".golden", text)
		})
	}
}
