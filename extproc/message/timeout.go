package message

import (
	"strconv"
	"time"

	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"

	nestorv1 "github.com/nestor-gateway/nestor/proto/nestor/v1"
)

// Bound bounds the whole answer.
func Bound(m *extprocv3.HeaderMutation, timeout time.Duration) {
	Set(m, "x-envoy-upstream-rq-timeout-ms", milliseconds(timeout))
}

// BoundStream bounds the time to the headers of a stream and then its longest silence.
func BoundStream(m *extprocv3.HeaderMutation, timeout time.Duration) {
	Set(m, "x-envoy-upstream-rq-per-try-timeout-ms", milliseconds(timeout))
	Set(m, nestorv1.HeaderIdle, strconv.Itoa(idleSeconds(timeout)))
}

func milliseconds(d time.Duration) string {
	return strconv.FormatInt(max(d.Milliseconds(), 1), 10)
}

// idleSeconds returns the next idle time above for which there is a route. It runs before the headers
// too, where the stream timeout shall be the one that ends the attempt.
func idleSeconds(silence time.Duration) int {
	steps := nestorv1.IdleSeconds()
	for _, s := range steps {
		if time.Duration(s)*time.Second > silence {
			return s
		}
	}
	return steps[len(steps)-1]
}
