// Command noop is the processor of the benchmark's floor: it answers the exchanges that Nestor's Envoy
// configuration makes, with as little work as an answer takes, and decides nothing.
//
//	noop -listen HOST:PORT -cluster NAME -path PATH [-usage]
//
// What it leaves out is what Nestor's own CPU is compared with: reading the body, authentication,
// picking, rewriting, counting. It does send the body back, unchanged, as a processor must that
// writes the provider's model into it; with -usage it asks for the usage of streams in it, as a gateway must that counts them.
package main

import (
	"flag"
	"fmt"
	"net"
	"os"
	"os/signal"
	"syscall"

	accesslog "github.com/envoyproxy/go-control-plane/envoy/service/accesslog/v3"
	extproc "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/nestor-gateway/nestor/envoy"
)

func main() {
	listen := flag.String("listen", "127.0.0.1:4001", "address to listen on")
	cluster := flag.String("cluster", "mock", "the upstream to send every request to")
	path := flag.String("path", "/v1/chat/completions", "the path that it gets")
	usage := flag.Bool("usage", false, "ask for the usage of streams")
	flag.Parse()
	if err := serve(*listen, *cluster, *path, *usage); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

// serve answers until SIGTERM or SIGINT.
func serve(listen, cluster, path string, usage bool) error {
	replies, err := newReplies(cluster, path)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", listen)
	if err != nil {
		return err
	}
	server := newServer(processor{replies: replies, usage: usage})
	end := make(chan os.Signal, 1)
	signal.Notify(end, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-end
		server.Stop()
	}()
	return server.Serve(listener)
}

// newServer has the options of Nestor's own: as gRPC comes, it closes a connection that Envoy's keepalive pings.
func newServer(p processor) *grpc.Server {
	server := grpc.NewServer(envoy.Options{}.GRPCOptions()...)
	extproc.RegisterExternalProcessorServer(server, p)
	accesslog.RegisterAccessLogServiceServer(server, deaf{})
	healthpb.RegisterHealthServer(server, health.NewServer())
	return server
}
