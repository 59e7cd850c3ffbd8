package test

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"
)

// stall is a provider that answers with an error, of whose body the most never comes.
func stall(t *testing.T, status int) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				r := bufio.NewReader(c)
				q, err := http.ReadRequest(r)
				if err != nil {
					return
				}
				_ = q.Body.Close()
				fmt.Fprintf(c, "HTTP/1.1 %d Failed\r\ncontent-type: application/json\r\ncontent-length: 2000\r\n\r\n{\"error\":", status)
				_, _ = r.ReadByte() // until Envoy closes
			}()
		}
	}()
	return listener.Addr().String()
}

// A request whose provider says that it has failed, and no more, is in flight until it ends. Then it has cost nothing.
func TestAnErrorThatNeverEndsHoldsItsPlaceAndCostsNothing(t *testing.T) {
	t.Parallel()
	for _, status := range []int{http.StatusBadRequest, http.StatusInternalServerError} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			t.Parallel()
			g := run(t, `
model_list:
  - {model_name: m, litellm_params: {model: openai/m, api_base: "http://`+stall(t, status)+`/v1", api_key: k, input_cost_per_token: 0.001, output_cost_per_token: 0.01}}
router_settings: {num_retries: 0, disable_cooldowns: true, timeout: 3}
general_settings: {master_key: `+masterSecret+`}
`)
			body := ask("m", "", `,"max_tokens":8`)
			for name, key := range map[string]string{"places": g.newKey(`{"max_parallel_requests": 1, "max_budget": 100}`), "money": g.newKey(`{"max_budget": 0.2}`)} {
				var wg sync.WaitGroup
				wg.Go(func() {
					if r := g.post("/v1/chat/completions", body, bearer(key)...); r.Status != http.StatusGatewayTimeout {
						t.Errorf("%s: the first is answered %d %s", name, r.Status, r.Body)
					}
				})
				<-time.After(time.Second)
				if r := g.post("/v1/chat/completions", body, bearer(key)...); r.Status != http.StatusTooManyRequests {
					t.Errorf("%s: one beside it is answered %d %s", name, r.Status, r.Body)
				}
				wg.Wait()
				for _, row := range g.logs(t, "api_key="+key, 1) {
					if row.usd != 0 {
						t.Errorf("%s: it cost %v", name, row.usd)
					}
				}
				if spent := g.spent("/key/info?key="+key, "info"); spent != 0 {
					t.Errorf("%s: %v spent for no answer", name, spent)
				}
			}
		})
	}
}
