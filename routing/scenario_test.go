package routing_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/nestor-gateway/nestor/routing"
	"github.com/nestor-gateway/nestor/routing/config"
	"github.com/nestor-gateway/nestor/routing/explain"
)

// TestScenarios runs the files of testdata/scenario: a config.yaml, what to ask, and what must come out.
// With -update the last part is rewritten.
func TestScenarios(t *testing.T) {
	files, err := filepath.Glob("testdata/scenario/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scenarios: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) { runScenario(t, file) })
	}
}

func runScenario(t *testing.T, file string) {
	archive, err := txtar.ParseFile(file)
	if err != nil {
		t.Fatal(err)
	}
	part := map[string]*txtar.File{}
	for i := range archive.Files {
		part[archive.Files[i].Name] = &archive.Files[i]
	}
	if part["config.yaml"] == nil || part["ask"] == nil || part["want"] == nil {
		t.Fatal("a scenario has the parts config.yaml, ask and want")
	}
	got := answers(t, part["config.yaml"].Data, string(part["ask"].Data))
	if *update {
		part["want"].Data = []byte(got)
		if err := os.WriteFile(file, txtar.Format(archive), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(string(part["want"].Data), got); diff != "" {
		t.Error(diff)
	}
}

// answers compiles a config and answers questions about it, one a line.
func answers(t *testing.T, yaml []byte, ask string) string {
	var out strings.Builder
	cfg, err := config.Decode("config.yaml", yaml, func(string) (string, bool) { return "", false })
	if err != nil {
		t.Fatal(err)
	}
	s, notes, err := routing.Compile(cfg, fakeProviders{})
	writeDiagnostics(&out, "note", notes)
	var invalid *config.Error
	if errors.As(err, &invalid) {
		writeDiagnostics(&out, "error", invalid.Problems)
		return out.String()
	}
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(ask) {
		fmt.Fprint(&out, "> ", line)
		answer(&out, s, strings.Fields(line))
	}
	return out.String()
}

func writeDiagnostics(out *strings.Builder, kind string, all []config.Diagnostic) {
	for _, d := range all {
		fmt.Fprintf(out, "%s: %s\n", kind, d)
		if d.Hint != "" {
			fmt.Fprintf(out, "  hint: %s\n", d.Hint)
		}
	}
}

func answer(out *strings.Builder, s *routing.Snapshot, words []string) {
	switch words[0] {
	case "explain":
		writeExplanation(out, s, words[1], words[2:])
	case "resolve":
		writeTarget(out, s, words[1])
	case "models":
		for _, m := range s.Models() {
			fmt.Fprintf(out, "%s = %s alias:%v wildcard:%v rpm:%s tpm:%s %s\n",
				m.Name, m.Group, m.Alias, m.Wildcard, number(m.RPM), number(m.TPM), written(m.Deployments))
		}
	case "summary":
		fmt.Fprintf(out, "%+v\n", s.Summary())
	case "upstreams":
		for _, u := range s.Upstreams() {
			fmt.Fprintf(out, "%s = %s %s %d\n", u.Name, u.Scheme, u.Host, u.Port)
		}
	case "fallbacks":
		fmt.Fprintln(out, s.Fallbacks(routing.Class(words[2]), words[1]))
	case "settings":
		writeSettings(out, s, words[1], routing.Class(words[2]))
	default:
		fmt.Fprintln(out, "there is no such question")
	}
}

func number(n *int64) string {
	if n == nil {
		return "-"
	}
	return fmt.Sprint(*n)
}

func written(deployments []*routing.Deployment) []string {
	var names []string
	for _, d := range deployments {
		names = append(names, d.Written)
	}
	return names
}

func writeExplanation(out *strings.Builder, s *routing.Snapshot, model string, without []string) {
	e, err := s.Explain(model, without)
	if err != nil {
		fmt.Fprintln(out, "error:", err)
		return
	}
	for _, d := range e.Deployments {
		fmt.Fprintf(out, "%.4f %s %v", d.Probability, d.Model, d.Paths)
		if d.Unavailable != "" {
			fmt.Fprintf(out, " (%s)", d.Unavailable)
		}
		fmt.Fprintln(out)
	}
	writeTree(out, e.Tree, "  ")
}

func writeTree(out *strings.Builder, g *explain.Group, indent string) {
	if fmt.Fprintf(out, "%s%s", indent, g.Name); g.Shared {
		fmt.Fprint(out, " (above)")
	}
	fmt.Fprintln(out)
	for _, t := range g.Tiers {
		order := "last"
		if t.Order != nil {
			order = fmt.Sprint(*t.Order)
		}
		fmt.Fprintf(out, "%s  tier %s by %s active:%v\n", indent, order, t.Unit, t.Active)
		for _, m := range t.Members {
			name := ""
			if m.Deployment != nil {
				name = m.Deployment.Written
			} else {
				name = "-> " + m.Group.Name
			}
			fmt.Fprintf(out, "%s    %s share %.4f of all %.4f %s\n", indent, name, m.Share, m.Probability, m.Unavailable)
			if m.Group != nil {
				writeTree(out, m.Group, indent+"      ")
			}
		}
	}
}

func writeTarget(out *strings.Builder, s *routing.Snapshot, name string) {
	t, ok := s.Resolve(name)
	if !ok {
		fmt.Fprintln(out, "nothing")
		return
	}
	fmt.Fprintln(out, "group", t.Group, written(t.Deployments()))
	p, err := serve(s).View().Pick(context.Background(), t, routing.Query{})
	fmt.Fprintln(out, "pick", p.Model, p.Path, err)
}

func writeSettings(out *strings.Builder, s *routing.Snapshot, group string, class routing.Class) {
	t, _ := s.Resolve(group)
	for _, d := range t.Deployments() {
		unary, stream := s.Timeouts(d, group)
		fmt.Fprintf(out, "%s timeout %v stream %v retries %d\n", d.Written, unary, stream, s.Retries(d, group, class))
	}
}
