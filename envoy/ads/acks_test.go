package ads

import (
	"context"
	"errors"
	"strings"
	"testing"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	resourcev3 "github.com/envoyproxy/go-control-plane/pkg/resource/v3"
	"google.golang.org/genproto/googleapis/rpc/status"
)

// takes plays an Envoy on a stream of its own that says yes, or why not, to version 1 of everything.
func takes(t *testing.T, s *Server, stream int64, node, refusal string) {
	t.Helper()
	if err := s.acks.OnDeltaStreamOpen(t.Context(), stream, ""); err != nil {
		t.Fatal(err)
	}
	s.acks.OnStreamDeltaResponse(stream, nil, &discoveryv3.DeltaDiscoveryResponse{
		TypeUrl: resourcev3.ClusterType, Nonce: "n", SystemVersionInfo: "1"})
	answer := &discoveryv3.DeltaDiscoveryRequest{
		Node: &corev3.Node{Id: node}, TypeUrl: resourcev3.ClusterType, ResponseNonce: "n"}
	if refusal != "" {
		answer.ErrorDetail = &status.Status{Message: refusal}
	}
	if err := s.acks.OnStreamDeltaRequest(stream, answer); err != nil {
		t.Fatal(err)
	}
}

func TestReadyIsWhatOneEnvoySays(t *testing.T) {
	over, cancel := context.WithCancel(t.Context())
	cancel()
	s := NewServer()
	s.acks.expect(map[resourcev3.Type]string{resourcev3.ClusterType: "1"})
	takes(t, s, 1, "other", "")
	if err := s.Ready(over, "own"); !errors.Is(err, context.Canceled) {
		t.Errorf("with another Envoy that has everything: %v", err)
	}
	takes(t, s, 2, "third", "the port is taken")
	if err := s.Ready(over, "own"); !errors.Is(err, context.Canceled) {
		t.Errorf("with another Envoy that has refused: %v", err)
	}
	if err := s.Ready(over, "third"); err == nil || !strings.Contains(err.Error(), "the port is taken") {
		t.Errorf("of the one that has refused: %v", err)
	}
	takes(t, s, 3, "own", "")
	if err := s.Ready(over, "own"); err != nil {
		t.Errorf("of one that has everything: %v", err)
	}
}
