package forward

import (
	"context"
	"errors"
	"net"
	"syscall"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	nestorv1 "github.com/nestor-gateway/nestor/proto/nestor/v1"
)

// Gone reports whether it is certain that a replica does not live any more: nobody listens at its address, or
// another replica does. One that does not answer may be alive. The address has to be the replica's own: behind
// one that leads to several, or through a firewall that refuses for others, it would be taken for gone.
func Gone(ctx context.Context, replica, address string) bool {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		return errors.Is(err, syscall.ECONNREFUSED)
	}
	_ = conn.Close()
	client, err := grpc.NewClient("passthrough:///"+address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return false
	}
	defer func() { _ = client.Close() }()
	// Nothing is settled: the answer is whether this is the holder.
	_, err = nestorv1.NewLedgerClient(client).Settle(ctx, &nestorv1.SettleRequest{Holder: replica})
	return status.Code(err) == codes.NotFound
}
