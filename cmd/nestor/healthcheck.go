package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
)

func healthcheckCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "healthcheck",
		Short: "Ask a running nestor whether it serves: exit status 0 or 1",
		Args:  exactly(),
		RunE: func(c *cobra.Command, _ []string) error {
			v, err := environment(c)
			if err != nil {
				return err
			}
			return healthcheck(c.Context(), c.OutOrStdout(), v.GetString("grpc-listen"), v.GetDuration("timeout"))
		},
	}
	c.Flags().String("grpc-listen", "127.0.0.1:4001", "where that nestor serves gRPC, as given to it")
	c.Flags().Duration("timeout", 2*time.Second, "how long it may take to answer")
	return c
}

// healthcheck asks the gRPC health service, https://github.com/grpc/grpc/blob/master/doc/health-checking.md.
func healthcheck(ctx context.Context, stdout io.Writer, address string, timeout time.Duration) error {
	if _, _, err := net.SplitHostPort(address); err != nil {
		return fmt.Errorf("--grpc-listen %s is not HOST:PORT", address)
	}
	conn, err := grpc.NewClient("passthrough:///"+reachable(address), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return fmt.Errorf("%s: %w", address, err)
	}
	defer func() { _ = conn.Close() }()
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	answer, err := grpc_health_v1.NewHealthClient(conn).Check(ctx, &grpc_health_v1.HealthCheckRequest{})
	if err != nil {
		return fmt.Errorf("%s does not answer: %s", address, status.Convert(err).Message())
	}
	if answer.Status != grpc_health_v1.HealthCheckResponse_SERVING {
		return fmt.Errorf("%s answers %s", address, answer.Status)
	}
	_, err = fmt.Fprintf(stdout, "%s serves\n", address)
	return err
}
