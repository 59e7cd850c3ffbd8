package extproc

import (
	"context"
	"net"
	"testing"

	accesslogv3 "github.com/envoyproxy/go-control-plane/envoy/service/accesslog/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/types/known/emptypb"

	nestorv1 "github.com/nestor-gateway/nestor/proto/nestor/v1"
	"github.com/nestor-gateway/nestor/ratelimit"
)

// One message may tell of many attempts. One that is malformed ends the stream, and nothing of it counts.
func TestAccessLogIsReadMessageByMessage(t *testing.T) {
	s, l := limited(t, oneDeployment)
	var messages [4][]byte
	for i, id := range []string{"a", "b", "c", "d"} {
		messages[i] = begin(t, s, map[string]string{nestorv1.HeaderRequest: id}, chat).logged(t, how{status: 200, usage: tokens(1, 2)})
	}
	stream := openLog(t, s)
	if err := stream.Send(&accesslogv3.StreamAccessLogsMessage{Identifier: &accesslogv3.StreamAccessLogsMessage_Identifier{LogName: "nestor"}}); err != nil {
		t.Fatal(err)
	}
	both := append(messages[1], messages[2]...) // to put messages together is to put their entries together
	const httpLogs = 2
	malformed := protowire.AppendTag(messages[3], httpLogs, protowire.BytesType)
	malformed = protowire.AppendBytes(malformed, []byte{1<<3 | 2, 9}) // an entry of 9 bytes, of which there is none
	for _, raw := range [][]byte{messages[0], both, malformed} {
		sendRaw(t, stream, raw)
	}
	if _, err := stream.CloseAndRecv(); status.Code(err) != codes.Internal {
		t.Errorf("the stream ended with %v", err)
	}
	if got, want := l.used(t, leaf), (ratelimit.Amounts{4, 9 + estimated, 1}); got != want {
		t.Errorf("used %v, want %v", got, want)
	}
}

func openLog(t *testing.T, s *Server) accesslogv3.AccessLogService_StreamAccessLogsClient {
	t.Helper()
	server, listener := grpc.NewServer(), bufconn.Listen(1<<16)
	s.Register(server)
	go server.Serve(listener)
	t.Cleanup(server.Stop)
	conn, err := grpc.NewClient("passthrough:///", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(context.Context, string) (net.Conn, error) { return listener.Dial() }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	stream, err := accesslogv3.NewAccessLogServiceClient(conn).StreamAccessLogs(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return stream
}

// sendRaw sends a message given by its bytes.
func sendRaw(t *testing.T, stream grpc.ClientStream, raw []byte) {
	t.Helper()
	var m emptypb.Empty
	m.ProtoReflect().SetUnknown(raw)
	if err := stream.SendMsg(&m); err != nil {
		t.Fatal(err)
	}
}
