package main

import (
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/test/bufconn"

	"github.com/nestor-gateway/nestor/envoy/cluster"
)

// Frames of HTTP/2 (RFC 9113, section 6).
const (
	ping   = 6
	goAway = 7
)

func TestConnectionsOutliveEnvoysPings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		listener := bufconn.Listen(1 << 16)
		server := newServer(processor{})
		go func() { _ = server.Serve(listener) }()
		defer server.Stop()
		conn, err := listener.DialContext(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		send(t, conn, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "\x00\x00\x00\x04\x00\x00\x00\x00\x00")
		for range 10 {
			send(t, conn, "\x00\x00\x08\x06\x00\x00\x00\x00\x00", "any data")
			for kind := byte(0); kind != ping; {
				var payload []byte
				if kind, payload = receive(t, conn); kind == goAway {
					t.Fatalf("the server closes the connection: %s", payload[8:])
				}
			}
			time.Sleep(cluster.KeepaliveInterval)
		}
	})
}

func send(t *testing.T, conn net.Conn, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if _, err := io.WriteString(conn, part); err != nil {
			t.Fatal(err)
		}
	}
}

// receive returns the type and the payload of the next frame.
func receive(t *testing.T, conn net.Conn) (kind byte, payload []byte) {
	t.Helper()
	var header [9]byte
	if _, err := io.ReadFull(conn, header[:]); err != nil {
		t.Fatal(err)
	}
	payload = make([]byte, int(header[0])<<16|int(header[1])<<8|int(header[2]))
	if _, err := io.ReadFull(conn, payload); err != nil {
		t.Fatal(err)
	}
	return header[3], payload
}
