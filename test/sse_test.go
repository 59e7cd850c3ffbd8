package test

import (
	"bufio"
	"errors"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sync/errgroup"

	"github.com/nestor-gateway/nestor/cmd/nestor/mock"
)

// streamIDs are what differs between two streams that are otherwise the same.
func streamIDs() *regexp.Regexp { return regexp.MustCompile(`chatcmpl-\d+`) }

func TestStreamsCutAtEveryByteLoseNothing(t *testing.T) {
	t.Parallel()
	a := provideAs(t, mock.Options{Name: "a"})
	g := run(t, yaml(oneDeployment, a))
	for _, form := range []string{"", "crlf", "spaced", "unended", "crlf;spaced;unended", "usage=every"} {
		t.Run("form "+form, func(t *testing.T) { g.cutEverywhere(t, a, "events=1;"+form) })
	}
}

// cutEverywhere lets the mock send a stream in two pieces, cut at each byte in turn. What the client gets
// must be what the mock sends, without the event that has nothing but the usage.
func (g *gateway) cutEverywhere(t *testing.T, a *upstream, plan string) {
	client, ids := httpClient(t), streamIDs()
	direct, err := do(client, http.MethodPost, a.url+"/v1/chat/completions",
		ask("gpt-mini", plan, asStream, `,"stream_options":{"include_usage":true}`))
	if err != nil || !strings.Contains(direct.Body, "usage") {
		t.Fatalf("the mock itself: %v, %+v", err, direct)
	}
	want := ids.ReplaceAllString(withoutUsage(direct.Body), "")
	var all errgroup.Group
	all.SetLimit(16)
	for at := 1; at < len(direct.Body)+8; at++ {
		all.Go(func() error {
			got, err := do(client, http.MethodPost, g.url+"/v1/chat/completions", ask("gpt", plan+";split="+strconv.Itoa(at), asStream))
			if text := ids.ReplaceAllString(got.Body, ""); err != nil || text != want {
				return errors.New("cut at byte " + strconv.Itoa(at) + " (" + errorText(err) + "): got\n" + text + "\nwant\n" + want)
			}
			return nil
		})
	}
	if err := all.Wait(); err != nil {
		t.Error(err)
	}
}

func errorText(err error) string {
	if err == nil {
		return "no error"
	}
	return err.Error()
}

// withoutUsage takes the event with empty choices out of a stream.
func withoutUsage(stream string) string {
	separator := "\n\n"
	if strings.Contains(stream, "\r\n") {
		separator = "\r\n\r\n"
	}
	var kept []string
	for part := range strings.SplitSeq(stream, separator) {
		if !strings.Contains(strings.ReplaceAll(part, " ", ""), `"choices":[]`) {
			kept = append(kept, part)
		}
	}
	return strings.Join(kept, separator)
}

// The mock falls silent after each event in turn; all that it sent must have arrived by then.
func TestNoEventIsHeldBack(t *testing.T) {
	t.Parallel()
	a := provide(t, "a")
	g := run(t, yaml(oneDeployment, a))
	const events = 4
	for _, form := range []string{"", ";crlf", ";spaced"} {
		for silent := 1; silent <= events+1; silent++ {
			plan := "events=" + strconv.Itoa(events) + ";gap=1ms;stall=" + strconv.Itoa(silent) + form
			if got := g.readEvents(ask("gpt", plan, asStream), silent); got != silent {
				t.Errorf("%s: %d of %d events arrived", plan, got, silent)
			}
		}
	}
}

// readEvents reads that many events of a stream that goes on, with their blank lines, and leaves.
func (g *gateway) readEvents(body string, n int) int {
	g.t.Helper()
	response, err := httpClient(g.t).Post(g.url+"/v1/chat/completions", "application/json", strings.NewReader(body))
	if err != nil {
		g.t.Fatal(err)
	}
	stop := closeLater(response.Body)
	defer stop()
	found := 0
	lines := bufio.NewScanner(response.Body)
	for lines.Scan() {
		if lines.Text() != "" {
			continue
		}
		if found++; found == n {
			break
		}
	}
	return found
}
