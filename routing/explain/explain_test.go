package explain_test

import (
	"net/url"
	"testing"
	"time"

	"github.com/nestor-gateway/nestor/routing/composition"
	"github.com/nestor-gateway/nestor/routing/config"
	"github.com/nestor-gateway/nestor/routing/deployment"
	"github.com/nestor-gateway/nestor/routing/explain"
	"github.com/nestor-gateway/nestor/routing/share"
)

// flat explains one group of n deployments.
func flat(n int) *explain.Explainer {
	cfg := &config.Config{Entries: make([]config.Entry, n)}
	c := composition.Composition{Config: cfg}
	members := make([]int32, n)
	for i := range n {
		members[i] = int32(i)
		c.Deployments = append(c.Deployments, &deployment.Deployment{Base: &url.URL{}})
		c.Targets = append(c.Targets, composition.Target{Group: composition.None, Leaf: int32(i)})
	}
	c.Groups = []composition.Group{composition.NewGroup(cfg, "g", members)}
	return &explain.Explainer{
		Config: cfg, Deployments: c.Deployments, Groups: c.Groups, Graph: c.Graph(), Out: map[int32]bool{0: true},
		Divide: func(s *share.State, group int32) (share.Flow, bool) { return s.Flow(group), false },
	}
}

func TestMembersDivideWhatIsLeft(t *testing.T) {
	tier := flat(5).Group(0).Tree.Tiers[0]
	for i, m := range tier.Members {
		want, why := 0.25, ""
		if i == 0 {
			want, why = 0, "left out"
		}
		if m.Share != want || m.Probability != want || m.Unavailable != why {
			t.Errorf("member %d has %v of its group, %v of all, %q; want %v, %q", i, m.Share, m.Probability, m.Unavailable, want, why)
		}
	}
}

// A drawing whose time grew with the square of the members would take far longer.
func TestALargeGroupIsDrawnInTime(t *testing.T) {
	x := flat(300_000)
	begin := time.Now()
	if rows := len(x.Group(0).Deployments); rows != 300_000 {
		t.Errorf("%d rows", rows)
	}
	if took := time.Since(begin); took > 10*time.Second {
		t.Errorf("it took %v", took)
	}
}
