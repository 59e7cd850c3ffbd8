package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync/atomic"
)

// countingConn counts what arrives.
type countingConn struct {
	net.Conn
	read *atomic.Int64
}

func (c countingConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.read.Add(int64(n))
	return n, err
}

// ask sends one request of the load and returns the size of the whole answer on the wire, in bytes.
// An answer that is not 200 and complete is an error.
func ask(ctx context.Context, address string, l load) (int64, error) {
	body, err := l.body()
	if err != nil {
		return 0, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+address+chatPath, bytes.NewReader(body))
	if err != nil {
		return 0, err
	}
	var wire atomic.Int64
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Authorization", "Bearer "+l.credential())
	transport := &http.Transport{DisableCompression: true, DialContext: func(ctx context.Context, network, to string) (net.Conn, error) {
		c, err := new(net.Dialer).DialContext(ctx, network, to)
		return countingConn{c, &wire}, err
	}}
	defer transport.CloseIdleConnections()
	response, err := transport.RoundTrip(request)
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return 0, fmt.Errorf("the answer broke off: %w", err)
	}
	if response.StatusCode != http.StatusOK {
		return 0, fmt.Errorf("status %d: %.500s", response.StatusCode, text)
	}
	return wire.Load(), l.complete(text)
}

// complete says what is missing in an answer.
func (l load) complete(text []byte) error {
	if l.stream {
		if n := bytes.Count(text, []byte("data: {")); n != l.sent() || !bytes.HasSuffix(text, []byte("data: [DONE]\n\n")) {
			return fmt.Errorf("a stream of %d events instead of %d: ...%s", n, l.sent(), text[max(0, len(text)-300):])
		}
		return nil
	}
	var answer struct {
		Choices []struct {
			Message struct{ Content string }
		}
	}
	if err := json.Unmarshal(text, &answer); err != nil || len(answer.Choices) != 1 || answer.Choices[0].Message.Content == "" {
		return fmt.Errorf("not a chat completion: %.300s", text)
	}
	return nil
}
