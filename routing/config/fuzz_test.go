package config

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/nestor-gateway/nestor/routing/config/tree"
)

const secretMark = "zq-secret-zq"

// FuzzDecode checks what holds for any bytes: no panic, every place lies in the file, no diagnostic shows a
// secret, and reading in pieces gives what reading whole does.
func FuzzDecode(f *testing.F) {
	for _, pattern := range []string{"testdata/seeds/*.yaml", "testdata/invalid/*.yaml", "testdata/valid/*.yaml"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			f.Fatal(err)
		}
		for _, file := range files {
			src, err := os.ReadFile(file)
			if err != nil {
				f.Fatal(err)
			}
			if len(src) < 8<<10 {
				f.Add(src)
			}
		}
	}
	environment := func(name string) (string, bool) { return secretMark, !strings.Contains(name, "NOT") }
	f.Fuzz(func(t *testing.T, src []byte) {
		if len(src) > 64<<10 {
			return
		}
		whole := decodeBy("c.yaml", src, tree.NoSplitting(), environment, nil)
		cfg, err := finish(whole)
		pieces, piecesErr := finish(decodeBy("c.yaml", src, tree.Splitting{From: 0, Piece: 64}, environment, nil))
		if diff := cmp.Diff(fmt.Sprint(err), fmt.Sprint(piecesErr)); diff != "" {
			t.Fatalf("in pieces (-whole +pieces):\n%s", diff)
		}
		if diff := cmp.Diff(cfg, pieces, cmpopts.EquateComparable(netip.Prefix{})); diff != "" {
			t.Fatalf("in pieces (-whole +pieces):\n%s", diff)
		}
		var said []Diagnostic
		if err != nil {
			bad, ok := errors.AsType[*Error](err)
			if !ok || len(bad.Problems) == 0 {
				t.Fatalf("error %v", err)
			}
			said = bad.Problems
		} else {
			said = cfg.Warnings
			for _, e := range cfg.Entries {
				said = append(said, Diagnostic{At: e.Position, Message: e.Problem})
			}
		}
		secrets := secretsOf(src)
		lines := strings.Split(string(src), "\n")
		for _, d := range said {
			checkPlace(t, d, lines)
			for _, secret := range secrets {
				if strings.Contains(d.Message+d.Hint, secret) {
					t.Fatalf("%q shows a secret", d.Message)
				}
			}
		}
	})
}

func checkPlace(t *testing.T, d Diagnostic, lines []string) {
	t.Helper()
	if d.At.Line == 0 && strings.Contains(d.Message, "are not shown") {
		return
	}
	if d.At.Line < 1 || d.At.Line > len(lines) || d.At.Column < 1 ||
		d.At.Column > utf8.RuneCountInString(lines[d.At.Line-1])+1 {
		t.Fatalf("%s: no such place", d)
	}
}

// secretsOf finds what credentials are set to, where it is long and stands nowhere else.
func secretsOf(src []byte) []string {
	secrets := []string{secretMark}
	seen := map[*tree.Node]bool{}
	var walk func(n *tree.Node)
	walk = func(n *tree.Node) {
		if seen[n] {
			return
		}
		seen[n] = true
		for _, p := range n.Pairs {
			switch p.Key.Text {
			case "api_key", "master_key", "redis_password", "redis_url", "password", "url", "sentinel_password", "database_url":
				if _, isReference := reference(p.Value); !isReference && len(p.Value.Text) >= 8 && strings.Count(string(src), p.Value.Text) == 1 {
					secrets = append(secrets, p.Value.Text)
				}
			}
			walk(p.Value)
		}
		for _, item := range n.Items {
			walk(item)
		}
	}
	if len(src) < 4<<10 {
		if root := tree.Parse(string(src), "", 0, tree.NewReport(), tree.NewAnchors()); root != nil {
			walk(root)
		}
	}
	return secrets
}
