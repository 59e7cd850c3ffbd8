package api

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/nestor-gateway/nestor/routing"
)

func deployments(n int) []*routing.Deployment {
	all := make([]*routing.Deployment, n)
	for i := range all {
		all[i] = &routing.Deployment{}
	}
	return all
}

// slow counts probes; each takes a second, or ends with its context.
type slow struct{ begun, ended atomic.Int32 }

func (s *slow) probe(ctx context.Context, _ *routing.Deployment) verdict {
	s.begun.Add(1)
	defer s.ended.Add(1)
	select {
	case <-time.After(time.Second):
		return verdict{}
	case <-ctx.Done():
		return verdict{err: "left"}
	}
}

func TestCallersWhoOverlapShareARound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, all := &slow{}, deployments(20)
		p := &prober{probe: s.probe}
		var callers sync.WaitGroup
		for i := range 10 {
			callers.Go(func() {
				time.Sleep(time.Duration(i) * 200 * time.Millisecond)
				verdicts, err := p.check(t.Context(), all[:20-i])
				if err != nil || len(verdicts) != 20-i {
					t.Errorf("%d verdicts, error %v", len(verdicts), err)
				}
			})
		}
		callers.Wait()
		if got := s.begun.Load(); got != 20 {
			t.Errorf("%d probes of 20 deployments", got)
		}
	})
}

func TestCallersOneAfterAnotherProbeAfresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, all := &slow{}, deployments(3)
		p := &prober{probe: s.probe}
		for range 2 {
			if _, err := p.check(t.Context(), all); err != nil {
				t.Error(err)
			}
		}
		if got := s.begun.Load(); got != 6 {
			t.Errorf("%d probes in two rounds over 3 deployments", got)
		}
	})
}

func TestARoundDoesNotLiveForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, all := &slow{}, deployments(1)
		p := &prober{probe: s.probe}
		other := deployments(1000)
		var callers sync.WaitGroup
		callers.Go(func() { _, _ = p.check(t.Context(), append(other, all...)) })
		time.Sleep(roundAge + time.Second)
		before := s.begun.Load()
		if _, err := p.check(t.Context(), all); err != nil {
			t.Error(err)
		}
		if s.begun.Load() == before {
			t.Error("no new probe")
		}
		callers.Wait()
	})
}

func TestProbesStopWithTheLastCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, all := &slow{}, deployments(100)
		p := &prober{probe: s.probe}
		ctx, cancel := context.WithCancel(t.Context())
		var callers sync.WaitGroup
		callers.Go(func() {
			if _, err := p.check(ctx, all); err != context.Canceled {
				t.Errorf("error %v", err)
			}
		})
		synctest.Wait()
		cancel()
		callers.Wait()
		got := [2]int32{s.begun.Load(), s.ended.Load()}
		if diff := cmp.Diff([2]int32{atOnce, atOnce}, got); diff != "" {
			t.Errorf("begun and ended probes (-want +got)\n%s", diff)
		}
	})
}

func TestOneWhoLeavesDoesNotStopTheOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, all := &slow{}, deployments(10)
		p := &prober{probe: s.probe}
		ctx, cancel := context.WithCancel(t.Context())
		var callers sync.WaitGroup
		callers.Go(func() { _, _ = p.check(ctx, all) })
		callers.Go(func() {
			verdicts, err := p.check(t.Context(), all)
			if diff := cmp.Diff(make([]verdict, 10), verdicts, cmp.AllowUnexported(verdict{})); diff != "" || err != nil {
				t.Error(diff, err)
			}
		})
		synctest.Wait()
		cancel()
		callers.Wait()
	})
}
