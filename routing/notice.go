package routing

import (
	"time"

	"github.com/nestor-gateway/nestor/ratelimit"
)

// Notice is what one replica has learned about a deployment and the others should know.
type Notice struct {
	Deployment string `json:"deployment"`
	// Cooldown: it failed. Otherwise its provider admits nothing more in the Dimension.
	Cooldown  bool                `json:"cooldown,omitempty"`
	Dimension ratelimit.Dimension `json:"dimension,omitempty"`
	// Wait is for how long, in nanoseconds.
	Wait time.Duration `json:"wait"`
}

// Notify has f called for every cooldown that begins here and everything that a provider announces here.
// f must not block. Nil, as at the beginning, is nobody.
func (r *Router) Notify(f func(Notice)) {
	if f == nil {
		r.notify.Store(nil)
		return
	}
	r.notify.Store(&f)
}

func (r *Router) tell(n Notice) {
	if f := r.notify.Load(); f != nil {
		(*f)(n)
	}
}

// Noticed takes in what another replica has learned. A deployment that the current snapshot does not have is ignored.
func (r *Router) Noticed(n Notice) {
	if _, ok := r.View().snapshot.byID[n.Deployment]; !ok || n.Wait <= 0 {
		return
	}
	if !n.Cooldown {
		r.exhausted(n)
		return
	}
	until := r.tracker.Cool(n.Deployment, n.Wait)
	r.each(func(v *View) { v.cool(n.Deployment, until) })
}

// Exhausted says that a provider admits nothing more to a deployment in a dimension for some time. The deployment
// is not picked until then; that is no cooldown, and does not bend.
func (r *Router) Exhausted(deployment string, d ratelimit.Dimension, wait time.Duration) {
	if _, ok := r.View().snapshot.byID[deployment]; !ok || wait <= 0 {
		return
	}
	n := Notice{Deployment: deployment, Dimension: d, Wait: wait}
	r.exhausted(n)
	r.tell(n)
}

func (r *Router) exhausted(n Notice) {
	if n.Dimension >= ratelimit.Dimensions {
		return
	}
	until := r.tracker.Elapsed() + n.Wait
	r.mu.Lock()
	spent := r.spent[n.Deployment]
	spent[n.Dimension] = max(spent[n.Dimension], until)
	r.spent[n.Deployment] = spent
	r.mu.Unlock()
	r.each(func(v *View) { v.exhaust(n.Deployment, n.Dimension, until) })
}
