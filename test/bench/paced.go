package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"
)

// rate is a limit of requests, with a load of nine tenths of it.
type rate struct {
	rpm         int
	connections int
	// most is how many commands a request may cost Redis.
	most float64
}

// rates are the limits that are measured with Redis.
func rates() []rate {
	return []rate{{rpm: 6_000, connections: 1, most: 0.3}, {rpm: 60_000, connections: 8, most: 0.05}}
}

func (r rate) name() string { return fmt.Sprintf("rpm %d", r.rpm) }

// every is the time between two requests on one connection.
func (r rate) every() time.Duration {
	return time.Duration(float64(r.connections) * float64(time.Minute) / (0.9 * float64(r.rpm)))
}

// tempo is requests that are sent at fixed times, each answered before the next.
type tempo struct {
	client *http.Client
	url    string
	load   load
	body   []byte
}

func newTempo(address string) (*tempo, error) {
	l := loads()[0]
	body, err := l.body()
	return &tempo{
		client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64, DisableCompression: true}, Timeout: slack},
		url:    "http://" + address + chatPath, load: l, body: body,
	}, err
}

func (t *tempo) close() { t.client.CloseIdleConnections() }

// run sends requests at a rate for d, and returns what each took. An answer that is not 200 and complete is an error.
func (t *tempo) run(ctx context.Context, r rate, d time.Duration) ([]time.Duration, error) {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var (
		connections sync.WaitGroup
		mu          sync.Mutex
		all         []time.Duration
	)
	begin := time.Now()
	for i := range r.connections {
		connections.Go(func() {
			first := begin.Add(time.Duration(i) * r.every() / time.Duration(r.connections))
			took, err := t.connection(ctx, first, begin.Add(d), r.every())
			if err != nil {
				stop(err)
			}
			mu.Lock()
			defer mu.Unlock()
			all = append(all, took...)
		})
	}
	connections.Wait()
	return all, context.Cause(ctx)
}

// connection sends one request after the other. What comes late is not made up for.
func (t *tempo) connection(ctx context.Context, next, end time.Time, every time.Duration) (took []time.Duration, err error) {
	for ; next.Before(end); next = next.Add(every) {
		if late := time.Since(next); late > every {
			next = next.Add(late.Truncate(every))
		}
		if !waitUntil(ctx, next) {
			return took, nil
		}
		began := time.Now()
		if err := t.ask(ctx); err != nil {
			return took, err
		}
		took = append(took, time.Since(began))
	}
	return took, nil
}

func waitUntil(ctx context.Context, when time.Time) bool {
	timer := time.NewTimer(time.Until(when))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

func (t *tempo) ask(ctx context.Context) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, t.url, bytes.NewReader(t.body))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Authorization", "Bearer "+masterKey)
	response, err := t.client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return fmt.Errorf("the answer broke off: %w", err)
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("status %d: %.500s", response.StatusCode, text)
	}
	return t.load.complete(text)
}
