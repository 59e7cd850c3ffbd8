package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/nestor-gateway/nestor/cmd/nestor/draw"
	"github.com/nestor-gateway/nestor/routing/config"
)

func writeConfig(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "config.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestThousandsOfErrorsAreCutShort(t *testing.T) {
	bad := &config.Error{}
	for range mostErrors + 50 {
		bad.Problems = append(bad.Problems, config.Diagnostic{Message: "wrong"})
	}
	var stderr strings.Builder
	if err := report(&stderr, fmt.Errorf("read: %w", bad)); !errors.Is(err, errReported) {
		t.Fatalf("error %v", err)
	}
	want := strings.Repeat("error: wrong\n", mostErrors) + "error: and 50 more\n"
	if diff := cmp.Diff(want, stderr.String()); diff != "" {
		t.Error(diff)
	}
}

func TestADrawingIsNoWiderForADeepConfig(t *testing.T) {
	var text strings.Builder
	text.WriteString("model_list:\n")
	for i := range 2000 {
		fmt.Fprintf(&text, "  - {model_name: g%d, litellm_params: {model: g%d}}\n", i, i+1)
	}
	text.WriteString("  - {model_name: g2000, litellm_params: {model: groq/x, api_key: k}}\n")
	e, err := explainFile(writeConfig(t, text.String()), "g0", nil, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	draw.Explanation(&out, e)
	for line := range strings.Lines(out.String()) {
		if n := utf8.RuneCountInString(line); n > 500 {
			t.Fatalf("a line of %d characters", n)
		}
	}
	if !strings.Contains(out.String(), "too deep to draw") || !strings.Contains(out.String(), "100.00 %  groq/x") {
		t.Error("neither says what is missing nor names the deployment below")
	}
}
