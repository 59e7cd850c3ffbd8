package main

import (
	"flag"
	"net"
	"os"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
)

func TestMain(m *testing.M) {
	flag.Bool("update", false, "rewrite what the scripts in testdata expect")
	os.Exit(testscript.RunMain(m, map[string]func() int{"nestor": realMain}))
}

// TestScripts runs the command line as a user does; each script in testdata is a test.
func TestScripts(t *testing.T) {
	serving := serveHealth(t, grpc_health_v1.HealthCheckResponse_SERVING)
	draining := serveHealth(t, grpc_health_v1.HealthCheckResponse_NOT_SERVING)
	silent := listen(t)
	managed := serveKeys(t)
	testscript.Run(t, testscript.Params{
		Dir:           "testdata",
		UpdateScripts: flag.Lookup("update").Value.String() == "true",
		Setup: func(e *testscript.Env) error {
			e.Setenv("SERVING", serving)
			e.Setenv("DRAINING", draining)
			e.Setenv("SILENT", silent.Addr().String())
			e.Setenv("MANAGED", managed)
			e.Setenv("MANAGED_KEY", managedKey)
			return nil
		},
	})
}

// serveHealth runs a gRPC health service with that answer and returns its address.
func serveHealth(t *testing.T, status grpc_health_v1.HealthCheckResponse_ServingStatus) string {
	listener := listen(t)
	service := health.NewServer()
	service.SetServingStatus("", status)
	server := grpc.NewServer()
	grpc_health_v1.RegisterHealthServer(server, service)
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(server.Stop)
	return listener.Addr().String()
}

func listen(t *testing.T) net.Listener {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	return listener
}
