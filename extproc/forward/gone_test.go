package forward

import (
	"context"
	"log/slog"
	"net"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
)

// listen has a replica answer at an address of this machine.
func listen(t *testing.T, self string) (address string, stop func()) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := New(Options{Self: self, Ledger: &ledger{}, Directory: newFleet(), Metrics: prometheus.NewRegistry(), Log: slog.New(slog.DiscardHandler)})
	server := grpc.NewServer()
	f.Register(server)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(l)
	}()
	return l.Addr().String(), func() { server.Stop(); <-done; f.Close() }
}

func TestWhoIsCertainlyGone(t *testing.T) {
	alive, stop := listen(t, "a")
	defer stop()
	dead, end := listen(t, "b")
	end()
	hangs, err := net.Listen("tcp", "127.0.0.1:0") // and nobody accepts
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = hangs.Close() }()
	other := grpc.NewServer()
	foreign, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = other.Serve(foreign)
	}()
	defer func() { other.Stop(); <-done }()
	for _, test := range []struct {
		name, replica, address string
		want                   bool
	}{
		{"it answers", "a", alive, false},
		{"another replica answers", "b", alive, true},
		{"nobody listens", "b", dead, true},
		{"it hangs", "a", hangs.Addr().String(), false},
		{"something else answers", "a", foreign.Addr().String(), false},
		{"no address", "a", "", false},
		{"a name that does not exist", "a", "nobody.invalid:1", false},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		if got := Gone(ctx, test.replica, test.address); got != test.want {
			t.Errorf("%s: gone %v, want %v", test.name, got, test.want)
		}
		cancel()
	}
}
