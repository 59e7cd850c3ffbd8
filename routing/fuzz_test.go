package routing_test

import (
	"context"
	"math"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/nestor-gateway/nestor/routing"
	"github.com/nestor-gateway/nestor/routing/config"
)

// FuzzCompile: whatever the file says, it is refused or each of its names gives all of its requests, or none.
func FuzzCompile(f *testing.F) {
	files, err := filepath.Glob("testdata/scenario/*.txt")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		archive, err := txtar.ParseFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(archive.Files[0].Data)
	}
	f.Fuzz(func(t *testing.T, yaml []byte) {
		cfg, err := config.Decode("config.yaml", yaml, func(string) (string, bool) { return "", false })
		if err != nil {
			return
		}
		s, _, err := routing.Compile(cfg, fakeProviders{})
		if err != nil {
			return
		}
		v := serve(s).View()
		for _, m := range s.Models() {
			checkWhole(t, s, v, m)
		}
	})
}

func checkWhole(t *testing.T, s *routing.Snapshot, v *routing.View, m routing.Model) {
	e, err := s.Explain(m.Name, nil)
	if err != nil {
		t.Fatal(err)
	}
	total := 0.0
	for _, d := range e.Deployments {
		total += d.Probability
	}
	if total != 0 && math.Abs(total-1) > 1e-9 || math.IsNaN(total) {
		t.Fatalf("%q gives %v of its requests", m.Name, total)
	}
	to, _ := s.Resolve(m.Name)
	if _, err := v.Pick(context.Background(), to, routing.Query{}); (err == nil) != (total > 0) {
		t.Fatalf("%q explains %v and picks with %v", m.Name, total, err)
	}
}

func TestNumbersThatAreNone(t *testing.T) {
	for name, p := range map[string]config.Params{
		"negative weight": {Weight: pointer(-1.0)}, "weight without a value": {Weight: pointer(math.NaN())},
		"endless weight": {Weight: pointer(math.Inf(1))}, "negative rpm": {RPM: pointer(int64(-1))}, "negative tpm": {TPM: pointer(int64(-5))},
	} {
		t.Run(name, func(t *testing.T) {
			p.Model = "openai/x"
			if _, _, err := routing.Compile(&config.Config{Entries: []config.Entry{{Name: "g", Params: p}}}, fakeProviders{}); err == nil {
				t.Error("compiled")
			}
		})
	}
}
