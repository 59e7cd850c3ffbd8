package main

import (
	"bytes"
	"fmt"
	"os"
	"runtime"
	"strings"
)

// machine says what was measured on, in one line.
func machine() string {
	kernel, _ := os.ReadFile("/proc/sys/kernel/osrelease")
	return fmt.Sprintf("%s, %d cores, %s memory, Linux %s", field("/proc/cpuinfo", "model name"), runtime.NumCPU(),
		memory(), bytes.TrimSpace(kernel))
}

// memory is that of the machine, in GiB.
func memory() string {
	var kibibytes float64
	if _, err := fmt.Sscan(field("/proc/meminfo", "MemTotal"), &kibibytes); err != nil {
		return "unknown"
	}
	return fmt.Sprintf("%.1f GiB", kibibytes/(1<<20))
}

// field finds "name : value" in a file of /proc.
func field(path, name string) string {
	text, _ := os.ReadFile(path)
	for line := range strings.Lines(string(text)) {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return "unknown"
}
