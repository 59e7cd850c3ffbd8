package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/nestor-gateway/nestor/"

// listedPackage is what `go list -json` tells of a package; test files are not in Imports.
type listedPackage struct {
	ImportPath string
	Imports    []string
}

// component is the folder under the module's root that a package belongs to.
func component(path string) string {
	name, _, _ := strings.Cut(strings.TrimPrefix(path, module), "/")
	return name
}

// isTestCode says whether a package serves tests only: those under test/, and suites as limitertest.
func isTestCode(path string) bool {
	return component(path) == "test" || strings.HasPrefix(path, module) && strings.HasSuffix(path, "test")
}

// layers says which components each component may import. All may import proto.
func layers() map[string][]string {
	return map[string][]string{
		"cmd":       {"access", "api", "envoy", "extproc", "ratelimit", "routing"},
		"api":       {"access", "ratelimit", "routing"},
		"extproc":   {"access", "ratelimit", "routing"},
		"envoy":     {"access", "ratelimit", "routing"},
		"access":    {"ratelimit", "routing"}, // routing/config, for its settings
		"routing":   {"ratelimit"},
		"ratelimit": {},
		"proto":     {},
	}
}

// fence keeps packages out of all the product but one folder.
type fence struct {
	imports []string // import paths, or folders with a "/" at the end
	inside  string   // the folder that may, "" for none
}

func fences() []fence {
	const api = "github.com/envoyproxy/go-control-plane/envoy/"
	return []fence{
		{inside: "cmd", imports: []string{"github.com/spf13/viper", "github.com/spf13/cobra", "github.com/spf13/pflag"}},
		{inside: "ratelimit/redis", imports: []string{"github.com/redis/go-redis/"}},
		{inside: "access/store", imports: []string{"database/sql", "database/sql/", "github.com/jackc/pgx/", "github.com/pressly/goose/", "modernc.org/sqlite"}},
		{inside: "extproc", imports: []string{api + "service/ext_proc/", api + "service/accesslog/"}},
		{inside: "envoy", imports: []string{
			"github.com/envoyproxy/go-control-plane/pkg/", api + "extensions/",
			api + "config/bootstrap/", api + "config/cluster/", api + "config/endpoint/", api + "config/listener/", api + "config/route/",
			api + "service/discovery/", api + "service/cluster/", api + "service/endpoint/", api + "service/listener/", api + "service/route/",
		}},
		{imports: []string{
			"testing", "testing/", "net/http/httptest", "pgregory.net/rapid", "go.uber.org/goleak",
			"github.com/google/go-cmp/", "github.com/rogpeppe/go-internal/", "github.com/alicebob/miniredis/",
		}},
	}
}

func (f fence) keepsOut(from, imported string) bool {
	inside := f.inside != "" && strings.HasPrefix(strings.TrimPrefix(from, module)+"/", f.inside+"/")
	return !inside && slices.ContainsFunc(f.imports, func(pattern string) bool {
		return imported == pattern || strings.HasSuffix(pattern, "/") && strings.HasPrefix(imported, pattern)
	})
}

// violation says what is wrong with an import of the product; "" when nothing is.
func violation(from, imported string) string {
	switch {
	case isTestCode(imported):
		return from + " imports test code: " + imported
	case strings.HasPrefix(imported, module):
		a, b := component(from), component(imported)
		if a != b && b != "proto" && !slices.Contains(layers()[a], b) {
			return from + " imports " + imported + ": " + a + " may not import " + b
		}
	}
	for _, f := range fences() {
		if f.keepsOut(from, imported) {
			return from + " imports " + imported + ", which only " + cmp.Or(f.inside, "tests") + " may"
		}
	}
	return ""
}

func TestImportsGoOneWay(t *testing.T) {
	var wrong []string
	seen := map[string]bool{}
	for _, p := range listPackages(t) {
		if isTestCode(p.ImportPath) {
			continue
		}
		seen[component(p.ImportPath)] = true
		if _, known := layers()[component(p.ImportPath)]; !known {
			wrong = append(wrong, p.ImportPath+" is in no component that the layout knows")
			continue
		}
		for _, imported := range p.Imports {
			if v := violation(p.ImportPath, imported); v != "" {
				wrong = append(wrong, v)
			}
		}
	}
	if len(wrong) > 0 {
		t.Errorf("imports that the layout forbids:\n%s", strings.Join(wrong, "\n"))
	}
	for _, name := range []string{"cmd", "api", "extproc", "envoy", "routing", "access", "proto"} {
		if !seen[name] {
			t.Errorf("no package of %s was looked at", name)
		}
	}
}

func TestImportRulesCatchWhatTheyAreFor(t *testing.T) {
	const cobra, xds = "github.com/spf13/cobra", "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	const exchange = "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	for _, tc := range []struct {
		from, imported string
		forbidden      bool
	}{
		{"cmd/nestor", module + "envoy", false},
		{"envoy", module + "extproc", true},
		{"extproc", module + "envoy", true},
		{"extproc/openai", module + "routing/config", false},
		{"routing", module + "extproc/provider", true},
		{"routing", module + "access", true},
		{"ratelimit", module + "routing", true},
		{"api", module + "cmd/nestor/mock", true},
		{"access", module + "proto/nestor/v1", false},
		{"cmd/nestor", cobra, false},
		{"routing", cobra, true},
		{"envoy", xds, false},
		{"extproc", xds, true},
		{"extproc", exchange, false},
		{"envoy", exchange, true},
		{"ratelimit/redis", "github.com/redis/go-redis/v9", false},
		{"ratelimit", "github.com/redis/go-redis/v9", true},
		{"access/store", "github.com/jackc/pgx/v5/stdlib", false},
		{"access", "database/sql", true},
		{"routing", "testing", true},
		{"ratelimit", module + "ratelimit/limitertest", true},
		{"cmd/nestor", module + "test/bench", true},
	} {
		if got := violation(module+tc.from, tc.imported); (got != "") != tc.forbidden {
			t.Errorf("%s importing %s: violation %q, want forbidden = %v", tc.from, tc.imported, got, tc.forbidden)
		}
	}
}

func listPackages(t *testing.T) []listedPackage {
	t.Helper()
	list := exec.Command("go", "list", "-json=ImportPath,Imports", module+"...")
	out, err := list.Output()
	if err != nil {
		t.Fatalf("%v: %v", list, err)
	}
	var packages []listedPackage
	for decoder := json.NewDecoder(bytes.NewReader(out)); ; {
		var p listedPackage
		err := decoder.Decode(&p)
		if errors.Is(err, io.EOF) {
			return packages
		}
		if err != nil {
			t.Fatal(err)
		}
		packages = append(packages, p)
	}
}
