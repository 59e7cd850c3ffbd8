package config

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"testing"
)

// large writes a config of n entries; with comments and parameters as people write them.
func large(n int) []byte {
	var b bytes.Buffer
	b.WriteString("# generated\nmodel_list:\n")
	for i := range n {
		fmt.Fprintf(&b, "  - model_name: group-%d\n    litellm_params:\n      model: openai/gpt-4o-%d\n      api_base: https://host-%d.example.com/v1\n      api_key: os.environ/KEY\n      rpm: %d\n", i/10, i, i%500, i%100+1)
	}
	b.WriteString("router_settings:\n  num_retries: 3\n")
	return b.Bytes()
}

// BenchmarkLoad reads a file of 100,000 entries; "whole" is the way of a file that can't be taken apart.
// peak-MB is the memory obtained from the system by then, a bound for this process's share of it.
func BenchmarkLoad(b *testing.B) {
	src := large(100_000)
	environment := env(map[string]string{"KEY": "sk-test"})
	for name, text := range map[string][]byte{
		"split": src,
		"whole": append(bytes.Clone(src), "x-last: &last {}\n"...),
	} {
		b.Run(name, func(b *testing.B) {
			path := filepath.Join(b.TempDir(), "config.yaml")
			if err := os.WriteFile(path, text, 0o600); err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				cfg, err := Load(path, environment)
				if err != nil || len(cfg.Entries) != 100_000 {
					b.Fatal(len(cfg.Entries), err)
				}
			}
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			b.ReportMetric(float64(m.Sys)/1e6, "peak-MB")
		})
	}
}
