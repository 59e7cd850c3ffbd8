package test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestTheMasterKeyIsReadFromThreeHeaders(t *testing.T) {
	t.Parallel()
	a := provide(t, "a")
	g := run(t, yaml(guarded, a))
	tests := []struct {
		header, value string
		want          int
	}{
		{"Authorization", "Bearer sk-master", 200},
		{"X-Api-Key", "sk-master", 200},
		{"Api-Key", "sk-master", 200},
		{"Authorization", "Bearer sk-maste", 401},
		{"Authorization", "Bearer sk-master2", 401},
		{"Authorization", "Bearer ", 401},
		{"Authorization", "Basic sk-master", 401},
		{"X-Api-Key", "wrong", 401},
		{"Api-Key", "", 401},
		{"X-Unrelated", "sk-master", 401},
	}
	for _, test := range tests {
		got := g.post("/v1/embeddings", `{"model":"vectors","input":"x"}`, test.header, test.value)
		if got.Status != test.want {
			t.Errorf("%s: %s: status %d, want %d", test.header, test.value, got.Status, test.want)
		}
		if got.Status == http.StatusUnauthorized {
			got.problem(t)
		}
	}
	if a.total() != 3 {
		t.Errorf("the provider got %d requests, want those 3 with a good key", a.total())
	}
}

func TestABadKeyIsRefusedBeforeTheBody(t *testing.T) {
	t.Parallel()
	a := provide(t, "a")
	g := run(t, yaml(guarded, a))
	for name, length := range map[string]string{
		"a length": "Content-Length: 1000000\r\n", "chunks": "Transfer-Encoding: chunked\r\n",
		"a client that waits": "Content-Length: 1000000\r\nExpect: 100-continue\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			got := g.raw("POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"+
				"Authorization: Bearer wrong\r\n"+length+"\r\n", 3*time.Second)
			if got.problem(t); got.Status != http.StatusUnauthorized {
				t.Errorf("status %d: %s", got.Status, got.Body)
			}
		})
	}
}

// raw sends bytes and reads the response, without ever ending the request.
func (g *gateway) raw(request string, within time.Duration) reply {
	g.t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(g.url, "http://"))
	if err != nil {
		g.t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(within)); err != nil {
		g.t.Fatal(err)
	}
	if _, err := io.WriteString(conn, request); err != nil {
		g.t.Fatal(err)
	}
	reader := bufio.NewReader(conn)
	method, _, _ := strings.Cut(request, " ")
	for {
		response, err := http.ReadResponse(reader, &http.Request{Method: method})
		if err != nil {
			g.t.Fatalf("no response within %v to %q: %v", within, request, err)
		}
		if response.StatusCode == http.StatusContinue {
			continue
		}
		body, err := io.ReadAll(response.Body)
		if err != nil {
			g.t.Fatalf("read the response to %q: %v", request, err)
		}
		return reply{response.StatusCode, response.Header, string(body)}
	}
}

func TestWithoutAMasterKeyNestorServesLoopbackOnly(t *testing.T) {
	t.Parallel()
	a := provide(t, "a")
	g := prepare(t, yaml(oneDeployment, a))
	for i, arg := range g.args {
		if arg == "--listen" {
			g.args[i+1] = "0.0.0.0:" + g.url[strings.LastIndexByte(g.url, ':')+1:]
		}
	}
	g.launch()
	if status := g.nestor.exitStatus(t, 10*time.Second); status != 1 {
		t.Errorf("exit status %d, want 1", status)
	}
	if log := g.nestor.text(t); !strings.Contains(log, "error:") || !strings.Contains(log, "--allow-anonymous") {
		t.Errorf("it said %q", log)
	}
	g.args = append(g.args, "--allow-anonymous")
	g.start()
	g.chat("gpt", "").succeeds(t)
}
