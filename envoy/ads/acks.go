package ads

import (
	"context"
	"fmt"
	"sync"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	resourcev3 "github.com/envoyproxy/go-control-plane/pkg/resource/v3"
)

// acks follows what each connected Envoy has acknowledged. It is the callbacks of a delta server.
type acks struct {
	mu      sync.Mutex
	target  map[resourcev3.Type]string // version by type; nil before the first snapshot
	streams map[int64]*stream
	changed chan struct{} // closed at the next change
}

// stream is an Envoy that is connected.
type stream struct {
	node    string // its node id; empty before its first request
	answers map[resourcev3.Type]answer
}

// answer is what an Envoy said to the last response of a type.
type answer struct {
	nonce, version string
	acked          bool
	refusal        string
}

func newAcks() *acks {
	return &acks{streams: map[int64]*stream{}, changed: make(chan struct{})}
}

// expect sets the versions that every Envoy shall have.
func (a *acks) expect(target map[resourcev3.Type]string) {
	a.change(func() { a.target = target })
}

// change runs f and wakes those who wait.
func (a *acks) change(f func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	f()
	close(a.changed)
	a.changed = make(chan struct{})
}

// every is for wait: all Envoys.
func every(*stream) bool { return true }

// wait returns when done says so of the Envoys that are meant, with an error when one of them has refused the target,
// and with the context's when it ends.
func (a *acks) wait(ctx context.Context, meant func(*stream) bool, done func(streams, upToDate int) bool) error {
	for {
		a.mu.Lock()
		streams, upToDate, err := a.count(meant)
		changed := a.changed
		a.mu.Unlock()
		if err != nil || done(streams, upToDate) {
			return err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// count says how many streams are meant, and how many of them have acknowledged the whole target.
func (a *acks) count(meant func(*stream) bool) (streams, upToDate int, err error) {
	for _, s := range a.streams {
		if !meant(s) {
			continue
		}
		streams++
		current, err := s.acknowledged(a.target)
		if err != nil {
			return 0, 0, err
		}
		if a.target != nil && current == len(a.target) {
			upToDate++
		}
	}
	return streams, upToDate, nil
}

// acknowledged says how many types of the target the Envoy has. Its refusal is an error.
func (s *stream) acknowledged(target map[resourcev3.Type]string) (current int, err error) {
	for typ, version := range target {
		got := s.answers[typ]
		if got.version != version {
			continue
		}
		if got.refusal != "" {
			return 0, fmt.Errorf("envoy refused the configuration: %s", got.refusal)
		}
		if got.acked {
			current++
		}
	}
	return current, nil
}

// OnDeltaStreamOpen notes that an Envoy has connected.
func (a *acks) OnDeltaStreamOpen(_ context.Context, id int64, _ string) error {
	a.change(func() { a.streams[id] = &stream{answers: map[resourcev3.Type]answer{}} })
	return nil
}

// OnDeltaStreamClosed forgets an Envoy.
func (a *acks) OnDeltaStreamClosed(id int64, _ *corev3.Node) {
	a.change(func() { delete(a.streams, id) })
}

// OnStreamDeltaRequest notes the acknowledgement or refusal that a request holds.
func (a *acks) OnStreamDeltaRequest(id int64, r *discoveryv3.DeltaDiscoveryRequest) error {
	a.change(func() {
		s := a.streams[id]
		if node := r.GetNode().GetId(); node != "" { // of the first request
			s.node = node
		}
		got := s.answers[r.GetTypeUrl()]
		if r.GetResponseNonce() == "" || r.GetResponseNonce() != got.nonce {
			return
		}
		got.acked = r.GetErrorDetail() == nil
		got.refusal = r.GetErrorDetail().GetMessage()
		s.answers[r.GetTypeUrl()] = got
	})
	return nil
}

// OnStreamDeltaResponse notes what an Envoy is about to be sent.
func (a *acks) OnStreamDeltaResponse(id int64, _ *discoveryv3.DeltaDiscoveryRequest, r *discoveryv3.DeltaDiscoveryResponse) {
	a.change(func() {
		a.streams[id].answers[r.GetTypeUrl()] = answer{nonce: r.GetNonce(), version: r.GetSystemVersionInfo()}
	})
}
