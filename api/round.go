package api

import (
	"context"
	"sync"
	"time"

	"github.com/nestor-gateway/nestor/routing"
)

const (
	// atOnce is how many probes run at a time.
	atOnce = 8
	// roundAge is how long a round takes in callers, so that callers who overlap
	// without end don't share its verdicts for ever.
	roundAge = 30 * time.Second
)

// prober runs the probes of /health. Callers that overlap share a round, in which
// each deployment is probed once.
type prober struct {
	probe func(context.Context, *routing.Deployment) verdict

	mu    sync.Mutex
	round *round
}

// verdict is the outcome of a probe: healthy when err and skipped are empty.
type verdict struct {
	err, skipped string
	// status is that of the answer; 0 when there was none or it was a success.
	status int
}

// round is what overlapping callers share. Its workers end when the queue is empty,
// or with the last caller.
type round struct {
	began   time.Time
	cancel  context.CancelFunc
	ctx     context.Context
	callers int
	workers int
	running sync.WaitGroup
	probes  map[*routing.Deployment]*probe
	queue   []*probe
}

type probe struct {
	deployment *routing.Deployment
	done       chan struct{}
	verdict    verdict
}

func newProber(o Options) *prober {
	return &prober{probe: newCaller(o).call}
}

// check returns the verdicts on the deployments, in their order; an error means that ctx ended.
func (p *prober) check(ctx context.Context, deployments []*routing.Deployment) ([]verdict, error) {
	r, probes := p.join(deployments)
	defer p.leave(r)
	verdicts := make([]verdict, len(probes))
	for i, one := range probes {
		select {
		case <-one.done:
			verdicts[i] = one.verdict
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return verdicts, nil
}

// join enters the round that runs, or begins one, and queues what it does not have yet.
func (p *prober) join(deployments []*routing.Deployment) (*round, []*probe) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.round == nil || time.Since(p.round.began) > roundAge {
		p.round = newRound()
	}
	r := p.round
	r.callers++
	probes := make([]*probe, len(deployments))
	for i, d := range deployments {
		if r.probes[d] == nil {
			r.probes[d] = &probe{deployment: d, done: make(chan struct{})}
			r.queue = append(r.queue, r.probes[d])
		}
		probes[i] = r.probes[d]
	}
	for range min(atOnce-r.workers, len(r.queue)) {
		r.workers++
		r.running.Go(func() { p.work(r) })
	}
	return r, probes
}

func newRound() *round {
	ctx, cancel := context.WithCancel(context.Background())
	return &round{began: time.Now(), ctx: ctx, cancel: cancel, probes: map[*routing.Deployment]*probe{}}
}

// leave ends the round with its last caller, and waits until its workers have stopped.
func (p *prober) leave(r *round) {
	p.mu.Lock()
	r.callers--
	last := r.callers == 0
	if last && p.round == r {
		p.round = nil
	}
	p.mu.Unlock()
	if last {
		r.cancel()
		r.running.Wait()
	}
}

func (p *prober) work(r *round) {
	for one := p.next(r); one != nil; one = p.next(r) {
		one.verdict = p.probe(r.ctx, one.deployment)
		close(one.done)
	}
}

// next takes a probe from the queue; nil tells the worker to end.
func (p *prober) next(r *round) *probe {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(r.queue) == 0 || r.callers == 0 {
		r.workers--
		return nil
	}
	one := r.queue[0]
	r.queue = r.queue[1:]
	return one
}
