package forward

import (
	"context"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	nestorv1 "github.com/nestor-gateway/nestor/proto/nestor/v1"
)

const (
	// maxBatch is some 60 KB.
	maxBatch    = 1000
	sendTimeout = time.Second
	// Between two tries to reach a replica.
	firstWait, longestWait = 50 * time.Millisecond, time.Second
	// patience is how long a replica that the directory does not know is waited for:
	// one that has just started may be in a Decision before it is in everybody's directory.
	patience = 5 * time.Second
	// idle is how long a connection is kept without use.
	idle = time.Minute
)

// peer is the connection to one replica. It belongs to the goroutine that serves its queue.
type peer struct {
	forwarder *Forwarder
	holder    string
	addr      string
	conn      *grpc.ClientConn
	unknown   time.Time // since when the directory does not know it; zero when it does
}

// serve sends what waits for a replica until nothing has come for a while, or the forwarder is closed.
func (f *Forwarder) serve(holder string, q *queue) {
	p := &peer{forwarder: f, holder: holder}
	defer p.disconnect()
	for {
		batch := f.take(q, maxBatch)
		if len(batch) > 0 {
			if !p.deliver(batch) {
				f.drop(f.take(q, maxQueued)...)
			}
			continue
		}
		if f.await(q) || !f.retire(holder, q) {
			continue
		}
		return
	}
}

// await reports whether something may wait in the queue; false when nothing will for now.
func (f *Forwarder) await(q *queue) bool {
	timer := time.NewTimer(idle)
	defer timer.Stop()
	select {
	case <-q.more:
		return true
	case <-timer.C:
		return false
	case <-f.closing.Done():
		return false
	}
}

// deliver sends a batch until the replica has taken it; false when it is gone, or this process ends.
func (p *peer) deliver(batch []*nestorv1.Settlement) bool {
	f := p.forwarder
	for wait := firstWait; ; wait = min(2*wait, longestWait) {
		last := f.closing.Err() != nil
		switch err := p.send(batch); {
		case err == nil:
			f.forwarded.Add(settlements(batch))
			return true
		case last || p.isFinal(err):
			f.drop(batch...)
			f.Log.Warn("settlements dropped", "replica", p.holder, "error", err)
			return false
		}
		f.pause(wait)
	}
}

// pause ends early when the forwarder is closed.
func (f *Forwarder) pause(wait time.Duration) {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-f.closing.Done():
	}
}

// isFinal reports whether another try can't succeed: another replica has the address, or one that
// knows no such request, or the directory has not known the replica for a while.
func (p *peer) isFinal(err error) bool {
	switch status.Code(err) {
	case codes.NotFound, codes.InvalidArgument, codes.Unimplemented:
		return true
	}
	return !p.unknown.IsZero() && time.Since(p.unknown) >= patience
}

// send makes one try.
func (p *peer) send(batch []*nestorv1.Settlement) error {
	if err := p.connect(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), sendTimeout)
	defer cancel()
	_, err := nestorv1.NewLedgerClient(p.conn).Settle(ctx, &nestorv1.SettleRequest{Holder: p.holder, Settlements: batch})
	return err
}

// connect makes the connection lead to where the directory says that the replica is.
func (p *peer) connect() error {
	addr, ok := p.forwarder.Directory.Address(p.holder)
	if !ok {
		if p.unknown.IsZero() {
			p.unknown = time.Now()
		}
		return status.Errorf(codes.Unavailable, "no replica %q is known to live", p.holder)
	}
	p.unknown = time.Time{}
	if p.conn != nil && addr == p.addr {
		return nil
	}
	p.disconnect()
	options := append([]grpc.DialOption{
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: firstWait, Multiplier: 2, MaxDelay: longestWait},
			MinConnectTimeout: sendTimeout,
		}),
	}, p.forwarder.Dial...)
	conn, err := grpc.NewClient("passthrough:///"+addr, options...)
	if err != nil {
		return err
	}
	p.addr, p.conn = addr, conn
	return nil
}

func (p *peer) disconnect() {
	if p.conn != nil {
		_ = p.conn.Close()
		p.conn = nil
	}
}
