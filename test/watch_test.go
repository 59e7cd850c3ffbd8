package test

import (
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
)

// crowd counts the requests that are at a provider at once.
type crowd struct {
	url  string
	mu   sync.Mutex
	now  int
	peak int
}

// watch serves a mock at another address, where what is there at once is counted.
func watch(t *testing.T, u *upstream) *crowd {
	t.Helper()
	c := &crowd{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c.add(1)
		defer c.add(-1)
		u.ServeHTTP(w, r)
	}))
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	c.url = server.URL
	return c
}

func (c *crowd) add(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now += n
	c.peak = max(c.peak, c.now)
}

func (c *crowd) most() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.peak
}
