package test

import (
	"bufio"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// samples are the values of /metrics, by name with labels as they are printed.
type samples map[string]float64

// metrics reads those of nestor.
func (g *gateway) metrics() samples {
	g.t.Helper()
	return read(g.t, g.http+"/metrics")
}

// envoyStats reads those of Envoy.
func (g *gateway) envoyStats() samples {
	g.t.Helper()
	return read(g.t, g.admin+"/stats/prometheus?usedonly")
}

func read(t *testing.T, url string) samples {
	t.Helper()
	got, err := do(httpClient(t), http.MethodGet, url, "")
	if err != nil || got.Status != http.StatusOK {
		t.Fatalf("%s: %d, %v", url, got.Status, err)
	}
	found := samples{}
	lines := bufio.NewScanner(strings.NewReader(got.Body))
	for lines.Scan() {
		name, value, ok := cutLast(lines.Text())
		number, err := strconv.ParseFloat(value, 64)
		if ok && err == nil && !strings.HasPrefix(name, "#") {
			found[name] = number
		}
	}
	return found
}

// cutLast splits at the last space.
func cutLast(line string) (before, after string, ok bool) {
	i := strings.LastIndexByte(line, ' ')
	if i < 0 {
		return line, "", false
	}
	return line[:i], line[i+1:], true
}

// sum adds up the samples of a metric whose labels have all of those given, each as name="value".
func (s samples) sum(metric string, labels ...string) float64 {
	var total float64
	for name, value := range s {
		if name != metric && !strings.HasPrefix(name, metric+"{") {
			continue
		}
		if !slices.ContainsFunc(labels, func(label string) bool { return !strings.Contains(name, label) }) {
			total += value
		}
	}
	return total
}

// only are the samples of one metric.
func (s samples) only(metric string) samples {
	found := maps.Clone(s)
	maps.DeleteFunc(found, func(name string, _ float64) bool { return !strings.HasPrefix(name, metric+"{") })
	return found
}

// settles waits until a metric has these samples and no others: they come with the access log, a little later.
func (g *gateway) settles(metric string, want samples) {
	g.t.Helper()
	var got samples
	if !soon(5*time.Second, func() bool { got = g.metrics().only(metric); return cmp.Equal(want, got) }) {
		g.t.Errorf("%s (-want +got):\n%s", metric, cmp.Diff(want, got))
	}
}
